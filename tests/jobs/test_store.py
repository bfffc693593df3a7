"""Media on S3 while the store answers 503 at one step or another: nothing is lost, charged twice or left behind."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import botocore.endpoint
import pytest

from apps.accounts.models import User
from apps.errors import Unavailable
from apps.jobs import bulk, reconcile, retention, runner, services
from apps.jobs.models import Job
from apps.projects import archive
from tests.factories import make_job, make_output
from tests.jobs.running import claimed, fresh, purse
from tests.s3 import Store, s3_store

pytestmark = pytest.mark.usefixtures("clean_scratch")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Store]:
    """Tries again without the pauses in between."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
    with s3_store() as running:
        yield running


def bringing(job: Job) -> Callable[[str, str], bool]:
    return lambda method, address: method in ("GET", "HEAD") and f"assets/{job.asset_id}" in address


def storing(job: Job) -> Callable[[str, str], bool]:
    return lambda method, address: method in ("PUT", "POST") and f"jobs/{job.pk}" in address


def test_a_worker_brings_the_source_from_the_store_and_its_results_there(alice: User, clip: Path, store: Store) -> None:
    job = claimed(alice, clip)

    runner.run(job)

    assert fresh(job).status == "completed"
    outputs = {str(output.file.name) for output in fresh(job).outputs.all()}
    assert store.files() == outputs | {str(job.asset.file.name)}
    retention.delete_media(fresh(job))
    assert store.files() == set()


def test_chosen_results_go_from_the_store_into_an_archive_piece_by_piece(alice: User, store: Store) -> None:
    job = make_job(alice, status="completed")
    made = make_output(make_job(alice, status="completed"), content=bytes(range(256)) * 4096)
    results = bulk.results(Job.objects.filter(pk__in=(job.pk, made.job_id)))

    opened = zipfile.ZipFile(io.BytesIO(b"".join(archive.stream(bulk.entries(results)))))
    store.fails = lambda method, address: f"jobs/{job.pk}" in address

    assert opened.testzip() is None
    assert sorted(info.file_size for info in opened.infolist()) == [8, 8, 1 << 20]
    with pytest.raises(Unavailable):
        b"".join(archive.stream(bulk.entries(results)))


@pytest.mark.parametrize("step", [bringing, storing])
def test_a_store_that_stumbles_costs_no_attempt(alice: User, clip: Path, store: Store, step: Callable) -> None:
    job = claimed(alice, clip)
    at_step, stumbles = step(job), iter(range(2))
    store.fails = lambda method, address: at_step(method, address) and next(stumbles, None) is not None

    runner.run(job)

    assert (fresh(job).status, fresh(job).attempt) == ("completed", 1)


@pytest.mark.parametrize("step", [bringing, storing])
def test_a_job_whose_store_is_away_is_tried_again_and_charged_once(
    alice: User, clip: Path, store: Store, step: Callable
) -> None:
    job = claimed(alice, clip)
    store.fails = step(job)

    runner.run(job)
    assert (fresh(job).status, purse(alice)) == ("processing", (100_00, 1_00))
    store.fails = lambda method, address: False
    reconcile.reap_lost()
    again = services.claim(job.pk, 2, "w")
    assert again is not None
    runner.run(again)

    done = fresh(job)
    assert (done.status, done.attempt, purse(alice)) == ("completed", 2, (99_00, 0))
    assert store.files() == {str(o.file.name) for o in done.outputs.all()} | {str(job.asset.file.name)}


def test_a_store_that_stays_away_ends_the_job_free_of_charge(
    alice: User, clip: Path, store: Store, settings: SimpleNamespace
) -> None:
    settings.MAX_ATTEMPTS = 1
    job = claimed(alice, clip)
    store.fails = lambda method, address: True

    runner.run(job)
    reconcile.reconcile()

    assert (fresh(job).status, fresh(job).error_code, purse(alice)) == ("failed", "worker_lost", (100_00, 0))


def test_media_that_cannot_be_deleted_now_go_later(alice: User, clip: Path, store: Store) -> None:
    job = claimed(alice, clip)
    runner.run(job)
    kept = store.files()
    store.fails = lambda method, address: method == "DELETE"

    with pytest.raises(Unavailable):
        retention.delete_media(fresh(job))
    assert store.files() == kept
    store.fails = lambda method, address: False
    retention.delete_media(fresh(job))

    assert store.files() == set()
