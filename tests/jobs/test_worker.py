"""Real workers on a real queue server, and what is left when any one of them is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_rq
import pytest
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.jobs import doorbell, services
from apps.jobs.models import Job, JobEvent
from apps.projects import services as projects
from apps.projects.models import Asset, media_storage
from tests import clips
from tests.factories import make_asset
from tests.jobs.conftest import CHROMA
from tests.live import House, books, descendants, running_house, wait_for

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

SECONDS = 60


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough frames to be killed in the middle of."""
    return clips.make_clip(tmp_path_factory.mktemp("clips") / "long.mp4", frames=1000)


@pytest.fixture(scope="module")
def house(django_db_setup: None, live_server: LiveServer) -> Iterator[House]:
    with running_house(live_server.url) as running:
        yield running


@pytest.fixture(autouse=True)
def empty_queue(house: House) -> Iterator[None]:
    yield
    house.stop_workers()
    for name in ("jobs", "default"):
        django_rq.get_queue(name).connection.flushall()


def submitted(user: User, clip: Path) -> Job:
    asset: Asset = make_asset(user, content=clip.read_bytes())
    asset.facts = projects.look(clip, kind="video")
    asset.save()
    return services.submit(user, asset=asset, options=CHROMA)


def fresh(job: Job) -> Job:
    return Job.objects.with_details().get(pk=job.pk)


def timeline(job: Job) -> list[str]:
    return list(JobEvent.objects.filter(job=job).values_list("name", flat=True))


def until(house: House, condition: Any) -> None:
    wait_for(condition, seconds=SECONDS, told=house.logs)


def until_half_way(house: House, job: Job) -> None:
    until(house, lambda: fresh(job).frames_done > 0)


def worker_and_family(house: House) -> tuple[int, int, int]:
    """Process ids of the worker, its horse, and the horse's engine."""
    worker = house.children["worker-jobs-1"].pid
    assert worker is not None
    horse, engine, *_ = descendants(worker)
    return worker, horse, engine


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def delivered_once(user: User, job: Job, seconds: int = 40) -> None:
    amount = seconds * 1_00
    assert (fresh(job).status, fresh(job).error, fresh(job).charged) == ("completed", "", amount)
    assert books(user)["entries"] == [("grant", 100_00), ("capture", -amount)]
    assert sorted(fresh(job).outputs.values_list("kind", flat=True)) == ["matte", "preview", "result"]
    attempt = fresh(job).attempt
    assert sorted(media_storage().listdir(f"jobs/{job.pk}/{attempt}")[1]) == ["matte.mkv", "preview.mp4", "result.webm"]


@pytest.mark.parametrize("victim", ["worker", "horse", "engine"])
def test_a_job_whose_process_is_killed_finishes_and_is_charged_once(
    house: House, alice: User, long_clip: Path, victim: str
) -> None:
    house.start_workers()
    job = submitted(alice, long_clip)
    until_half_way(house, job)
    worker, horse, engine = worker_and_family(house)

    os.kill({"worker": worker, "horse": horse, "engine": engine}[victim], signal.SIGKILL)

    if victim == "worker":
        house.children.pop("worker-jobs-1").kill()
        house.start_workers()
    until(house, lambda: is_gone(engine))
    until(house, lambda: fresh(job).is_final)
    assert fresh(job).attempt == 2
    assert "requeued" in timeline(job)
    delivered_once(alice, job)


def test_a_worker_told_to_stop_gives_its_job_back_without_using_an_attempt(
    house: House, alice: User, long_clip: Path
) -> None:
    house.start_workers()
    job = submitted(alice, long_clip)
    until_half_way(house, job)
    worker, _, engine = worker_and_family(house)

    os.kill(worker, signal.SIGTERM)

    until(house, lambda: is_gone(worker))
    assert is_gone(engine)
    assert (fresh(job).status, fresh(job).attempt, fresh(job).lease) == ("queued", 1, None)
    assert books(alice)["holds"] == [("open", 40_00, 0)]
    house.children.pop("worker-jobs-1").kill()
    house.start_workers()
    until(house, lambda: fresh(job).is_final)
    assert (fresh(job).attempt, timeline(job).count("given_back")) == (1, 1)
    delivered_once(alice, job)


def test_a_canceled_job_stops_its_engine_within_seconds(house: House, alice: User, long_clip: Path) -> None:
    house.start_workers()
    job = submitted(alice, long_clip)
    until_half_way(house, job)
    _, horse, engine = worker_and_family(house)

    services.cancel(fresh(job))

    wait_for(lambda: is_gone(engine) and is_gone(horse), seconds=5, told=house.logs)
    assert fresh(job).status == "canceled"
    assert books(alice)["holds"] == [("released", 40_00, 0)]
    assert fresh(job).outputs.count() == 0


def test_a_job_submitted_while_the_queue_was_down_is_run_later(
    house: House, alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for queue in django_rq.settings.QUEUES.values():
            patch.setitem(queue, "URL", f"unix://{tmp_path}/nobody.sock")
        job = submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))
    assert (job.status, fresh(job).enqueued_at) == ("queued", None)

    house.start_workers()

    until(house, lambda: fresh(job).is_final)
    delivered_once(alice, job, seconds=1)
    assert fresh(job).attempt == 1


def test_ringing_twice_leaves_one_task(house: House, alice: User, tmp_path: Path) -> None:
    job = submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))

    assert [doorbell.ring(job.pk), doorbell.ring(job.pk)] == [True, True]

    line = django_rq.get_queue("jobs")
    assert line.job_ids == [f"job-{job.pk}-1"]
    assert fresh(job).enqueued_at is not None


def test_a_task_whose_worker_died_before_claiming_is_rung_again(
    house: House, alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))
    line = django_rq.get_queue("jobs")
    # Taken off the queue, as a worker does first; then its machine lost power.
    line.connection.lpop(line.key)

    assert not doorbell.ring(job.pk)
    assert line.job_ids == []

    monkeypatch.setattr(doorbell, "FORGOTTEN_AFTER", doorbell.FORGOTTEN_AFTER * 0)
    assert doorbell.ring(job.pk)
    assert line.job_ids == [f"job-{job.pk}-1"]


def test_nothing_is_rung_for_a_job_that_is_over(house: House, alice: User, tmp_path: Path) -> None:
    job = submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))
    services.cancel(job)
    django_rq.get_queue("jobs").empty()

    assert not doorbell.ring(job.pk)

    assert django_rq.get_queue("jobs").job_ids == []
