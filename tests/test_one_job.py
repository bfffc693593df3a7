"""One job the whole way: upload → hold → worker → outputs → capture → webhook → download, through the real queue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from standardwebhooks import Webhook

from apps.accounts.models import User
from apps.credits.models import Hold
from apps.jobs.models import Job, JobEvent
from apps.projects.models import Asset
from apps.webhooks import signing
from tests import clips
from tests.fakes import FileServer, Page, Receiver, file_server, webhook_receiver
from tests.live import Caller, House, books, caller, open_keyer_door, running_house, wait_for

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

GRANTED = 100_00


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[Receiver, FileServer]]:
    """Two servers of the wide world."""
    with webhook_receiver() as receiver, file_server() as files:
        yield receiver, files


@pytest.fixture(scope="module")
def house(django_db_setup: None, live_server: LiveServer, outside: tuple[Receiver, FileServer]) -> Iterator[House]:
    receiver, files = outside
    with running_house(live_server.url, egress_allow=f"{receiver.target},{files.target}") as running:
        yield running


@pytest.fixture
def api(
    house: House, live_server: LiveServer, alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Caller]:
    settings.SITE_URL = live_server.url
    open_keyer_door(monkeypatch)
    with caller(live_server.url, alice) as program:
        yield program


@pytest.fixture
def receiver(outside: tuple[Receiver, FileServer]) -> Receiver:
    outside[0].requests.clear()
    return outside[0]


def test_one_job_from_upload_to_download(api: Caller, house: House, receiver: Receiver, tmp_path: Path) -> None:
    clip = clips.make_clip(tmp_path / "holiday.mp4", frames=25, sound_seconds=1)
    content = clip.read_bytes()

    # Upload: looked at, kept, named.
    upload = api.upload(clip)
    facts = {name: upload[name] for name in ("filename", "size", "duration", "width", "height", "fps", "has_audio")}
    assert facts == {
        "filename": "holiday.mp4", "size": len(content), "duration": 1.0, "width": 96, "height": 64,
        "fps": 25.0, "has_audio": True,
    }  # fmt: skip
    assert Asset.objects.get(pk=upload["video_id"]).sha256 == hashlib.sha256(content).hexdigest()

    # Submit, with no worker yet: priced, held, first in the queue.
    job = api.submit(video_url=upload["video_url"], project="shop-42", metadata={"sku": "A1"}, webhook_url=receiver.url)
    assert (job["status"], job["stage"], job["queue_position"]) == ("queued", "waiting", 1)
    assert job["credits"] == {"estimated": 0.1, "held": 0.1, "charged": 0}
    assert (job["project"]["external_id"], job["metadata"]) == ("shop-42", {"sku": "A1"})
    assert books(api.user) == {
        "balance": GRANTED, "held": 10, "entries": [("grant", GRANTED)], "holds": [("open", 10, 0)],
    }  # fmt: skip
    assert api.call("GET", "/v1/credits", expect=200) == {"balance": 100, "held": 0.1, "available": 99.9}
    assert Hold.objects.get().reference == job["id"]

    # A worker takes it, and the outputs are there.
    with house.workers():
        done = api.wait(job["id"], told=house.logs)
        webhooks = {hook.headers["x-webhook-event"]: hook for hook in receiver.wait_for(2)}
        told = {"job.started": "sent", "job.completed": "sent"}
        wait_for(lambda: api.job(job["id"])["webhook_events"] == told, seconds=20, told=house.logs)
    assert (done["status"], done["progress"], done["stage"], done["error"]) == ("completed", 100, None, None)
    assert (done["frames_done"], done["frames_total"]) == (25, 25)
    assert done["input"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(output["kind"] for output in done["outputs"]) == ["matte", "preview", "result"]
    names = list(JobEvent.objects.filter(job_id=job["id"]).values_list("name", flat=True))
    assert names == ["created", "queued", "started", "verified", "completed"]

    # Captured, once.
    assert books(api.user) == {
        "balance": GRANTED - 10, "held": 0,
        "entries": [("grant", GRANTED), ("capture", -10)], "holds": [("captured", 10, 10)],
    }  # fmt: skip
    assert done["credits"] == {"estimated": 0.1, "held": 0, "charged": 0.1}

    # Told, with both signatures, and in the words of the API.
    assert set(webhooks) == {"job.started", "job.completed"}
    completed = webhooks["job.completed"]
    said = Webhook(signing.of_account(api.user).secret).verify(completed.body, completed.headers)
    assert said["event"] == "job.completed"
    volatile = ("output_url", "outputs", "webhook_events")
    assert {k: v for k, v in said["data"].items() if k not in volatile} == {
        k: v for k, v in done.items() if k not in volatile
    }
    assert json.loads(webhooks["job.started"].body)["data"]["status"] == "processing"

    # Downloaded by whoever has the address, whole and in part; from the webhook's address too.
    result = next(output for output in done["outputs"] if output["kind"] == "result")
    for url in (done["output_url"], said["data"]["output_url"]):
        path = api.download(url, tmp_path / "result.webm")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == result["sha256"]
    part = api.session.get(done["output_url"], headers={"Range": "bytes=10-19"}, timeout=10)
    assert (part.status_code, part.content) == (206, path.read_bytes()[10:20])


def test_one_job_from_a_url(api: Caller, house: House, outside: tuple[Receiver, FileServer], tmp_path: Path) -> None:
    """The source is elsewhere: fetched by a worker, priced when it has been looked at."""
    clip = clips.make_clip(tmp_path / "clip.mp4", frames=25)
    url = outside[1].add("/clip.mp4?token=1", Page(clip.read_bytes()))

    job = api.submit(video_url=url)
    assert (job["status"], job["stage"], job["credits"]["held"]) == ("queued", "fetching", 0)
    with house.workers():
        done = api.wait(job["id"], told=house.logs)

    assert (done["status"], done["video_url"], done["credits"]["charged"]) == ("completed", url, 0.1)
    assert done["input"]["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert books(api.user)["balance"] == GRANTED - 10


def test_one_job_from_an_address_inside_is_refused_and_free(api: Caller, house: House) -> None:
    job = api.submit(video_url="http://127.0.0.1:1/clip.mp4")
    with house.workers():
        done = api.wait(job["id"], told=house.logs)

    assert (done["status"], done["error_code"]) == ("failed", "fetch_failed")
    assert done["error"] == "The URL points to an address that is not on the public internet."
    assert books(api.user) == {"balance": GRANTED, "held": 0, "entries": [("grant", GRANTED)], "holds": []}
    assert Job.objects.get(pk=UUID(job["id"])).hold is None
