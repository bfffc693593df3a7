"""What has to hold before anybody pays: each outcome in each format, through the real queue with real workers.

The API answers from this process; the queue server, the workers, the
reconciler and the engine are processes of their own. Results are judged by an
FFmpeg that is not ours. The keyer, which needs no weights, stands in for the
models; the last test uses a real one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as site
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.engine.formats import FORMATS
from apps.jobs.models import Job
from apps.projects.models import Asset
from docs.demo import make_demo
from tests import clips, judge
from tests.conftest import need_model
from tests.live import Caller, House, books, caller, open_keyer_door, running_house, wait_for

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

MAGENTA = (255, 0, 255)
GRANTED = 100_00
ONE_SECOND = 10
"""1/100 credits: what one second of the keyer costs in these tests."""

CLOCK_TICK = {
    "webm": 0.001, "mov": 0.001, "mp4": 0.001, "gif": 0.01, "webp": 0.001, "stacked_mp4": 0.001, "matte_mp4": 0.001,
}  # fmt: skip
"""Seconds; how finely each container can say when a frame is shown."""


LOSE_ALPHA = """
from dataclasses import replace
_write = WebmWriter.write
WebmWriter.write = lambda self, cutout: _write(self, replace(cutout, alpha=cutout.alpha | 255))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    """One second of 25 frames, with sound."""
    return clips.make_clip(folder / "small.mp4", frames=25, sound_seconds=1)


@pytest.fixture(scope="module")
def house(django_db_setup: None, live_server: LiveServer) -> Iterator[House]:
    with running_house(live_server.url) as running:
        yield running


@pytest.fixture
def open_house(house: House, live_server: LiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> House:
    settings.SITE_URL = live_server.url
    open_keyer_door(monkeypatch)
    return house


@pytest.fixture
def workers(open_house: House) -> House:
    """Workers and reconciler, started by the first test that wants them and shared by the next."""
    if not open_house.children:
        open_house.start_workers()
    return open_house


@pytest.fixture
def api(open_house: House, live_server: LiveServer, alice: User) -> Iterator[Caller]:
    """Alice's program; she has 100 credits."""
    with caller(live_server.url, alice) as program:
        yield program


@pytest.fixture
def poor_api(open_house: House, live_server: LiveServer, bob: User) -> Iterator[Caller]:
    with caller(live_server.url, bob) as program:
        yield program


def wanted(format_name: str) -> dict[str, Any]:
    """A request for this format; one that holds no alpha gets a background."""
    fields: dict[str, Any] = {"output_format": format_name}
    if not FORMATS[format_name].alpha:
        fields |= {"bg_type": "color", "bg_color": list(MAGENTA)}
    return fields


def charged(*amounts: int) -> dict[str, Any]:
    """Alice's books after jobs that were held and charged just so."""
    return {
        "balance": GRANTED - sum(amounts),
        "held": 0,
        "entries": [("grant", GRANTED), *(("capture", -amount) for amount in amounts)],
        "holds": [("captured", amount, amount) for amount in amounts],
    }


def released(*amounts: int) -> dict[str, Any]:
    return {
        "balance": GRANTED,
        "held": 0,
        "entries": [("grant", GRANTED)],
        "holds": [("released", amount, 0) for amount in amounts],
    }


def make_damaged(path: Path) -> Path:
    """The first half is sound and the rest zeros: it can be looked at and priced, and its end cannot be decoded."""
    data = bytearray(clips.make_clip(path, frames=25, sound_seconds=1, faststart=False).read_bytes())
    start = data.index(b"mdat")
    end = start - 4 + int.from_bytes(data[start - 4 : start], "big")
    half = (start + end) // 2
    data[half:end] = bytes(end - half)
    path.write_bytes(data)
    return path


def media_files() -> set[Path]:
    return {file for file in Path(site.DATA_DIR, "media").rglob("*") if file.is_file()}


def check_picture(path: Path, format_name: str, mattes: list[Any]) -> None:
    """Every frame is there, with the matte that was drawn."""
    shown = judge.frames(path, format_name)
    assert len(shown) == len(mattes)
    for frame, matte in zip(shown, mattes, strict=True):
        if not FORMATS[format_name].alpha:
            outside = frame[..., :3][matte == 0].astype(int)
            assert np.abs(outside - MAGENTA).mean() < 6
            continue
        off = np.abs(frame[..., 3].astype(int) - matte).mean()
        # GIF knows only opaque and clear.
        assert off < (6 if format_name == "gif" else 2)
        spare = 4 if FORMATS[format_name].demuxer == "mp4" else 0
        assert frame[..., 3].min() <= spare
        assert frame[..., 3].max() >= 255 - spare


def check_times(path: Path, format_name: str, times: list[float]) -> None:
    if format_name == "png_sequence":
        return  # its pictures carry no clock
    shown = judge.times(path, format_name)
    tick = CLOCK_TICK[format_name]
    assert len(shown) == len(times)
    assert max(abs(a - b) for a, b in zip(shown, times, strict=True)) <= tick / 2 + 1e-6


@pytest.mark.parametrize("format_name", FORMATS)
def test_success(format_name: str, workers: House, api: Caller, small: Path, tmp_path: Path) -> None:
    upload = api.upload(small)
    job = api.submit(video_url=upload["video_url"], **wanted(format_name))
    held = job["credits"]

    done = api.wait(job["id"], told=workers.logs)

    assert (done["status"], done["error_code"], done["progress"]) == ("completed", None, 100)
    assert held == {"estimated": 0.1, "held": 0.1, "charged": 0}
    assert done["credits"] == {"estimated": 0.1, "held": 0, "charged": 0.1}
    assert books(api.user) == charged(ONE_SECOND)
    result = next(output for output in done["outputs"] if output["kind"] == "result")
    assert (result["format"], result["frames"], result["url"]) == (format_name, 25, done["output_url"])
    path = api.download(done["output_url"], tmp_path / f"result{FORMATS[format_name].suffix}")
    assert path.stat().st_size == result["bytes"]
    judge.need_ffmpeg()
    check_picture(path, format_name, [clips.matte(number) for number in range(25)])
    check_times(path, format_name, [number / 25 for number in range(25)])
    if FORMATS[format_name].audio and format_name != "png_sequence":
        sound = judge.sound(path)
        assert abs(len(sound) / judge.SOUND_RATE - 1) < 0.05
        assert judge.onset(sound) < 0.03


@pytest.mark.parametrize("format_name", FORMATS)
def test_failure(format_name: str, workers: House, api: Caller, folder: Path) -> None:
    """Its index promises pictures at the end, so they are priced and held; there are none, so nothing is charged."""
    upload = api.upload(make_damaged(folder / f"damaged-{format_name}.mp4"))
    job = api.submit(video_url=upload["video_url"], trim={"start": 0.8}, **wanted(format_name))

    done = api.wait(job["id"], told=workers.logs)

    assert job["credits"] == {"estimated": 0.02, "held": 0.02, "charged": 0}
    assert (done["status"], done["error_code"]) == ("failed", "unsupported_media")
    assert done["error"].startswith("No picture in this video can be decoded.")
    assert (done["output_url"], done["outputs"]) == (None, [])
    assert done["credits"] == {"estimated": 0.02, "held": 0, "charged": 0}
    assert books(api.user) == released(2)


@pytest.mark.parametrize("format_name", FORMATS)
def test_insufficient_credits(format_name: str, poor_api: Caller, small: Path) -> None:
    upload = poor_api.upload(small)

    answer = poor_api.submit(expect=402, video_url=upload["video_url"], **wanted(format_name))

    assert answer["error"]["code"] == "insufficient_credits"
    assert Job.objects.count() == 0
    assert books(poor_api.user) == {"balance": 0, "held": 0, "entries": [], "holds": []}


def test_timeout_and_retry_in_each_format(open_house: House, api: Caller, small: Path) -> None:
    """Workers in a hurry stop every job, free of charge; retried with patient ones, the same requests are delivered."""
    open_house.stop_workers()
    upload = api.upload(small)
    with open_house.workers(JOB_TIMEOUT_SECONDS="0", JOB_TIMEOUT_SECONDS_PER_FRAME="0"):
        jobs = {name: api.submit(video_url=upload["video_url"], **wanted(name))["id"] for name in FORMATS}
        late = {name: api.wait(job_id, told=open_house.logs) for name, job_id in jobs.items()}
    stopped_books = books(api.user)
    with open_house.workers():
        again = {name: api.call("POST", f"/v1/jobs/{job_id}/retry", expect=201)["id"] for name, job_id in jobs.items()}
        done = {name: api.wait(job_id, told=open_house.logs) for name, job_id in again.items()}

    assert {name: (job["status"], job["error_code"]) for name, job in late.items()} == dict.fromkeys(
        FORMATS, ("failed", "timeout")
    )
    assert stopped_books == released(*[ONE_SECOND] * len(FORMATS))
    assert {name: (job["status"], job["retried_from"]) for name, job in done.items()} == {
        name: ("completed", jobs[name]) for name in FORMATS
    }
    assert {name: job["output_format"] for name, job in done.items()} == {name: name for name in FORMATS}
    after = books(api.user)
    assert (after["balance"], after["held"]) == (GRANTED - len(FORMATS) * ONE_SECOND, 0)
    assert [state for state, *_ in after["holds"]] == ["released"] * len(FORMATS) + ["captured"] * len(FORMATS)


def test_a_killed_workers_job_finishes_and_is_charged_once(
    open_house: House, api: Caller, folder: Path, tmp_path: Path
) -> None:
    """Power loss in mid-work: the lease runs out, the reconciler queues the job anew, another worker does it."""
    open_house.stop_workers()
    clip = clips.make_clip(folder / "long-enough.mp4", width=320, height=240, frames=250, rate=10)
    upload = api.upload(clip)
    with open_house.workers():
        job = api.submit(video_url=upload["video_url"], output_format="webm")
        wait_for(lambda: api.job(job["id"])["frames_done"] > 0, seconds=60, told=open_house.logs)
        open_house.kill_worker()
        interrupted = api.job(job["id"])
        open_house.start_workers()
        done = api.wait(job["id"], told=open_house.logs)

    assert interrupted["status"] == "processing"
    assert done["status"] == "completed"
    assert Job.objects.get(pk=job["id"]).attempt == 2
    assert books(api.user) == charged(25 * ONE_SECOND)
    assert [output["kind"] for output in done["outputs"]].count("result") == 1
    assert api.download(done["output_url"], tmp_path / "result.webm").stat().st_size > 0


def test_a_three_minute_clip(workers: House, api: Caller, folder: Path, tmp_path: Path) -> None:
    clip = clips.make_clip(folder / "long.mp4", frames=900, rate=5, sound_seconds=180)
    upload = api.upload(clip)
    job = api.submit(video_url=upload["video_url"], output_format="webm")

    done = api.wait(job["id"], seconds=150, told=workers.logs)

    assert (done["status"], done["frames_done"], done["credits"]["charged"]) == ("completed", 900, 18)
    assert books(api.user) == charged(180 * ONE_SECOND)
    path = api.download(done["output_url"], tmp_path / "result.webm")
    judge.need_ffmpeg()
    check_times(path, "webm", [number / 5 for number in range(900)])
    check_picture(path, "webm", [clips.matte(number) for number in range(900)])
    assert abs(len(judge.sound(path)) / judge.SOUND_RATE - 180) < 0.05


def test_a_difficult_clip(workers: House, api: Caller, folder: Path, tmp_path: Path) -> None:
    """Turned, of odd size, unevenly timed, with a late sound: all of it survives."""
    steps = [20, 50, 33, 100, 40]
    times_ms = [sum(steps) * (number // 5) + sum(steps[: number % 5]) for number in range(40)]
    clip = clips.make_clip(
        folder / "difficult.mp4", width=101, height=151, frames=40, times_ms=times_ms, rotation=90,
        sound_seconds=1.4, sound_starts=0.5,
    )  # fmt: skip
    upload = api.upload(clip)
    job = api.submit(video_url=upload["video_url"], output_format="webm")

    done = api.wait(job["id"], told=workers.logs)

    assert (upload["width"], upload["height"], upload["rotation"]) == (101, 151, 90)
    assert done["status"] == "completed"
    path = api.download(done["output_url"], tmp_path / "result.webm")
    judge.need_ffmpeg()
    assert judge.size(path) == (101, 151)
    check_picture(path, "webm", [clips.matte(number, width=101, height=151) for number in range(40)])
    check_times(path, "webm", [time / 1000 for time in times_ms])
    assert abs(judge.onset(judge.sound(path)) - 0.5) < 0.02


def test_a_file_that_lost_its_alpha_is_neither_delivered_nor_charged(
    open_house: House, api: Caller, small: Path, tmp_path: Path
) -> None:
    """A copy of the engine, broken on purpose, writes an opaque matte into its WebM; the proof has to notice."""
    for name in ("apps", "config"):
        shutil.copytree(Path(site.BASE_DIR) / name, tmp_path / name)
    for name in ("manage.py", "CHANGELOG.md"):
        shutil.copy(Path(site.BASE_DIR) / name, tmp_path / name)
    with (tmp_path / "apps" / "engine" / "encode" / "webm.py").open("a") as code:
        code.write(LOSE_ALPHA)
    open_house.stop_workers()
    upload = api.upload(small)
    with open_house.workers(directory=tmp_path):
        job = api.submit(video_url=upload["video_url"], output_format="webm")
        done = api.wait(job["id"], told=open_house.logs)

    assert (done["status"], done["error_code"]) == ("failed", "verification_failed")
    assert done["outputs"] == []
    assert Job.objects.get(pk=job["id"]).result["log_tail"].startswith("The alpha of frame 1 differs from the matte")
    assert books(api.user) == released(ONE_SECOND)


@pytest.mark.parametrize(
    "content", [b"this is not a video", b"", b"\x00\x00\x00\x18ftypmp42" + bytes(5000)], ids=["text", "empty", "cut"]
)
def test_a_broken_file_is_refused_with_a_reason(content: bytes, api: Caller, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    kept = media_files()

    answer = api.upload(path, expect=422)

    assert answer["error"]["code"] == "unsupported_media"
    assert len(answer["error"]["message"]) > 10
    assert books(api.user) == released()
    assert media_files() == kept
    assert Asset.objects.count() == 0


def test_a_real_model_finds_the_astronaut(workers: House, api: Caller, tmp_path: Path) -> None:
    need_model("light")
    upload = api.upload(Path(site.BASE_DIR) / "docs" / "demo" / "demo.mp4")
    job = api.submit(video_url=upload["video_url"], model="light", output_format="webm", trim={"start": 0, "end": 1})

    done = api.wait(job["id"], seconds=180, told=workers.logs)

    assert (done["status"], done["frames_done"]) == ("completed", 25)
    assert done["model_version"]
    assert done["credits"]["charged"] == 0.75
    path = api.download(done["output_url"], tmp_path / "result.webm")
    judge.need_ffmpeg()
    found = judge.frames(path, "webm")[..., 3].astype(int)
    off = [np.abs(alpha - matte).mean() for alpha, matte in zip(found, make_demo.mattes(), strict=False)]
    assert max(off) < 255 * 0.02
