"""Whose turn it is, how long it takes until then, and that one account's hundred jobs do not delay another's one."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import services as credits
from apps.jobs import attempts, doorbell, services, turns, waiting
from apps.jobs.fleet import Member
from apps.jobs.models import Job
from apps.jobs.needs import NEEDS
from apps.jobs.representation import as_json
from tests.factories import make_asset, make_job
from tests.jobs.conftest import CHROMA, a_result

NOON = timezone.now().replace(microsecond=0)


@pytest.fixture
def bea(bob: User) -> User:
    """Bob, with credits."""
    credits.grant(bob, 100_00, key="test:bea", note="for tests")
    return bob


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


def waits(user: User, second: int, **fields: Any) -> Job:
    return make_job(user, asset=make_asset(user, duration=0.1), model="chroma", queued_at=at(second), **fields)


def listening(monkeypatch: pytest.MonkeyPatch, *needs: tuple[str, ...]) -> None:
    """As if these workers lived, each with what it listens for."""
    members = [Member("host", each, 0, 0, 0) for each in needs]
    monkeypatch.setattr(doorbell, "listeners", lambda: members)


def initials(jobs: list[Job]) -> str:
    return "".join(job.owner.email[0] for job in jobs if job.owner)


def foreseen() -> str:
    jobs = Job.objects.select_related("owner").in_bulk([turn.job_id for turn in turns.line_up(turns.WORK)])
    return initials([jobs[turn.job_id] for turn in turns.line_up(turns.WORK)])


def worked_off(*, workers: int = 1) -> str:
    """Initials of the owners in the order in which so many workers start all that waits; each job takes a second."""
    order: list[Job] = []
    for second in range(1000, 1100):
        started = [job for n in range(workers) if (job := attempts.claim_next(f"worker-{n}"))]
        if not started:
            return initials(order)
        order += started
        for job in started:
            assert services.complete(job, a_result(seconds=0.1), [])
            Job.objects.filter(pk=job.pk).update(completed_at=at(second))
    pytest.fail("it does not end")


def test_accounts_take_turns(alice: User, bea: User, charlie: User) -> None:
    for second in range(6):
        waits(alice, second)
    waits(bea, 10)
    waits(charlie, 11)
    waits(bea, 12)

    order = foreseen()

    assert order == "abcabaaaa"
    assert worked_off() == order


def test_whoever_was_served_last_comes_last(alice: User, charlie: User) -> None:
    """A newcomer does not wait for a second job of the one whose first has just been done."""
    for second in range(3):
        waits(alice, second)
    first = attempts.claim_next("w")
    assert first is not None
    waits(charlie, 10)
    services.complete(first, a_result(seconds=0.1), [])
    Job.objects.filter(pk=first.pk).update(completed_at=at(20))

    assert worked_off() == "caa"


def test_newcomers_do_not_keep_an_account_from_its_turn(alice: User, bea: User, charlie: User) -> None:
    for second in range(2):
        waits(alice, second)
    first = attempts.claim_next("w")
    assert first is not None
    services.complete(first, a_result(seconds=0.1), [])
    Job.objects.filter(pk=first.pk).update(completed_at=at(20))
    waits(bea, 30)
    waits(charlie, 40)

    assert worked_off() == "abc"


@pytest.mark.parametrize("seed", range(6))
def test_the_order_told_is_the_order_kept(alice: User, bea: User, charlie: User, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(14):
        waits(chance.choice([alice, alice, bea, charlie]), chance.randrange(100))

    order = foreseen()

    assert worked_off() == order


def test_several_workers_serve_several_accounts_first(alice: User, bea: User, charlie: User) -> None:
    for second in range(4):
        waits(alice, second)
    waits(bea, 10)
    waits(charlie, 11)

    assert worked_off(workers=3) == "abcaaa"


def test_an_account_at_its_limit_is_passed_over(alice: User, charlie: User) -> None:
    for second in range(5):
        waits(alice, second)
    running = [attempts.claim_next("w") for _ in range(4)]
    waits(charlie, 10)

    other = attempts.claim_next("w")

    assert [job is not None for job in running] == [True, True, True, False]
    assert other is not None
    assert other.owner == charlie
    assert [turn.is_ready for turn in turns.line_up(turns.WORK)] == [False, False]


def test_the_ready_are_counted_as_they_stand_in_line(alice: User, bea: User, charlie: User) -> None:
    assert turns.count_ready(turns.WORK).total() == 0
    for second in range(5):
        waits(alice, second)
    waits(bea, 10)
    orphan = waits(charlie, 11)
    Job.objects.filter(pk=orphan.pk).update(owner=None)

    counted = []
    for _ in range(5):
        counted.append((turns.count_ready(turns.WORK).total(), len(turns.ready(turns.WORK))))
        attempts.claim_next("w")

    assert counted == [(5, 5), (4, 4), (3, 3), (2, 2), (1, 1)]


def test_a_job_given_back_is_its_accounts_next(alice: User) -> None:
    first, second = waits(alice, 0), waits(alice, 1)
    taken = attempts.claim_next("w")
    assert taken is not None
    services.give_back(taken)

    again = attempts.claim_next("w")

    assert (taken.pk, again and again.pk) == (first.pk, first.pk)
    assert services.queue_position(second) == 1


def test_downloads_take_turns_too(alice: User, charlie: User) -> None:
    for user in (alice, alice, alice, charlie):
        services.submit(user, video_url="https://example.org/clip.mp4", options=CHROMA)

    first = attempts.claim_next_preparation("w")
    second = attempts.claim_next_preparation("w")

    assert [job and job.owner for job in (first, second)] == [alice, charlie]


def test_the_line_costs_the_same_queries_whoever_waits(
    alice: User, charlie: User, django_assert_num_queries: Any
) -> None:
    waits(alice, 0)
    with django_assert_num_queries(3):
        turns.line_up(turns.WORK)
    for second in range(5):
        waits(charlie, second)

    with django_assert_num_queries(3):
        turns.line_up(turns.WORK)


# How long
@pytest.fixture
def paced(alice: User) -> None:
    """The keyer takes a tenth of a second a frame here, so 25 s for such a job."""
    done = make_job(alice, status="completed", model="chroma", asset=make_asset(alice, duration=0.1))
    Job.objects.filter(pk=done.pk).update(frames_done=250, started_at=at(-50), completed_at=at(-25))


def test_a_waiting_job_is_told_when_it_will_be_done(
    alice: User, charlie: User, paced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(monkeypatch, NEEDS)
    jobs = [waits(user, second, frames_total=250) for second, user in enumerate([alice, alice, charlie])]

    told = [as_json(job) for job in jobs]

    assert [(one["queue_position"], one["eta_seconds"]) for one in told] == [(1, 25.0), (3, 75.0), (2, 50.0)]


def test_what_runs_now_comes_first(alice: User, paced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, NEEDS, NEEDS)
    for left in (8.0, 3.0):
        make_job(alice, status="processing", model="chroma", eta_seconds=left)
    job = waits(alice, 0, frames_total=100)

    assert waiting.outlook([job.pk])[job.pk] == waiting.Outlook(position=1, seconds=13.0)


def test_an_accounts_own_limit_delays_its_fourth_job(alice: User, paced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, *[NEEDS] * 10)
    jobs = [waits(alice, second, frames_total=100) for second in range(4)]

    told = waiting.outlook([job.pk for job in jobs])

    assert [told[job.pk].seconds for job in jobs] == [10.0, 10.0, 10.0, 20.0]


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_is_promised_that_is_not_known(alice: User, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """No worker is there, or no job of this model was ever finished."""
    listening(monkeypatch, *[NEEDS] * workers)
    job = waits(alice, 0, frames_total=100)

    assert waiting.outlook([job.pk])[job.pk] == waiting.Outlook(position=1, seconds=None)


def test_a_crowd_that_asks_costs_one_look(
    alice: User, charlie: User, settings: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    settings.QUEUE_SEEN_SECONDS = 1000
    monkeypatch.setattr(waiting, "_lookahead", waiting.Lookahead())
    first = waits(alice, 0)
    assert waiting.outlook([first.pk])[first.pk].position == 1

    with django_assert_num_queries(0):
        waiting.outlook([first.pk])

    newcomer = waits(charlie, 1)
    assert waiting.outlook([newcomer.pk])[newcomer.pk].position == 2
