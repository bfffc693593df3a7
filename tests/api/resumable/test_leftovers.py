"""Uploads in parts that are killed, overtaken, given up or forgotten: nothing is lost, and nothing is left."""

from __future__ import annotations

import errno
import os
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.projects import media, parts, resumable, services
from apps.projects.models import Asset, Upload
from tests.api.resumable.conftest import NO_MORE, begin, complete, cut, put, refusal, send, state

pytestmark = pytest.mark.django_db


def test_an_upload_that_is_given_up_leaves_nothing(store, api, content):
    begun = begin(api, content)
    send(begun, content, without=(2,))

    gone = api.delete(f"/v1/uploads/{begun['upload_id']}")

    assert (gone.status_code, gone.json()["upload_id"]) == (200, begun["upload_id"])
    assert api.get(f"/v1/uploads/{begun['upload_id']}").status_code == 404
    assert put(begun["parts"][1]["url"], cut(content, 2)).status_code in NO_MORE
    assert Upload.objects.count() == 0


def test_an_expired_upload_is_unknown_and_swept(store, api, content):
    begun = begin(api, content)
    send(begun, content)
    kept = begin(api, content)
    Upload.objects.filter(pk=begun["upload_id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert complete(api, begun).status_code == 404
    assert resumable.sweep() == 1

    assert [str(upload.pk) for upload in Upload.objects.all()] == [kept["upload_id"]]
    assert resumable.sweep() == 0


def test_a_completion_that_was_killed_is_done_again(store, api, content, monkeypatch):
    """Killed after the file was stored and before its row was written: `kill -9` runs no clean-up."""
    begun = begin(api, content)
    send(begun, content)

    class Killed(BaseException): ...

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(services, "enter", die)
        with pytest.raises(Killed):
            resumable.complete(Upload.objects.get())
    Upload.objects.update(status="completing", lease=uuid.uuid4(), lease_until=timezone.now() + timedelta(minutes=5))
    assert refusal(complete(api, begun))[:2] == (409, "conflict")
    Upload.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    body = complete(api, begun)

    assert body.status_code == 201, body.content
    assert Asset.objects.count() == 1


def test_two_completions_at_once_make_one_asset(store, api, content, monkeypatch):
    """The second comes while the first looks at the file."""
    begun = begin(api, content)
    send(begun, content)
    look, seen = services.look, []

    def look_while_another_tries(*args: Any, **kwargs: Any) -> Any:
        if not seen:
            seen.append(None)
            seen.append(complete(api, begun))
        return look(*args, **kwargs)

    monkeypatch.setattr(services, "look", look_while_another_tries)

    first = complete(api, begun)

    assert first.status_code == 201
    assert refusal(seen[1])[:2] == (409, "conflict")
    assert Asset.objects.count() == 1


def test_one_that_was_overtaken_while_it_was_slow_writes_nothing(store, api, content, monkeypatch):
    begun = begin(api, content)
    send(begun, content)
    look, seen = services.look, []

    def look_for_ages(*args: Any, **kwargs: Any) -> Any:
        if not seen:
            Upload.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            seen.append(None)
            seen.append(complete(api, begun))
        return look(*args, **kwargs)

    monkeypatch.setattr(services, "look", look_for_ages)

    slow = complete(api, begun)

    assert seen[1].status_code == 201
    assert refusal(slow)[:2] == (409, "conflict")
    with storages["media"].open(Asset.objects.get().file.name) as file:
        assert file.read() == content


def test_a_full_disk_is_told_as_one_and_loses_nothing(api, content, monkeypatch):
    begun = begin(api, content)
    send(begun, content)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parts, "_write", full)
        assert refusal(put(begun["parts"][0]["url"], cut(content, 1)))[:2] == (503, "service_unavailable")
    with monkeypatch.context() as patch:
        patch.setattr(media.LocalFile, "temporary_file_path", full)
        assert refusal(complete(api, begun))[:2] == (503, "service_unavailable")
    with monkeypatch.context() as patch:
        patch.setattr(parts, "free_bytes", lambda folder: 2 * len(content) - 1)
        assert begin(api, content, expect=503)["error"]["code"] == "service_unavailable"

    assert complete(api, begun).status_code == 201


def test_folders_without_a_row_are_swept(alice, settings, tmp_path):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    upload = resumable.begin(alice, filename="x", size=5)
    old, young = tmp_path / "uploads" / str(uuid.uuid4()), tmp_path / "uploads" / str(uuid.uuid4())
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))
    os.utime(parts.folder_of(upload), (0, 0))

    assert resumable.sweep() == 1

    assert {path.name for path in (tmp_path / "uploads").iterdir()} == {young.name, str(upload.pk)}


def test_an_upload_whose_account_is_gone_is_swept(store, api, alice, content):
    begun = begin(api, content)
    send(begun, content)
    Upload.objects.update(owner=None)

    assert resumable.sweep() == 1
    assert Upload.objects.count() == 0


def test_a_whole_file_whose_process_was_killed_while_it_was_stored_is_swept(store, alice, content, monkeypatch):
    class Killed(BaseException): ...

    def die(*_: object) -> None:
        raise Killed

    def killed_delete(*_: object) -> None: ...

    upload = SimpleUploadedFile("clip.mp4", content)
    with monkeypatch.context() as patch:
        patch.setattr(services, "enter", die)
        patch.setattr(Upload, "delete", killed_delete)
        patch.setattr(type(storages["media"]), "delete", killed_delete)
        with pytest.raises(Killed):
            services.create_asset(services.default_project(alice), upload, filename="clip.mp4")
    row = Upload.objects.get()
    assert storages["media"].exists(row.key)
    assert resumable.sweep() == 0
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert resumable.sweep() == 1
    assert not storages["media"].exists(row.key)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again without the pauses in between."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.mark.parametrize("store", ["s3"], indirect=True)
@pytest.mark.parametrize(
    "step",
    [
        lambda method, address: method == "GET" and "uploadId" in address,
        lambda method, address: method == "POST",
        lambda method, address: method in ("GET", "HEAD") and "uploadId" not in address,
    ],
    ids=["while it lists", "while it joins", "while it is looked at"],
)
def test_a_store_that_is_away_refuses_nothing_for_good(store, away, api, content, step):
    begun = begin(api, content)
    send(begun, content)
    store.fails = step

    away_answer = complete(api, begun)
    store.fails = lambda method, address: False

    assert refusal(away_answer) == (503, "service_unavailable", None)
    assert state(api, begun)["missing"] == []
    assert complete(api, begun).status_code == 201


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_store_that_is_away_at_the_first_step_leaves_no_row_that_counts(store, away, api, alice, content):
    store.fails = lambda method, address: True

    assert begin(api, content, expect=503)["error"]["code"] == "service_unavailable"

    assert resumable.unfinished(alice).count() == 0
    store.fails = lambda method, address: False
    assert resumable.sweep() == 1


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_what_a_store_that_is_away_could_not_remove_is_removed_later(store, away, api, content):
    begun = begin(api, content)
    send(begun, content)
    store.fails = lambda method, address: True

    answer = api.delete(f"/v1/uploads/{begun['upload_id']}")
    store.fails = lambda method, address: False

    assert refusal(answer)[:2] == (503, "service_unavailable")
    assert api.get(f"/v1/uploads/{begun['upload_id']}").status_code == 404
    assert resumable.sweep() == 1
    assert Upload.objects.count() == 0
