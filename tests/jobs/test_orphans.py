"""`manage.py orphans`, on the local disk and on S3: both ways, and nothing that is at work is touched."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.models import User
from apps.jobs import orphans
from apps.jobs.models import Output
from apps.projects import media
from apps.projects.models import Asset, Deletion, Upload, media_storage
from tests.factories import make_job
from tests.s3 import s3_store

DAY = timedelta(days=1)


@pytest.fixture(params=["disk", "s3"])
def storage(request: Any, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty one, in which everything is two days old."""
    stored = media.stored

    def aged() -> Iterator[media.Stored]:
        return (media.Stored(file.name, file.size, file.changed_at - 2 * DAY) for file in stored())

    monkeypatch.setattr(media, "stored", aged)
    if request.param == "s3":
        with s3_store():
            yield media_storage()
        return
    disk = type(media_storage())(location=tmp_path / "media")
    monkeypatch.setitem(storages._storages, "media", disk)
    for model in (Asset, Output):
        monkeypatch.setattr(model._meta.get_field("file"), "storage", disk)
    yield disk


def put(name: str, content: bytes = b"left over") -> str:
    return str(media_storage().save(name, ContentFile(content)))


def found() -> orphans.Found:
    return orphans.find(older_than=DAY)


def test_what_records_name_is_no_orphan(alice: User, storage: Any) -> None:
    make_job(alice, status="completed")

    assert found() == orphans.Found(looked_at=2, in_place=2)


def test_files_that_no_record_names_are_found_and_deleted(alice: User, storage: Any) -> None:
    job = make_job(alice, status="completed")
    lost = {put(f"jobs/{job.pk}/2/result.webm"), put(f"jobs/{uuid4()}/1/matte.mkv"), put(f"assets/{uuid4()}/source")}
    foreign = put("notes/readme.txt")

    seen = found()
    assert ({file.name for file in seen.files}, [file.name for file in seen.foreign]) == (lost, [foreign])
    assert orphans.put_right(seen) == 3

    assert {file.name for file in media.stored()} == {foreign, job.asset.file.name, job.outputs.get().file.name}
    assert {(row.rule, row.name, row.size) for row in Deletion.objects.all()} == {("orphan", name, 9) for name in lost}


def test_what_is_at_work_or_on_its_way_in_is_left_alone(alice: User, storage: Any) -> None:
    job = make_job(alice, status="processing")
    put(f"jobs/{job.pk}/1/result.webm")
    upload = Upload.objects.create(owner=alice, size=9, expires_at=timezone.now() + DAY)
    put(upload.key)

    assert found().files == []


def test_records_whose_file_is_gone_are_found_and_marked(alice: User, storage: Any) -> None:
    job = make_job(alice, status="completed")
    for name in (job.asset.file.name, job.outputs.get().file.name):
        storage.delete(name)

    seen = found()
    assert ([row.pk for row in seen.outputs], [row.pk for row in seen.assets]) == (
        [job.outputs.get().pk],
        [job.asset.pk],
    )
    assert (orphans.put_right(seen), orphans.put_right(seen)) == (2, 0)

    assert found() == orphans.Found()
    assert (job.outputs.get().deleted_at is not None, Asset.objects.get().status) == (True, "deleted")
    assert {row.rule for row in Deletion.objects.all()} == {"missing"}


def test_young_files_are_left_alone(alice: User, storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(f"jobs/{uuid4()}/1/result.webm")

    assert orphans.find(older_than=3 * DAY).files == []


@pytest.mark.parametrize("storage", ["disk"], indirect=True)
@pytest.mark.parametrize("wrong", ["storage", "database"])
def test_where_nothing_belongs_together_nothing_is_deleted_unasked(alice: User, storage: Any, wrong: str) -> None:
    if wrong == "database":
        put(f"jobs/{uuid4()}/1/result.webm")
    else:
        job = make_job(alice, status="completed")
        for name in (job.asset.file.name, job.outputs.get().file.name):
            storage.delete(name)

    with pytest.raises(CommandError, match="the wrong bucket, folder or database"):
        call_command("orphans", delete=True, older_than=0)
    assert not Deletion.objects.exists()

    call_command("orphans", delete=True, all=True, older_than=0, stdout=io.StringIO())
    assert Deletion.objects.exists()


@pytest.mark.parametrize("storage", ["disk"], indirect=True)
def test_the_command_changes_nothing_until_it_is_told_to(alice: User, storage: Any) -> None:
    make_job(alice, status="completed")
    name = put(f"jobs/{uuid4()}/1/result.webm")
    out = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("orphans", stdout=out)
    assert (ended.value.code, storage.exists(name)) == (1, True)
    assert f"{name}\n3 files looked at: 1 that no record names (9 bytes), 0 that are not ours, 0 " in out.getvalue()
    call_command("orphans", delete=True, older_than=0, stdout=out)

    assert (out.getvalue().endswith("1 put right.\n"), storage.exists(name)) == (True, False)
    call_command("orphans", stdout=out)
