"""The whole job with media on an S3-compatible store over HTTP; workers learn of it from their environment alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings as site
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.projects import resumable
from tests import clips
from tests.live import caller, open_keyer_door, running_house
from tests.s3 import Store, s3_store

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def store() -> Iterator[Store]:
    with s3_store() as running:
        yield running


def local_media(*ids: str) -> list[Path]:
    """What lies on the local disk of these; other tests leave things there too."""
    found = Path(site.DATA_DIR, "media").rglob("*")
    return [path for path in found if path.is_file() and any(one in str(path) for one in ids)]


def test_from_an_upload_in_parts_to_a_download_and_its_end(
    store: Store,
    live_server: LiveServer,
    settings: Settings,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    settings.SITE_URL = live_server.url
    monkeypatch.setattr(resumable, "PART_BYTES", 20_000)
    open_keyer_door(monkeypatch)
    content = clips.make_clip(tmp_path / "clip.mp4", frames=50, sound_seconds=2).read_bytes()
    with running_house(live_server.url) as house, caller(live_server.url, alice) as api:
        promised = {"filename": "clip.mp4", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        begun = api.call("POST", "/v1/uploads", expect=201, json=promised)
        for part in begun["parts"]:
            start = (part["number"] - 1) * begun["part_size"]
            assert part["url"].startswith(store.endpoint)
            answer = requests.put(part["url"], content[start : start + begun["part_size"]], timeout=20)
            assert (answer.status_code, bool(answer.headers["ETag"])) == (200, True)
        video = api.call("POST", f"/v1/uploads/{begun['upload_id']}/complete", expect=201, json={})
        with house.workers(**store.environment):
            job = api.submit(video_url=video["video_url"])
            done = api.wait(job["id"], told=house.logs)
        assert (done["status"], done["credits"]["charged"]) == ("completed", 0.2), done
        assert store.files() == {f"assets/{video['video_id']}/source", *outputs(store, done["id"])}
        poster = f"jobs/{done['id']}/1/poster.webp"  # for pages only
        assert len(outputs(store, done["id"]) - {poster}) == len(done["outputs"])
        assert poster in store.files()

        first = requests.get(done["output_url"], headers={"Range": "bytes=0-99"}, timeout=20)
        result = api.download(done["output_url"], tmp_path / "result.webm").read_bytes()
        api.call("DELETE", f"/v1/jobs/{done['id']}", expect=200)

        assert (first.status_code, first.content) == (206, result[:100])
        assert f"{urlsplit(first.url).scheme}://{urlsplit(first.url).netloc}" == store.endpoint
        facts = next(output for output in done["outputs"] if output["kind"] == "result")
        assert hashlib.sha256(result).hexdigest() == facts["sha256"]
        assert store.files() == set()
        assert store.unfinished() == 0
        assert local_media(done["id"], video["video_id"]) == []
        assert [path for path in Path(site.SCRATCH_DIR).iterdir() if done["id"] in path.name] == []


def outputs(store: Store, job_id: str) -> set[str]:
    return {name for name in store.files() if name.startswith(f"jobs/{job_id}/1/")}
