"""Uploads: answered with the facts of the file; refused ones leave nothing anywhere."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from PIL import Image

from apps.projects.models import Asset, Project

pytestmark = pytest.mark.django_db


def stored() -> set[str]:
    """What lies in scratch and in the media storage."""
    roots = (Path(settings.SCRATCH_DIR), Path(settings.STORAGES["media"]["OPTIONS"]["location"]))
    return {str(path) for root in roots if root.exists() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def nothing_left(db: None) -> Iterator[None]:
    """No scratch file outlives its request, and no stored file is without its row."""
    before = stored()
    yield
    root = Path(settings.STORAGES["media"]["OPTIONS"]["location"])
    assert stored() - before == {str(root / str(asset.file.name)) for asset in Asset.objects.exclude(file="")}


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind)
    return buffer.getvalue()


def send(client, contents: bytes, filename: str = "clip.mp4", **fields: str):
    return client.post("/v1/uploads", {"file": SimpleUploadedFile(filename, contents), **fields})


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_a_video_is_answered_with_its_facts(api, alice, clip):
    response = send(api, clip.read_bytes(), "Mein Film.mp4")

    asset = Asset.objects.get(owner=alice)
    body = response.json()
    url = body.pop("video_url")
    assert response.status_code == 201
    assert body == {
        "success": True,
        "video_id": str(asset.pk),
        "filename": "Mein Film.mp4",
        "size": clip.stat().st_size,
        "duration": 1.0,
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "has_audio": False,
        "rotation": 0,
    }
    assert url.startswith(f"http://testserver/media/assets/{asset.pk}/source?")


@pytest.mark.parametrize(("kind", "name"), [("PNG", "bg.png"), ("JPEG", "bg.jpg"), ("WEBP", "bg.webp")])
def test_a_background_is_answered_with_its_size(api, kind, name):
    body = send(api, picture(kind), name, purpose="background").json()

    url = body.pop("image_url")
    asset = Asset.objects.get()
    assert body == {"success": True, "image_id": str(asset.pk), "width": 40, "height": 30}
    assert url.startswith(f"http://testserver/media/assets/{asset.pk}/source?")


def test_an_upload_can_go_to_a_project_by_the_callers_own_name(api, alice, clip):
    send(api, clip.read_bytes(), project="film-7")

    assert Asset.objects.get().project == Project.objects.get(owner=alice, external_id="film-7")


@pytest.mark.parametrize("contents", [b"", b"not a video", b"\x00" * 4096])
def test_what_cannot_be_read_is_refused_and_not_kept(api, contents):
    assert refusal(send(api, contents))[:2] == (422, "unsupported_media")
    assert Asset.objects.count() == 0


def test_a_video_is_no_background_and_a_picture_is_no_video(api, clip):
    assert refusal(send(api, clip.read_bytes(), purpose="background"))[:2] == (422, "unsupported_media")
    assert refusal(send(api, picture()))[:2] == (422, "unsupported_media")
    assert Asset.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "file"),
        ({"file": "text"}, "file"),
        ({"purpose": "background"}, "file"),
        ({"file": SimpleUploadedFile("a", b"a"), "purpose": "wallpaper"}, "purpose"),
        ({"file": SimpleUploadedFile("a", b"a"), "colour": "red"}, "colour"),
        ({"file": SimpleUploadedFile("a", b"a"), "file2": SimpleUploadedFile("b", b"b")}, "file2"),
        ({"file": [SimpleUploadedFile("a", b"a"), SimpleUploadedFile("b", b"b")]}, "file"),
        ({"file": SimpleUploadedFile("a", b"a"), "project": "\x00"}, "project"),
        ({"file": SimpleUploadedFile("a", b"a"), "project": "x" * 201}, "project"),
    ],
)
def test_a_wrong_field_is_named(api, fields, param):
    assert refusal(api.post("/v1/uploads", fields)) == (422, "invalid_request", param)
    assert Asset.objects.count() == 0


def test_another_content_type_is_named(api):
    response = api.post("/v1/uploads", "x", content_type="text/plain")

    assert refusal(response) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a.mp4", b"x" * 3000)})[:-20],
        encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a.mp4", b"x" * 3000)})[:1000],
    ],
)
def test_a_broken_multipart_body_is_refused(api, body):
    response = api.generic("POST", "/v1/uploads", body, content_type=MULTIPART_CONTENT)

    assert refusal(response)[0] in (400, 422)
    assert refusal(response)[1] == "invalid_request"


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff"]
)
def test_multipart_without_a_boundary_is_a_400(api, kind):
    response = api.generic("POST", "/v1/uploads", b"garbage", content_type=kind)

    assert refusal(response) == (400, "invalid_request", None)


def test_a_file_over_the_limit_is_stopped_while_it_streams(api, settings):
    settings.MAX_UPLOAD_BYTES = 200_000

    assert refusal(send(api, b"x" * 200_001)) == (413, "file_too_large", "file")
    assert refusal(send(api, b"x" * 3_000_000)) == (413, "file_too_large", "file")
    assert Asset.objects.count() == 0


def test_a_background_has_its_own_limit(api, settings):
    settings.MAX_BACKGROUND_BYTES = 50

    assert refusal(send(api, picture(), purpose="background")) == (413, "file_too_large", "file")


def test_a_field_over_the_limit_is_a_413(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    assert refusal(send(api, b"x", project="y" * 2000))[:2] == (413, "file_too_large")


def test_a_large_file_does_not_sit_in_memory(api):
    contents = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a.mp4", b"x" * 30_000_000)})
    tracemalloc.start()

    response = api.generic("POST", "/v1/uploads", contents, content_type=MULTIPART_CONTENT)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The test client makes one copy of the body; the server's side adds chunks only.
    assert peak < 40_000_000
    assert refusal(response)[:2] == (422, "unsupported_media")


def test_the_project_that_a_refused_upload_named_is_not_made(api, alice, clip):
    assert refusal(send(api, b"not a video", project="ext-7"))[0] == 422
    assert not Project.objects.filter(owner=alice, external_id="ext-7").exists()

    assert send(api, clip.read_bytes(), project="ext-7").status_code == 201
    assert Asset.objects.get(owner=alice).project == Project.objects.get(owner=alice, external_id="ext-7")
