"""`?wait=`: a caller is answered when the job is final, and few waiters cost many threads nothing."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from apps.jobs import closing, services
from apps.jobs import lookout as module
from apps.jobs.lookout import Lookout, lookout
from apps.jobs.models import Job
from tests.factories import make_job

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.usefixtures("nobody_is_left"),
]


@pytest.fixture
def nobody_is_left(monkeypatch):
    """The thread that looks has gone, so that it does not touch the next test's database."""
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.02)
    yield
    until(lambda: not any(thread.name == "lookout" for thread in threading.enumerate()))


def until(condition) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def in_background(call) -> threading.Thread:
    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def waiters(of: Lookout) -> int:
    return sum(map(len, of._awaited.values()))


def test_a_final_job_is_answered_without_waiting(api, alice, monkeypatch):
    monkeypatch.setattr(lookout, "wait", lambda *_: pytest.fail("waited"))
    job = make_job(alice, status="completed")

    assert api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"] == "completed"


def test_waiting_answers_as_soon_as_the_job_is_final(api, alice):
    """Half a minute would fail the join."""
    job = make_job(alice, status="queued")
    answers = []
    thread = in_background(lambda: answers.append(api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"]))
    until(lambda: waiters(lookout) == 1)

    services.cancel(job)

    thread.join(20)
    assert answers == ["canceled"]
    assert waiters(lookout) == 0


def test_waiting_ends(api, alice):
    job = make_job(alice, status="queued")

    assert api.get(f"/v1/jobs/{job.pk}?wait=1").json()["status"] == "queued"


def test_when_too_many_wait_the_next_is_answered_at_once(api, alice, settings):
    settings.LONG_POLLS = 1
    job = make_job(alice, status="queued")
    thread = in_background(lambda: api.get(f"/v1/jobs/{job.pk}?wait=30"))
    until(lambda: waiters(lookout) == 1)

    assert lookout.wait(job.pk, 1000) is False
    assert api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"] == "queued"

    services.cancel(job)
    thread.join(20)


def test_many_who_wait_cost_one_query_a_look(alice, monkeypatch):
    looks = []
    original = Lookout._final
    monkeypatch.setattr(Lookout, "_final", lambda self, ids: looks.append(len(ids)) or original(self, ids))
    jobs = [make_job(alice, status="queued") for _ in range(3)]
    threads = [in_background(lambda job=job: lookout.wait(job.pk, 20)) for job in jobs for _ in range(4)]
    until(lambda: 3 in looks)

    Job.objects.update(status="canceled")

    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert max(looks) == 3


def test_everybody_is_answered_when_the_process_has_to_go(alice, monkeypatch):
    job = make_job(alice, status="queued")
    thread = in_background(lambda: lookout.wait(job.pk, 1000))
    until(lambda: waiters(lookout) == 1)

    monkeypatch.setattr(closing, "signs", [lambda: True])

    thread.join(20)
    assert not thread.is_alive()


def test_who_waits_keeps_no_connection(alice):
    """Fifty would otherwise use up PostgreSQL's pool."""
    job = make_job(alice, status="queued")
    seen = []

    def wait() -> None:
        Job.objects.get(pk=job.pk)
        watched = connection.connection
        original, connection.close = connection.close, lambda: seen.append(watched is not None) or original()
        lookout.wait(job.pk, 0.1)

    in_background(wait).join(20)

    assert seen[:1] == [True]
