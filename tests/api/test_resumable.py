"""Uploads in parts: one protocol on the local disk and on S3, from the first address to the asset."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import botocore.endpoint
import pytest
import requests
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image
from pytest_django import Settings

from apps.errors import AppError
from apps.projects import media, parts, resumable, services
from apps.projects.models import Asset, Project, Upload
from tests.api.conftest import JSON
from tests.s3 import Store, s3_store

pytestmark = pytest.mark.django_db

PART = 500
NO_MORE = (404, 409, 500)
"""What a part is answered that nobody waits for; 500 is the test's own store, where a real one says 404."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART_BYTES", PART)


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, db: None, settings: Settings, tmp_path: Path) -> Iterator[Store | None]:
    """None on the local disk. Afterwards nothing lies anywhere that no row knows of."""
    settings.UPLOADS_DIR = tmp_path / "uploads"
    if request.param == "disk":
        yield None
    else:
        with s3_store() as running:
            yield running
            running.fails = lambda method, address: False
            known = {str(asset.file.name) for asset in Asset.objects.exclude(file="")}
            assert running.files() == known
            open_ = Upload.objects.filter(status="open")
            assert running.unfinished() == open_.count()
    folders = {path.name for path in settings.UPLOADS_DIR.glob("*")}
    assert folders <= {str(key) for key in Upload.objects.filter(status="open").values_list("pk", flat=True)}


@pytest.fixture
def content(clip: Path) -> bytes:
    return clip.read_bytes()


def begin(api: Client, content: bytes, *, expect: int = 201, **fields: Any) -> dict[str, Any]:
    body = {"filename": "clip.mp4", "size": len(content), "content_type": "video/mp4", **fields}
    response = api.post("/v1/uploads", body, content_type=JSON)
    assert response.status_code == expect, response.content
    return dict(response.json())


def put(url: str, data: bytes, **headers: str) -> Any:
    """As anybody would who has nothing but the address."""
    if urlsplit(url).netloc != "testserver":
        return requests.put(url, data=data, headers={"Content-Type": "application/octet-stream", **headers}, timeout=20)
    stranger = Client(raise_request_exception=False)
    return stranger.generic("PUT", url.removeprefix("http://testserver"), data, content_type="")


def cut(content: bytes, number: int) -> bytes:
    return content[(number - 1) * PART : number * PART]


def send(begun: dict[str, Any], content: bytes, *, without: tuple[int, ...] = ()) -> dict[int, str]:
    """Every part, the last first; their ETags."""
    etags = {}
    for part in reversed(begun["parts"]):
        if part["number"] not in without:
            answer = put(part["url"], cut(content, part["number"]))
            assert answer.status_code == 200, answer.content
            etags[part["number"]] = answer.headers["ETag"]
    return etags


def complete(api: Client, begun: dict[str, Any], body: Any = None, **headers: str) -> Any:
    return api.post(f"/v1/uploads/{begun['upload_id']}/complete", body or {}, content_type=JSON, headers=headers)


def state(api: Client, begun: dict[str, Any]) -> dict[str, Any]:
    response = api.get(f"/v1/uploads/{begun['upload_id']}")
    assert response.status_code == 200
    return dict(response.json())


def refusal(response: Any) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_a_file_in_parts_is_answered_like_one_that_came_at_once(store, api, alice, content):
    whole = api.post("/v1/uploads", {"file": io.BytesIO(content)}).json()
    begun = begin(api, content, sha256=hashlib.sha256(content).hexdigest(), project="film-7")
    count = -(-len(content) // PART)
    assert (begun["success"], begun["part_size"]) == (True, PART)
    assert [part["number"] for part in begun["parts"]] == list(range(1, count + 1))

    send(begun, content)
    response = complete(api, begun)

    body = response.json()
    assert response.status_code == 201
    assert {**body, "filename": "", "video_id": "", "video_url": ""} == {
        **whole, "filename": "", "video_id": "", "video_url": "",
    }  # fmt: skip
    asset = Asset.objects.get(pk=body["video_id"])
    assert (asset.owner, asset.sha256, asset.size) == (alice, hashlib.sha256(content).hexdigest(), len(content))
    assert asset.project == Project.objects.get(external_id="film-7")
    with storages["media"].open(asset.file.name) as file:
        assert file.read() == content
    assert state(api, begun)["video_id"] == body["video_id"]


def test_what_has_arrived_is_told_and_what_is_missing_is_named(store, api, content):
    begun = begin(api, content)
    etags = send(begun, content, without=(1, 2))

    told = state(api, begun)
    response = complete(api, begun)

    assert told["status"] == "open"
    assert told["missing"] == [1, 2]
    assert {part["number"]: part["etag"] for part in told["parts"]} == etags
    assert refusal(response) == (409, "conflict", "parts")
    assert response.json()["error"]["missing"] == [1, 2]
    assert Asset.objects.count() == 0


def test_a_lost_connection_is_taken_up_with_fresh_addresses(store, api, content):
    begun = begin(api, content)
    send(begun, content, without=(1, 3))

    fresh = api.post(f"/v1/uploads/{begun['upload_id']}/parts", {"numbers": [3, 1]}, content_type=JSON).json()
    send(fresh, content)

    assert [part["number"] for part in fresh["parts"]] == [3, 1]
    assert complete(api, begun).status_code == 201


def test_a_part_sent_again_replaces_the_first(store, api, content):
    begun = begin(api, content, sha256=hashlib.sha256(content).hexdigest())
    put(begun["parts"][0]["url"], b"?" * PART)

    etags = send(begun, content)

    assert state(api, begun)["parts"][0]["etag"] == etags[1]
    assert complete(api, begun).status_code == 201


def test_the_callers_etags_are_checked_where_given(store, api, content):
    begun = begin(api, content)
    etags = send(begun, content)
    wrong = [{"number": 1, "etag": '"0123"'}]
    right = [{"number": number, "etag": etag} for number, etag in etags.items()]

    assert refusal(complete(api, begun, {"parts": wrong})) == (422, "invalid_request", "parts")
    assert complete(api, begun, {"parts": right}).status_code == 201


@pytest.mark.parametrize("promised", ["another sha256", None])
def test_a_file_that_is_refused_is_not_kept_and_stays_refused(store, api, content, promised):
    data = content if promised else b"no film at all" * 200
    begun = begin(api, data, **({"sha256": "0" * 64} if promised else {}))
    send(begun, data)

    first, second = complete(api, begun), complete(api, begun)

    expected = (422, "invalid_request", "sha256") if promised else (422, "unsupported_media", "file")
    assert refusal(first) == refusal(second) == expected
    assert (state(api, begun)["status"], state(api, begun)["error_code"]) == ("failed", expected[1])
    assert Asset.objects.count() == 0


def test_completed_twice_it_is_one_asset_with_one_answer(store, api, content):
    begun = begin(api, content)
    send(begun, content)

    first, second = complete(api, begun), complete(api, begun)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["video_id"] == second.json()["video_id"] == begun["upload_id"]
    assert Asset.objects.count() == 1


def test_an_upload_that_is_given_up_leaves_nothing(store, api, content):
    begun = begin(api, content)
    send(begun, content, without=(2,))

    gone = api.delete(f"/v1/uploads/{begun['upload_id']}")

    assert (gone.status_code, gone.json()["upload_id"]) == (200, begun["upload_id"])
    assert api.get(f"/v1/uploads/{begun['upload_id']}").status_code == 404
    assert put(begun["parts"][1]["url"], cut(content, 2)).status_code in NO_MORE
    assert Upload.objects.count() == 0


def test_what_is_complete_cannot_be_given_up_or_sent_to(store, api, content):
    begun = begin(api, content)
    send(begun, content)
    complete(api, begun)

    assert refusal(api.delete(f"/v1/uploads/{begun['upload_id']}")) == (409, "conflict", None)
    fresh = api.post(f"/v1/uploads/{begun['upload_id']}/parts", {"numbers": [1]}, content_type=JSON)
    assert refusal(fresh) == (409, "conflict", None)
    assert put(begun["parts"][0]["url"], cut(content, 1)).status_code in NO_MORE


def test_an_expired_upload_is_unknown_and_swept(store, api, content):
    begun = begin(api, content)
    send(begun, content)
    kept = begin(api, content)
    Upload.objects.filter(pk=begun["upload_id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert complete(api, begun).status_code == 404
    assert resumable.sweep() == 1

    assert [str(upload.pk) for upload in Upload.objects.all()] == [kept["upload_id"]]
    assert resumable.sweep() == 0


def test_a_background_comes_in_parts_too(store, api):
    picture = io.BytesIO()
    Image.effect_noise((60, 40), 90).save(picture, "PNG")
    begun = begin(api, picture.getvalue(), filename="b.png", purpose="background")
    send(begun, picture.getvalue())

    body = complete(api, begun).json()

    assert (body["width"], body["height"], body["image_id"]) == (60, 40, begun["upload_id"])


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


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"size": 500_000_001}, 413, "file_too_large", "file"),
        ({"size": 20_000_001, "purpose": "background"}, 413, "file_too_large", "file"),
        ({"size": 0}, 422, "invalid_request", "size"),
        ({"size": -5}, 422, "invalid_request", "size"),
        ({"size": "2000"}, 422, "invalid_request", "size"),
        ({"size": 20.5}, 422, "invalid_request", "size"),
        ({"size": True}, 422, "invalid_request", "size"),
        ({"size": None}, 422, "invalid_request", "size"),
        ({"size": 10**30}, 413, "file_too_large", "file"),
        ({"filename": 7}, 422, "invalid_request", "filename"),
        ({"filename": ""}, 422, "invalid_request", "filename"),
        ({"sha256": "abc"}, 422, "invalid_request", "sha256"),
        ({"sha256": "0" * 63 + "g"}, 422, "invalid_request", "sha256"),
        ({"content_type": 1}, 422, "invalid_request", "content_type"),
        ({"purpose": "audio"}, 422, "invalid_request", "purpose"),
        ({"colour": "red"}, 422, "invalid_request", "colour"),
    ],
)
def test_what_would_be_refused_is_refused_before_a_byte_is_sent(api, changes, status, code, param):
    answer = begin(api, b"x" * 100, expect=status, **changes)

    assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
    assert Upload.objects.count() == 0


def test_an_account_cannot_pile_up_unfinished_uploads(store, api, alice, settings, content):
    settings.MAX_UNFINISHED_UPLOADS = 2
    first, _ = begin(api, content), begin(api, content)

    answer = begin(api, content, expect=422)
    api.delete(f"/v1/uploads/{first['upload_id']}")

    assert answer["error"]["code"] == "limit_exceeded"
    begin(api, content)
    newest = resumable.begin(alice, filename="x", size=5, makes_room=True)
    assert Upload.objects.count() == 2
    assert resumable.unfinished(alice).first() == newest


@pytest.mark.parametrize("body", [{}, {"numbers": []}, {"numbers": [0]}, {"numbers": [99]}, {"numbers": ["1"]}])
def test_a_part_that_does_not_exist_gets_no_address(api, content, body):
    begun = begin(api, content)

    answer = api.post(f"/v1/uploads/{begun['upload_id']}/parts", body, content_type=JSON)

    assert refusal(answer)[:2] == (422, "invalid_request")
    resumable.discard(Upload.objects.get())


def test_strangers_and_narrow_keys_see_nothing(api, caller, alice, charlie, content):
    begun = begin(api, content)
    path = f"/v1/uploads/{begun['upload_id']}"
    stranger, narrow = caller(charlie), caller(alice, scopes=("jobs:read", "jobs:write"))

    for client, status in ((stranger, 404), (narrow, 403)):
        assert client.get(path).status_code == status
        assert client.delete(path).status_code == status
        assert client.post(f"{path}/complete", {}, content_type=JSON).status_code == status
        assert client.post(f"{path}/parts", {"numbers": [1]}, content_type=JSON).status_code == status
    assert Client().get(path).status_code == 401
    resumable.discard(Upload.objects.get())


def test_an_address_of_a_part_cannot_be_bent(api, content):
    begun = begin(api, content)
    first, second = begun["parts"][0]["url"], begun["parts"][1]["url"]
    later = first.replace("expires=1", "expires=2")

    for url in (first.replace("/parts/1?", "/parts/2?"), later, first[:-3] + "abc", second.partition("?")[0]):
        assert put(url, cut(content, 1)).status_code in (403, 422)
    assert put(first, cut(content, 1)).status_code == 200
    resumable.discard(Upload.objects.get())


@pytest.mark.parametrize(("data", "status"), [(b"", 422), (b"x" * 499, 422), (b"x" * 501, 413)])
def test_a_part_of_another_size_is_refused(api, content, data, status):
    begun = begin(api, content)

    answer = put(begun["parts"][0]["url"], data)

    assert answer.status_code == status
    assert state(api, begun)["parts"] == []
    resumable.discard(Upload.objects.get())


def test_a_part_that_breaks_off_leaves_the_one_before_it(api, content):
    begun = begin(api, content)
    etag = put(begun["parts"][0]["url"], cut(content, 1)).headers["ETag"]
    upload = Upload.objects.get()

    with pytest.raises(AppError, match="ended before"):
        parts.LocalParts().put(upload, 1, io.BytesIO(b"only so much"))

    assert state(api, begun)["parts"] == [{"number": 1, "size": PART, "etag": etag}]
    assert len([path for path in parts.folder_of(upload).iterdir() if path.name != ".lock"]) == 1
    resumable.discard(upload)


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


def test_the_same_key_begins_and_completes_once(store, api, content):
    body = {"filename": "clip.mp4", "size": len(content), "content_type": "video/mp4"}
    key = {"Idempotency-Key": "k-1"}
    first = api.post("/v1/uploads", body, content_type=JSON, headers=key)
    again = api.post("/v1/uploads", body, content_type=JSON, headers=key)
    other = api.post("/v1/uploads", {**body, "size": 9}, content_type=JSON, headers=key)
    send(first.json(), content)

    done = complete(api, first.json(), **{"Idempotency-Key": "k-2"})
    replayed = complete(api, first.json(), **{"Idempotency-Key": "k-2"})

    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert refusal(other)[:2] == (409, "idempotency_mismatch")
    assert (done.status_code, replayed.json()) == (201, done.json())
    assert Upload.objects.count() == 1


def test_a_large_file_gets_larger_parts(alice, settings):
    settings.MAX_UPLOAD_BYTES = 10**12

    upload = resumable.begin(alice, filename="x", size=10 * PART * resumable.MOST_PARTS + 1)

    assert upload.part_count <= resumable.MOST_PARTS
    assert sum(upload.size_of(number) for number in range(1, upload.part_count + 1)) == upload.size
    resumable.discard(upload)


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
