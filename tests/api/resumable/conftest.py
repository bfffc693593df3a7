"""Uploads in small parts, on the local disk and on S3, as a caller makes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.test import Client
from pytest_django import Settings

from apps.projects import resumable
from apps.projects.models import Asset, Upload
from tests.api.conftest import JSON
from tests.s3 import Store, s3_store

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
