"""What a worker does before a job has a source: fetch, look, price, queue."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import User
from apps.engine.errors import EngineFault
from apps.engine.options import Options
from apps.jobs import attempts, runner, services
from apps.jobs.models import Attempt, Job
from tests.fakes import FileServer, Page, file_server
from tests.jobs.conftest import CHROMA
from tests.jobs.running import at_first_tick, fresh, purse

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.usefixtures("clean_scratch"),
]


@pytest.fixture
def outside(settings: Any) -> Iterator[FileServer]:
    with file_server() as server:
        settings.EGRESS_ALLOW = [server.target]
        yield server


def prepared(user: User, url: str, **fields: Any) -> Job:
    job = services.submit(user, video_url=url, options=CHROMA, **fields)
    taken = attempts.claim_preparation(job.pk, 1, "w")
    assert taken is not None
    runner.prepare(taken)
    return fresh(job)


def test_an_address_is_fetched_probed_priced_and_queued(alice: User, clip: Path, outside: FileServer) -> None:
    job = prepared(alice, outside.add("/clip.mp4", Page(clip.read_bytes())))

    assert (job.status, job.stage, job.estimated, job.lease) == ("queued", "waiting", 1_00, None)
    assert purse(alice) == (100_00, 1_00)
    assert job.asset is not None
    assert (job.asset.status, job.asset.facts["frames"], job.asset.size) == ("ready", 25, clip.stat().st_size)
    assert len(job.asset.sha256) == 64
    taken = services.claim(job.pk, 1, "w")
    assert taken is not None
    runner.run(taken)
    assert fresh(job).status == "completed"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (Page(b"not there", status=404), "fetch_failed"),
        (Page(b"<html>no video</html>"), "unsupported_media"),
        (Page(b""), "fetch_failed"),
    ],
)
def test_an_address_that_gives_no_video_fails_the_job_for_free(
    alice: User, outside: FileServer, page: Page, code: str
) -> None:
    job = prepared(alice, outside.add("/clip.mp4", page), webhook_url="https://example.org/h")

    assert (job.status, job.error_code, job.hold, purse(alice)) == ("failed", code, None, (100_00, 0))
    assert job.error
    assert job.asset is not None
    assert (job.asset.status, job.asset.file.name, job.asset.error_code) == ("failed", "", code)


def test_what_the_engine_said_of_a_file_it_could_not_look_at_is_kept_for_support(
    alice: User, clip: Path, outside: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise EngineFault("The engine ended with -11 and no report.\nmoov atom not found")

    monkeypatch.setattr("apps.projects.services.child.probe", crash)

    job = prepared(alice, outside.add("/clip.mp4", Page(clip.read_bytes())))

    assert (job.status, job.error_code, "moov" in job.error) == ("failed", "unsupported_media", False)
    attempt = Attempt.objects.get(job=job)
    assert attempt.log == "EngineFault: The engine ended with -11 and no report.\nmoov atom not found"


def test_an_address_inside_the_house_is_never_asked(alice: User, outside: FileServer, settings: Any) -> None:
    settings.EGRESS_ALLOW = []

    job = prepared(alice, outside.add("/clip.mp4", Page(b"secret")))

    assert (job.status, job.error_code, outside.asked) == ("failed", "fetch_failed", [])


def test_what_is_fetched_but_not_covered_fails_for_free(bob: User, clip: Path, outside: FileServer) -> None:
    job = prepared(bob, outside.add("/clip.mp4", Page(clip.read_bytes())))

    assert (job.status, job.error_code, job.hold, purse(bob)) == ("failed", "insufficient_credits", None, (0, 0))


def test_a_format_limit_found_after_the_fetch_fails_the_job(alice: User, clip: Path, outside: FileServer) -> None:
    url = outside.add("/clip.mp4", Page(clip.read_bytes()))
    job = services.submit(alice, video_url=url, options=Options("chroma", trim=(30.0, None)))
    taken = attempts.claim_preparation(job.pk, 1, "w")
    assert taken is not None

    runner.prepare(taken)

    assert (fresh(job).status, fresh(job).error_code) == ("failed", "limit_exceeded")
    assert "trim.start" in fresh(job).error


def test_a_job_canceled_while_it_was_fetched_stays_canceled(
    alice: User, clip: Path, outside: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_first_tick(monkeypatch, lambda job: services.cancel(fresh(job)))

    job = prepared(alice, outside.add("/clip.mp4", Page(clip.read_bytes())))

    assert (job.status, job.hold, purse(alice)) == ("canceled", None, (100_00, 0))


def test_a_download_is_broken_off_when_the_worker_has_to_go(alice: User, outside: FileServer) -> None:
    """The handler raises in the middle of a read that would take a minute; nothing of the attempt is used or kept."""
    job = services.submit(alice, video_url=outside.add("/slow.mp4", Page(bytes(600), pause=0.1)), options=CHROMA)
    taken = attempts.claim_preparation(job.pk, 1, "w")
    assert taken is not None
    before = signal.signal(signal.SIGUSR1, lambda *_: runner.stop_sign.put_up())
    alarm = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGUSR1))
    alarm.start()
    try:
        runner.prepare(taken)
    finally:
        alarm.join()
        signal.signal(signal.SIGUSR1, before)
        runner.stop_sign.take_down()

    job = fresh(job)
    assert (job.status, job.stage, job.attempt, job.lease) == ("queued", "fetching", 1, None)
    assert job.asset is not None
    assert (job.asset.status, job.asset.file.name) == ("pending", "")
    assert attempts.claim_preparation(job.pk, 1, "w") is not None
