"""Which worker takes which job: by need, its own kind first, and nobody kept from their turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.utils import timezone
from redis import Redis

from apps.accounts.models import User
from apps.engine.options import Options
from apps.jobs import attempts, doorbell, fleet, needs, reconcile, services, tasks, turns, waiting
from apps.jobs.models import Job
from apps.jobs.worker import Worker
from apps.ops import checks, doctor
from tests.factories import make_asset, make_job
from tests.jobs.running import fresh, purse
from tests.jobs.test_turns import listening
from tests.live import House, running_house

NOON = timezone.now().replace(microsecond=0)

pytestmark = pytest.mark.usefixtures("no_scratch")


@pytest.fixture
def no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room enough, and nothing is made for it."""
    monkeypatch.setattr(attempts.room, "take", lambda name, size: attempts.room.Fit.NOW)


def waits(user: User, need: str, second: int = 0, **fields: Any) -> Job:
    queued_at = NOON + timedelta(seconds=second)
    asset = make_asset(user, duration=0.1)
    return make_job(user, asset=asset, model="chroma", need=need, queued_at=queued_at, **fields)


def taken(*heard: str) -> Job | None:
    return attempts.claim_next("w", heard)


@pytest.mark.parametrize(
    ("options", "need"),
    [
        (Options(model="light"), "cpu"),
        (Options(model="original"), "gpu"),
        (Options(model="human"), "gpu"),
        (Options(model="pro"), "gpu"),
        (Options(model="pro", preview_duration=3.0), "preview"),
    ],
)
def test_a_jobs_need_follows_from_its_options(options: Options, need: str) -> None:
    assert needs.need_of(options) == need


@pytest.mark.usefixtures("weights_here")
def test_a_job_keeps_its_need_and_a_draft_gets_its_starters(alice: User) -> None:
    asset, light = make_asset(alice), Options(model="light")
    film = services.submit(alice, asset=asset, options=light)
    draft = services.submit(alice, asset=asset, options=light, auto_start=False)
    before = draft.need

    preview = services.start(draft, preview_duration=2)

    assert (film.need, before, preview.need) == ("cpu", "cpu", "preview")


def test_a_worker_takes_only_what_it_listens_for(alice: User) -> None:
    film = waits(alice, "gpu")

    assert [taken("preview"), taken("cpu"), taken("cpu", "preview")] == [None, None, None]
    job = taken("gpu")
    assert job is not None
    assert job.pk == film.pk


def test_a_preview_waits_for_no_film_not_even_its_owners_own(alice: User, charlie: User) -> None:
    for second in range(5):
        waits(alice, "cpu", second)
    assert [taken("cpu") is None for _ in range(4)] == [False, False, False, True]
    waits(charlie, "gpu", 5)
    preview = waits(alice, "preview", 10)

    job = taken(*needs.NEEDS)

    assert job is not None
    assert job.pk == preview.pk


def test_a_worker_prefers_what_it_is_for_and_helps_with_the_rest(alice: User, charlie: User) -> None:
    light, heavy = waits(alice, "cpu", 0), waits(charlie, "gpu", 10)

    order = [job.pk for job in (taken("gpu", "cpu"), taken("gpu", "cpu")) if job]

    assert order == [heavy.pk, light.pk]


def test_whoever_has_waited_long_is_taken_first_all_the_same(alice: User, charlie: User) -> None:
    """Else a stream of heavy jobs would keep a light one waiting for ever where one machine does both."""
    light, _ = waits(alice, "cpu", 0), waits(charlie, "gpu", 31)

    job = taken("gpu", "cpu")

    assert job is not None
    assert job.pk == light.pk


def test_a_worker_for_everything_prefers_nothing(alice: User, charlie: User) -> None:
    heavy, light = waits(alice, "gpu", 0), waits(charlie, "cpu", 1)

    order = [job.pk for job in (taken(*needs.NEEDS), taken(*needs.NEEDS)) if job]

    assert order == [heavy.pk, light.pk]


def test_accounts_take_turns_within_each_need(alice: User, charlie: User) -> None:
    hers = [waits(alice, "gpu", second) for second in range(3)]
    his = waits(charlie, "gpu", 5)
    waits(charlie, "cpu", 1)

    order = [job.pk for _ in range(3) if (job := taken("gpu"))]

    assert order == [hers[0].pk, his.pk, hers[1].pk]


def test_an_accounts_limit_is_one_for_all_the_long_work(alice: User) -> None:
    for need in ("cpu", "cpu", "gpu", "gpu"):
        waits(alice, need)
    called = [turns.count_ready(turns.WORK)[need] for need in ("cpu", "gpu")]

    assert [taken(need) is not None for need in ("cpu", "cpu", "gpu", "gpu")] == [True, True, True, False]
    assert (called, turns.count_ready(turns.WORK)["gpu"], turns.ready(turns.WORK)) == ([2, 2], 0, [])


# Places and times
def test_places_count_what_goes_to_the_same_workers(
    alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    light, heavy = waits(alice, "cpu", 0), waits(charlie, "gpu", 1)
    preview = waits(charlie, "preview", 2)
    jobs = [light.pk, heavy.pk, preview.pk]

    listening(monkeypatch, ("preview",), ("cpu",), ("gpu",))
    apart = [waiting.outlook(jobs)[pk].position for pk in jobs]
    listening(monkeypatch, needs.NEEDS)
    together = [waiting.outlook(jobs)[pk].position for pk in jobs]

    assert (apart, together) == ([1, 1, 1], [2, 3, 1])


def test_times_are_those_of_the_workers_that_will_take_them(
    alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_pace", lambda model: 0.1)
    film = waits(alice, "cpu", 0, frames_total=1000)
    heavy = waits(charlie, "gpu", 1, frames_total=200)
    second = waits(charlie, "cpu", 2, frames_total=50)
    preview = waits(alice, "preview", 3, frames_total=30)
    jobs = [film.pk, heavy.pk, second.pk, preview.pk]

    listening(monkeypatch, ("preview",), ("cpu",), ("gpu", "cpu"))
    told = [waiting.outlook(jobs)[pk].seconds for pk in jobs]

    assert told == [100.0, 20.0, 25.0, 3.0]


def test_nothing_is_foretold_of_a_need_that_nobody_listens_for(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_pace", lambda model: 0.1)
    job = waits(alice, "gpu", frames_total=100)
    listening(monkeypatch, ("preview", "cpu"))

    assert waiting.outlook([job.pk])[job.pk] == waiting.Outlook(position=1, seconds=None)


# Who listens
@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Queues that somebody listens to."""
    heard = ["preview", "cpu", "default", "webhooks"]

    class Someone:
        def queue_names(self) -> list[str]:
            return heard

    monkeypatch.setattr(checks, "living_workers", lambda: [Someone()])
    return heard


def test_a_need_that_nobody_listens_for_is_bad_only_once_a_job_has_it(alice: User, alive: list[str]) -> None:
    before = checks.workers()
    told = [finding.text for finding in doctor.unheard(before.facts)]
    waits(alice, "gpu")

    after = checks.workers()

    assert (before.ok, after.ok, after.detail) == (True, False, "no worker listens to: gpu")
    assert told == ["no worker takes jobs that need gpu; they would wait: make worker QUEUES=gpu, or WORKER_QUEUES"]


def test_without_any_worker_for_jobs_the_site_is_not_ready(alive: list[str], db: None) -> None:
    del alive[:2]

    assert checks.workers().detail == "no worker listens to: preview, cpu, gpu"


# Larger than any machine
def test_a_job_that_no_machine_has_room_for_fails_and_costs_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    large, small = waits(alice, "cpu", scratch_bytes=500), waits(alice, "cpu", scratch_bytes=100)
    elsewhere = waits(alice, "gpu", scratch_bytes=500)
    members = [fleet.Member("a", ("cpu",), 0, 0, 200), fleet.Member("b", ("gpu",), 0, 0, 0)]
    monkeypatch.setattr(doorbell, "listeners", lambda: members)

    failed = reconcile.fail_too_large()

    large = fresh(large)
    assert (failed, large.status, large.error_code, large.charged) == (1, "failed", "limit_exceeded", 0)
    assert "more than this site gives to one" in large.error
    assert "raise SCRATCH_BYTES (200)" in caplog.text
    assert [fresh(small).status, fresh(elsewhere).status] == ["queued", "queued"]
    assert purse(alice)[0] == 100_00


def test_on_several_hosts_a_large_machine_may_be_away_for_a_moment(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SEVERAL_HOSTS = True
    job = waits(alice, "cpu", scratch_bytes=500)
    monkeypatch.setattr(doorbell, "listeners", lambda: [fleet.Member("a", ("cpu",), 0, 0, 200)])

    at_first = reconcile.fail_too_large()
    Job.objects.filter(pk=job.pk).update(queued_at=timezone.now() - timedelta(minutes=11))

    assert (at_first, reconcile.fail_too_large()) == (0, 1)


# Calls, on a real queue server
@pytest.fixture(scope="module")
def house(django_db_setup: None) -> Iterator[House]:
    with running_house("http://testserver") as running:
        yield running


@pytest.fixture
def queues(house: House) -> Redis:
    connection: Redis = django_rq.get_connection("default")
    connection.flushall()
    return connection


def counts() -> dict[str, int]:
    return {need: django_rq.get_queue(need).count for need in needs.NEEDS}


def test_each_need_is_called_for_in_its_own_queue(alice: User, charlie: User, queues: Redis) -> None:
    for need in ("cpu", "cpu", "gpu", "preview"):
        waits(alice, need)
    waits(charlie, "gpu")

    rung = reconcile.ring_again()

    assert (rung, counts()) == (5, {"preview": 1, "cpu": 2, "gpu": 2})
    assert reconcile.ring_again() == 0


def test_a_call_taken_for_another_need_is_made_again(
    alice: User, queues: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever listens for that one alone would sleep until the reconciler comes round."""
    heavy, _ = waits(alice, "gpu"), waits(alice, "cpu")
    reconcile.ring_again()
    line = django_rq.get_queue("cpu")
    call = line.fetch_job(line.pop_job_id() or "")
    ran: list[Job] = []
    monkeypatch.setattr(tasks, "get_current_job", lambda: call)
    monkeypatch.setattr(tasks.needs, "heard", lambda: ("gpu", "cpu"))
    monkeypatch.setattr(tasks.runner, "run", ran.append)

    tasks.run_next()

    assert ([job.pk for job in ran], counts()["cpu"]) == ([heavy.pk], 1)


def test_workers_tell_what_they_listen_for_and_what_scratch_they_have(queues: Redis, settings: Any) -> None:
    settings.SCRATCH_BYTES = 5_000_000
    worker = Worker([django_rq.get_queue(name) for name in ("gpu", "cpu")], connection=queues)
    worker.register_birth()
    worker.heartbeat()

    (member,) = doorbell.listeners()

    assert (member.needs, member.budget, member.left) == (("gpu", "cpu"), 5_000_000, 5_000_000 - member.used)
    assert doorbell.largest_budgets() == {"cpu": 5_000_000, "gpu": 5_000_000}
    worker.register_death()
    assert doorbell.listeners() == []
