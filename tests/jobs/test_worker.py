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
from apps.jobs import doorbell, reconcile, services, turns
from apps.jobs.models import Job, JobEvent
from apps.jobs.worker import Worker
from apps.ops import checks
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
    django_rq.get_queue("default").connection.flushall()


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
    assert sorted(fresh(job).outputs.values_list("kind", flat=True)) == ["matte", "poster", "preview", "result"]
    stored = media_storage().listdir(f"jobs/{job.pk}/{fresh(job).attempt}")[1]
    assert sorted(stored) == ["matte.mkv", "poster.webp", "preview.mp4", "result.webm"]


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

    wait_for(lambda: is_gone(engine) and is_gone(horse), seconds=20, told=house.logs)
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
    assert (job.status, django_rq.get_queue("cpu").count) == ("queued", 0)

    house.start_workers()

    until(house, lambda: fresh(job).is_final)
    delivered_once(alice, job, seconds=1)
    assert fresh(job).attempt == 1


def test_ringing_twice_calls_once(house: House, alice: User, tmp_path: Path) -> None:
    submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))

    assert [doorbell.ring(turns.WORK), doorbell.ring(turns.WORK)] == [0, 0]

    assert django_rq.get_queue("cpu").count == 1


def test_a_call_that_was_lost_is_made_again(house: House, alice: User, tmp_path: Path) -> None:
    submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))
    line = django_rq.get_queue("cpu")
    # Taken off the queue, as a worker does first; then its machine lost power.
    line.connection.lpop(line.key)

    assert reconcile.ring_again() == 1

    assert line.count == 1


def test_no_more_workers_are_called_than_an_account_may_use(house: House, alice: User, charlie: User) -> None:
    asset = make_asset(alice)
    for _ in range(5):
        services.submit(alice, asset=asset, options=CHROMA)
    assert django_rq.get_queue("cpu").count == 3

    services.submit(charlie, asset=make_asset(charlie), options=CHROMA)

    assert django_rq.get_queue("cpu").count == 4


def test_a_hundred_downloads_leave_the_short_queue_free(house: House, alice: User, charlie: User) -> None:
    for user in (alice, alice, alice, charlie):
        services.submit(user, video_url="https://example.org/clip.mp4", options=CHROMA)

    assert django_rq.get_queue("default").count == doorbell.FETCHES_CALLED_FOR


def test_a_queue_server_that_came_back_empty_learns_again_who_works(house: House) -> None:
    connection = django_rq.get_connection("cpu")
    worker = Worker(["cpu", "gpu"], connection=connection)
    worker.register_birth()  # type: ignore[no-untyped-call]
    connection.flushall()
    assert checks.living_workers() == []

    worker.heartbeat()

    assert [sorted(one.queue_names()) for one in checks.living_workers()] == [["cpu", "gpu"]]
    assert [member.needs for member in doorbell.listeners()] == [("cpu", "gpu")]
    worker.register_death()  # type: ignore[no-untyped-call]


def test_nothing_is_rung_for_a_job_that_is_over(house: House, alice: User, tmp_path: Path) -> None:
    job = submitted(alice, clips.make_clip(tmp_path / "clip.mp4", frames=25))
    services.cancel(job)
    django_rq.get_queue("cpu").empty()

    assert doorbell.ring(turns.WORK) == 0

    assert django_rq.get_queue("cpu").job_ids == []


def test_one_accounts_jobs_do_not_delay_anothers_one(house: House, alice: User, charlie: User, tmp_path: Path) -> None:
    clip = clips.make_clip(tmp_path / "clip.mp4", frames=25)
    many = [submitted(alice, clip) for _ in range(4)]
    one = submitted(charlie, clip)

    house.start_workers()

    until(house, lambda: all(fresh(job).is_final for job in (*many, one)))
    order = Job.objects.order_by("started_at").values_list("pk", flat=True)
    assert list(order) == [job.pk for job in (many[0], one, *many[1:])]
