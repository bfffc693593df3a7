from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from django.core.files.base import ContentFile
from django.test import Client
from storages.backends.s3 import S3Storage

from apps.projects import media
from apps.projects.models import media_storage
from apps.projects.s3 import S3Media
from apps.projects.signatures import is_signed, sign
from config.environment import public_origins
from tests.s3 import s3_store

BODY = bytes(range(256)) * 4  # 1024 bytes


@pytest.fixture
def link() -> Iterator[str]:
    name = media_storage().save("assets/range-test/source", ContentFile(BODY))
    yield media.url(name, filename='my "best" clip – é.mp4', content_type="video/mp4")
    media_storage().delete(name)


def get(client: Client, url: str, **headers: str) -> tuple[int, bytes, Any]:
    response = client.get(url, headers=headers)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return response.status_code, body, response.headers


def test_a_signed_link_gives_the_file_without_a_key(client: Client, link: str) -> None:
    assert link.startswith("http://testserver/media/assets/range-test/source?")

    status, body, headers = get(client, link)

    assert (status, body) == (200, BODY)
    assert (headers["Content-Type"], headers["Content-Length"]) == ("video/mp4", "1024")
    assert (headers["Accept-Ranges"], headers["X-Content-Type-Options"]) == ("bytes", "nosniff")
    assert headers["Content-Disposition"].startswith("inline; filename")
    assert "%C3%A9.mp4" in headers["Content-Disposition"]
    assert "\n" not in headers["Content-Disposition"]


def test_only_what_browsers_show_safely_is_shown(client: Client) -> None:
    name = media_storage().save("jobs/x/1/result.zip", ContentFile(b"PK"))

    _, _, headers = get(client, media.url(name, filename="a.zip", content_type="application/zip"))

    assert headers["Content-Disposition"] == 'attachment; filename="a.zip"'
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    media_storage().delete(name)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, 1023),
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=1000-9999999999", 1000, 1023),
        ("bytes=-24", 1000, 1023),
        ("bytes=-5000", 0, 1023),
        ("bytes = 5 - 6", 5, 6),
    ],
)
def test_one_range_is_answered_with_its_bytes(client: Client, link: str, asked: str, first: int, last: int) -> None:
    status, body, headers = get(client, link, Range=asked)

    assert (status, body) == (206, BODY[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/1024"
    assert headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(client: Client, link: str, asked: str) -> None:
    status, body, headers = get(client, link, Range=asked)

    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */1024")


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=-", "bytes=9-3", "frames=0-1", "nonsense", f"bytes={'9' * 5000}-"]
)
def test_a_range_that_is_not_served_means_the_whole_file(client: Client, link: str, asked: str) -> None:
    status, body, _ = get(client, link, Range=asked)

    assert (status, body) == (200, BODY)


def test_if_range_guards_against_a_changed_file(client: Client, link: str) -> None:
    _, _, headers = get(client, link)
    etag, date = headers["ETag"], headers["Last-Modified"]

    assert get(client, link, **{"Range": "bytes=0-9", "If-Range": etag})[0] == 206
    assert get(client, link, **{"Range": "bytes=0-9", "If-Range": date})[0] == 206
    assert get(client, link, **{"Range": "bytes=0-9", "If-Range": '"older"'})[:2] == (200, BODY)
    assert get(client, link, **{"Range": "bytes=0-9", "If-Range": "Mon, 01 Jan 2001 00:00:00 GMT"})[0] == 200
    assert get(client, link, **{"If-None-Match": etag})[0] == 304


def test_head_tells_the_size_and_sends_nothing(client: Client, link: str) -> None:
    whole = client.head(link)
    part = client.head(link, headers={"Range": "bytes=0-9"})

    assert (whole.status_code, whole.headers["Content-Length"], whole.content) == (200, "1024", b"")
    assert (part.status_code, part.headers["Content-Range"]) == (206, "bytes 0-9/1024")
    assert client.post(link).status_code == 405


@pytest.mark.parametrize("change", ["signature=", "type=text/html&", "filename=evil.html&", "expires=9999999999&", ""])
def test_nothing_in_a_link_can_be_changed(client: Client, link: str, change: str) -> None:
    parts = urlsplit(link)
    query = "&".join(
        pair for pair in parts.query.split("&") if not pair.startswith(change.split("=")[0] + "=" if change else "\0")
    )
    path = parts.path if change else parts.path.replace("range-test", "another")
    changed = urlunsplit((parts.scheme, parts.netloc, path, f"{change}{query}", ""))

    status, body, headers = get(client, changed)

    assert (status, headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
    assert BODY not in body


def test_a_link_lasts_an_hour(client: Client, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(media.time, "time", lambda: now + 3590)
    assert get(client, link)[0] == 200

    monkeypatch.setattr(media.time, "time", lambda: now + 3610)
    assert get(client, link)[0] == 403


def test_a_link_outlives_the_key_that_signed_it_while_that_is_a_fallback(
    client: Client, link: str, settings: Any
) -> None:
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new one" * 9

    settings.SECRET_KEY_FALLBACKS = [old]
    kept = get(client, link)[0]
    forged = get(client, f"{link}x")[0]
    settings.SECRET_KEY_FALLBACKS = []

    assert (kept, forged, get(client, link)[0]) == (200, 403, 403)


def test_a_signature_is_of_one_kind_of_address_and_of_all_its_fields() -> None:
    signature = sign("media", "a", "b", "c")

    assert is_signed("media", "a", "b", "c", signature=signature)
    assert not is_signed("parts", "a", "b", "c", signature=signature)
    assert not is_signed("media", "a", "b", signature=f"c:{signature}")
    assert not is_signed("media", "a", "b", "c", signature=f"x:{signature}")
    assert not is_signed("media", "a", "b", "c", signature="")


def test_a_deleted_file_is_404(client: Client) -> None:
    assert get(client, media.url("assets/none/source", filename="a", content_type="video/mp4"))[0] == 404


def test_media_on_s3_are_redirected_to_a_presigned_address(client: Client, tmp_path: Path) -> None:
    with s3_store():
        name = media_storage().save("assets/a/source", ContentFile(BODY))
        link = media.url(name, filename="clip.mp4", content_type="video/mp4")
        answer, looked = client.get(link), client.head(link)
        part = requests.get(answer.headers["Location"], headers={"Range": "bytes=10-19"}, timeout=10)
        head = requests.head(looked.headers["Location"], timeout=10)
        media.bring(name, tmp_path / "source")

    assert (answer.status_code, looked.status_code) == (302, 302)
    assert (part.status_code, part.content) == (206, BODY[10:20])
    assert part.headers["Content-Disposition"] == 'inline; filename="clip.mp4"'
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(BODY)))
    assert (tmp_path / "source").read_bytes() == BODY


def test_browsers_may_reach_the_store_by_another_name_than_we_do() -> None:
    store = S3Media(
        bucket_name="b", endpoint_url="http://inside:9000", public_endpoint_url="https://media.example",
        access_key="a", secret_key="s", region_name="r", addressing_style="path",
    )  # fmt: skip

    assert store.url("assets/a/source").startswith("https://media.example/b/assets/a/source?")
    assert store.client.meta.endpoint_url == "http://inside:9000"


def test_threads_speak_for_themselves_but_share_what_is_known_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A description of its own for each of 64 threads would take most of a gigabyte."""
    made: list[object] = []
    real = S3Storage._create_session

    def counted(store: S3Storage) -> Any:
        made.append(store)
        return real(store)

    monkeypatch.setattr(S3Storage, "_create_session", counted)
    store = S3Media(bucket_name="media", access_key="a", secret_key="b", region_name="x")

    together = Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(lambda _: (together.wait(), store.connection)[1], range(8)))

    assert len({id(connection) for connection in connections}) == 8
    assert store.public_client not in connections
    assert len(made) == 1


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({"endpoint_url": "https://s3.example:9000"}, ["https://s3.example:9000", "https://b.s3.example:9000"]),
        (
            {"endpoint_url": "http://inside", "public_endpoint_url": "https://media.example/"},
            ["https://media.example", "https://b.media.example"],
        ),
        (
            {"region_name": "eu-central-1"},
            [
                "https://s3.eu-central-1.amazonaws.com",
                "https://b.s3.eu-central-1.amazonaws.com",
                "https://b.s3.amazonaws.com",
            ],
        ),
    ],
)
def test_the_pages_policy_names_the_store(given: dict[str, str], origins: list[str]) -> None:
    unset = {"endpoint_url": None, "public_endpoint_url": None, "region_name": None}

    assert public_origins({"bucket_name": "b", **unset, **given}) == origins
