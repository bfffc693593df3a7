"""The course of the faults, how the store fails, what a careful client does, and that the reckoning sees each flaw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.utils import timezone

from apps.accounts.models import User
from apps.api.models import IdempotencyRecord
from apps.credits.models import Hold, LedgerEntry, Purchase, Wallet
from apps.jobs.models import Attempt, Job, JobEvent, Output
from apps.projects.models import Asset
from apps.webhooks.models import Delivery
from tests.factories import make_job
from trials.chaos import faults, patron, reckoning, store
from trials.chaos.faults import DATABASE, KINDS, Away
from trials.chaos.patron import Answer, Patron

ID = "0" * 8 + "-0000" * 3 + "-" + "0" * 12


def test_one_seed_is_one_course() -> None:
    assert faults.course(7, 300) == faults.course(7, 300)
    assert faults.course(7, 300) != faults.course(8, 300)


def test_a_course_has_every_kind_once_before_any_twice() -> None:
    course = faults.course(1, 300)

    first = [fault.kind for fault in course[: len(KINDS)]]
    assert sorted(first) == sorted(KINDS)
    assert all(fault.at < 300 for fault in course)
    assert all(bool(fault.host) == (fault.part in faults.ON_HOSTS) for fault in course)


def test_every_kind_of_fault_has_a_hand() -> None:
    assert [kind for kind in KINDS if not hasattr(faults.Striker, kind.replace(" ", "_"))] == []


# -- the store ------------------------------------------------------------------------------


def call(tmp_path: Path, mode: str) -> tuple[str, list[bytes]]:
    """Status and body of a request to a store that always answers `whole`."""
    said: list[str] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"whole!"]

    if mode:
        (tmp_path / "mode").write_text(mode)
    answer = store.failing(app, tmp_path / "mode")({}, lambda status, headers: said.append(status))
    body = []
    with pytest.raises(store.Cut) if mode == store.CUTS else nullcontext():
        for chunk in answer:
            body.append(chunk)
    return said[0], body


def test_the_store_refuses_and_cuts_as_told(tmp_path: Path) -> None:
    assert call(tmp_path, "") == ("200 OK", [b"whole!"])
    assert call(tmp_path, store.REFUSES) == ("503 Slow Down", [store.REFUSAL])
    assert call(tmp_path, store.CUTS) == ("200 OK", [b"who"])


def test_a_hanging_store_answers_once_it_is_let(tmp_path: Path) -> None:
    (tmp_path / "mode").write_text(store.HANGS)
    got: list[tuple[str, list[bytes]]] = []
    asking = threading.Thread(target=lambda: got.append(call(tmp_path, "")))
    asking.start()
    asking.join(3 * store.TICK)
    assert got == []

    (tmp_path / "mode").unlink()
    asking.join(10)

    assert got == [("200 OK", [b"whole!"])]


# -- the client -----------------------------------------------------------------------------


class Site:
    """Answers what it is given, one after the other, and remembers what it was asked with."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []

    def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> requests.Response:
        self.keys.append(headers.get("Idempotency-Key", ""))
        status, body = self.answers.pop(0)
        if not status:
            raise requests.ConnectionError
        answer = requests.Response()
        answer.status_code, answer._content = status, body
        return answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Callable[[Site], Patron]:
    monkeypatch.setattr(patron.time, "sleep", lambda seconds: None)
    return lambda site: Patron(
        1, "http://site", "cm_x", "", [Path("a.mp4"), Path("b.avi")], "http://outside", "7", threading.Event(),
        session=site,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_careful_client_asks_with_one_key_until_it_knows(client: Callable[[Site], Patron]) -> None:
    away = (503, b'{"error": {"code": "service_unavailable"}}')
    running = (409, b'{"error": {"code": "idempotency_in_progress"}}')
    site = Site((0, b""), away, running, (201, b'{"id": "1", "status": "queued", "error": null}'))
    careful = client(site)

    assert careful.surely("POST", "/v1/jobs", json={}) == (201, {"id": "1", "status": "queued", "error": None})

    assert len(set(site.keys)) == 1
    assert site.keys[0]
    told = [(answer.status, answer.code) for answer in careful.answers]
    assert told == [(0, ""), (503, "service_unavailable"), (409, "idempotency_in_progress"), (201, "")]
    assert careful.unsure == 0


def test_what_never_became_known_is_counted(client: Callable[[Site], Patron]) -> None:
    careful = client(Site(*[(0, b"")] * patron.MOST_TRIES))

    assert careful.surely("POST", "/v1/jobs", json={}) == (0, {})

    assert careful.unsure == 1


def test_an_end_that_changes_is_a_complaint(client: Callable[[Site], Patron]) -> None:
    careful = client(Site((200, b'{"id": "1", "status": "canceled"}'), (200, b'{"id": "1", "status": "completed"}')))
    careful.jobs["1"] = "queued"

    careful.ask()
    careful.ask()

    assert careful.complaints == ["job 1 was canceled and is completed"]


# -- the answers ----------------------------------------------------------------------------

AWAY = [Away(DATABASE, 10, 20)]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answer("GET it", 19, 21, 503, "service_unavailable"), ""),
        (Answer("GET it", 24, 25, 503, "service_unavailable"), ""),
        (Answer("GET it", 1, 2, 404, "not_found"), ""),
        (Answer("GET it", 40, 41, 503, "service_unavailable"), "1 × GET it 503 service_unavailable while all was well"),
        (Answer("GET it", 12, 13, 503, "no envelope"), "1 × GET it 503 no envelope while a part was away"),
        (Answer("GET it", 12, 13, 500, "internal_error"), "1 × GET it 500 internal_error while a part was away"),
        (Answer("GET it", 1, 2, 0), "1 × GET it no answer while all was well"),
        (Answer("GET it", 1, 2, 404, "no envelope"), "1 × GET it 404 without an envelope"),
    ],
)
def test_only_an_honest_503_while_a_part_is_away_is_taken(answer: Answer, complaint: str) -> None:
    assert list(reckoning.of_answers([answer], AWAY)) == ([complaint] if complaint else [])


def test_an_event_may_come_twice_but_not_be_two() -> None:
    assert list(reckoning.of_events([("d1", "job.failed", "1"), ("d1", "job.failed", "1")])) == []
    assert list(reckoning.of_events([("d1", "job.failed", "1"), ("d2", "job.failed", "1")])) == [
        "an event told twice: 1 × job.failed of 1"
    ]


def test_memory_is_judged_by_its_end_against_its_middle() -> None:
    def life(seconds: int, megabytes: Callable[[int], float]) -> list[tuple[float, float]]:
        return [(float(at), megabytes(at)) for at in range(0, seconds, 2)]

    told = reckoning.of_memory(
        {
            "flat": life(300, lambda at: 50 if at < 100 else 120),
            "leaking": life(300, lambda at: 100 + at / 3),
            "short": life(140, lambda at: 100 + at),
        }
    )

    assert list(told) == ["the memory of leaking went from 150 to 190 MB"]


# -- the records ----------------------------------------------------------------------------


@pytest.fixture
def completed(alice: User) -> Job:
    """With everything that belongs to it."""
    job = make_job(alice, status="completed", webhook_url="https://example.org/hook")
    Delivery.objects.create(user=alice, event="job.completed", url=job.webhook_url, subject=job.pk, state="sent")
    return job


def complaints() -> list[str]:
    return [text.partition(":")[0] for text in reckoning.of_records(reckoning.asked())]


def test_good_records_have_no_complaints(completed: Job, alice: User) -> None:
    job = make_job(alice, status="canceled")
    answer_for(alice, timedelta(seconds=-1))

    assert complaints() == []
    assert job.hold is not None


def unended(job: Job) -> None:
    Attempt.objects.create(job=job, lease=ID, number=1, task="work", worker="w", started_at=job.created_at)


def post(user: User | None, kind: str, amount: int, *, reference: str) -> None:
    """A line that no service would write."""
    wallet, key = Wallet.objects.get(user=user), f"{LedgerEntry.objects.count()}"
    LedgerEntry.objects.create(wallet=wallet, kind=kind, amount=amount, balance_after=0, key=key, reference=reference)


def answer_for(user: User, lease: timedelta) -> None:
    IdempotencyRecord.objects.create(user=user, key="k", fingerprint="f", lease_until=timezone.now() + lease)


FLAWS: list[tuple[str, Callable[[Job], Any]]] = [
    ("a job is not final", lambda job: Job.objects.filter(pk=job.pk).update(status="processing")),
    ("an ended job is still held by a worker", lambda job: Job.objects.filter(pk=job.pk).update(lease=ID)),
    ("a job ended more or less than once", lambda job: JobEvent.objects.create(job=job, name="canceled")),
    ("a job ended more or less than once", lambda job: JobEvent.objects.all().delete()),
    ("a completed job was not captured once, or for another price", lambda job: Job.objects.update(charged=1)),
    (
        "a completed job was not captured once, or for another price",
        lambda job: post(job.owner, "capture", -1, reference=str(job.pk)),
    ),
    ("a job that was not completed was charged, or keeps its hold", lambda job: Job.objects.update(status="failed")),
    ("a hold belongs to no job", lambda job: Job.objects.update(hold=None)),
    ("a completed job has not one result, or files of several attempts", lambda job: Output.objects.all().delete()),
    ("a job that was not completed has files", lambda job: Job.objects.update(status="canceled")),
    (
        "a job failed by a fault of ours",
        lambda job: Job.objects.update(status="failed", error_code="verification_failed"),
    ),
    ("an attempt never ended", unended),
    ("a balance is not the sum of its lines", lambda job: Wallet.objects.update(balance=1)),
    ("credits are still held", lambda job: Wallet.objects.update(held=1)),
    ("an account went below zero", lambda job: Wallet.objects.update(balance=-1)),
    ("an event was not told once", lambda job: Delivery.objects.all().delete()),
    ("an event was not delivered", lambda job: Delivery.objects.update(state="pending")),
    ("a request is answered for ever", lambda job: answer_for(job.owner, timedelta(minutes=1))),
    ("a source that is still waited for", lambda job: Asset.objects.update(status="pending", expires_at=None)),
]


@pytest.mark.parametrize(("complaint", "break_it"), FLAWS, ids=[f"{n}" for n in range(len(FLAWS))])
def test_each_flaw_in_the_records_is_seen(completed: Job, complaint: str, break_it: Callable[[Job], Any]) -> None:
    assert complaints() == []

    break_it(completed)

    assert complaint in complaints()


def test_what_was_paid_must_have_been_granted_once(alice: User, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"tables": {"sessions": {"cs_1": {"payment_status": "paid"}}}}')
    assert list(reckoning.of_purchases(state)) == ["cs_1 is paid: the purchase is unknown, 0 lines give 0"]
    terms = {"pack": "starter", "credits": 100, "amount": 9, "currency": "usd", "pricing_version": 1}
    purchase = Purchase.objects.create(user=alice, session_id="cs_1", status="paid", **terms)
    assert list(reckoning.of_purchases(state)) == ["cs_1 is paid: the purchase is paid, 0 lines give 0"]

    post(alice, "purchase", 100, reference=str(purchase.pk))
    assert list(reckoning.of_purchases(state)) == []

    post(alice, "purchase", 100, reference=str(purchase.pk))

    assert list(reckoning.of_purchases(state)) == ["cs_1 is paid: the purchase is paid, 2 lines give 200"]


def test_files_and_records_are_held_against_each_other(completed: Job) -> None:
    named = {str(name) for name in Output.objects.values_list("file", flat=True)}
    assert completed.asset is not None
    fleet: Any = SimpleNamespace(stored=lambda: {*named, "jobs/stray"}, begun_in_parts=lambda: {"assets/1/source"})

    assert list(reckoning.of_storage(fleet)) == [
        "a stored file that no record names: 1 × jobs/stray",
        f"a record whose file is gone: 1 × {completed.asset.file.name}",
        "parts that no upload names: 1 × assets/1/source",
    ]


def test_files_left_on_a_host_are_named(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    assert list(reckoning.of_hosts([tmp_path])) == []

    (tmp_path / "scratch" / "job").mkdir()

    assert list(reckoning.of_hosts([tmp_path])) == [f"left in {tmp_path.name}'s scratch: 1 × job"]


def test_jobs_are_held_against_what_clients_were_told(completed: Job, client: Callable[[Site], Patron]) -> None:
    careful = client(Site())
    assert list(reckoning.of_clients([careful])) == [
        f"a job that nobody was told of (0 requests were left open): 1 × {completed.pk}"
    ]

    careful.jobs = {str(completed.pk): "failed", ID: "queued"}

    assert list(reckoning.of_clients([careful])) == [
        f"a job that was promised and is not there: 1 × {ID}",
        f"a job whose end has changed since it was told: 1 × {completed.pk} failed",
    ]


def test_a_hold_that_is_open_is_seen(completed: Job) -> None:
    Hold.objects.update(state="open", captured=0)

    assert "a completed job was not captured once, or for another price" in complaints()
