"""How process() ends when it cannot end well, what it refuses, and what it says on the way."""

from __future__ import annotations

import threading

import av
import numpy as np
import pytest

from apps.engine.child import Limits
from apps.engine.encode import Cutout, MatteWriter
from apps.engine.errors import (
    BadOptions,
    Canceled,
    EngineFault,
    InputRefused,
    LimitExceeded,
    ModelNotInstalled,
    VerificationFailed,
)
from apps.engine.formats import FORMATS
from apps.engine.pipeline import process
from apps.engine.report import Progress
from apps.engine.task import Task
from tests.clips import (
    make_clip,
    make_truncated,
)
from tests.engine.work import SlowModel, chroma, only, options, run


def test_a_model_that_loses_a_frame_is_our_fault(tmp_path):
    with pytest.raises(EngineFault, match="too few"):
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=SlowModel(lost=1))

    assert only(tmp_path, "in.mp4")


def test_the_first_error_stops_all_and_leaves_nothing(tmp_path):
    broken = SlowModel(error=RuntimeError("weights went missing"))

    with pytest.raises(RuntimeError, match="weights went missing"):
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=broken,
            matte=tmp_path / "m.mkv", foreground=tmp_path / "fgr")  # fmt: skip

    assert only(tmp_path, "in.mp4")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_canceling_leaves_nothing(tmp_path, name):
    clip, canceled = make_clip(tmp_path / "in.mp4", frames=40, sound_seconds=1), threading.Event()
    threading.Timer(0.5, canceled.set).start()

    with pytest.raises(Canceled):
        run(clip, tmp_path / "out", options(name), model=SlowModel(seconds=0.1), canceled=canceled,
            matte=tmp_path / "m.mkv")  # fmt: skip

    assert only(tmp_path, "in.mp4")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_result_that_fails_its_proof_is_not_delivered(tmp_path, name, monkeypatch):
    """The kept matte is not what was encoded, as a bug in a writer would have it."""
    clip = make_clip(tmp_path / "in.mp4")
    write = MatteWriter.write

    def spoil(self: MatteWriter, cutout: Cutout) -> None:
        shifted = np.roll(cutout.alpha, 3, axis=1)
        write(self, Cutout(cutout.index, cutout.time, cutout.end, cutout.rgb, shifted))

    monkeypatch.setattr(MatteWriter, "write", spoil)

    with pytest.raises(VerificationFailed):
        run(clip, tmp_path / "out", options(name))

    assert only(tmp_path, "in.mp4")


def test_a_file_that_was_there_stays_until_the_new_one_is_proved(tmp_path):
    target = tmp_path / "out.webm"
    target.write_bytes(b"older")

    with pytest.raises(EngineFault):
        run(make_clip(tmp_path / "in.mp4"), target, options("webm"), model=SlowModel(lost=1))
    kept = target.read_bytes()
    run(tmp_path / "in.mp4", target, options("webm"))

    assert kept == b"older"
    assert target.stat().st_size > 1000
    assert only(tmp_path, "in.mp4", "out.webm")


def test_a_broken_input_is_refused_before_the_model_is_loaded(tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"no video")

    with pytest.raises(InputRefused):
        run(tmp_path / "in.mp4", tmp_path / "out.webm", options("webm"), model=SlowModel())

    assert only(tmp_path, "in.mp4")


def test_a_truncated_input_is_delivered_with_a_warning(tmp_path):
    result = run(make_truncated(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"))

    assert "input_truncated" in [notice.code for notice in result.warnings]
    assert 0 < result.frames < 40


def test_a_model_that_is_missing_is_said_to_be(tmp_path):
    def missing():
        raise ModelNotInstalled("light is not installed.")

    task = Task(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), load_model=missing)
    with pytest.raises(ModelNotInstalled):
        process(task, tell=print, canceled=threading.Event())


def test_limits_count_what_a_trim_keeps(tmp_path):
    clip, limits = make_clip(tmp_path / "in.mp4"), Limits(max_seconds=0.3)

    with pytest.raises(LimitExceeded, match=r"0\.3 seconds"):
        run(clip, tmp_path / "out.webm", options("webm"), limits=limits)
    result = run(clip, tmp_path / "out.webm", options("webm", trim=(0.1, 0.3)), limits=limits)

    assert result.frames == 5


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_what_an_animation_cannot_hold_is_refused_with_the_way_out(tmp_path, name):
    long = make_clip(tmp_path / "long.mp4", rate=1, frames=21)
    tall = make_clip(tmp_path / "tall.mp4", width=722, height=724, frames=2)

    with pytest.raises(LimitExceeded, match='"end": 20'):
        run(long, tmp_path / "out", options(name))
    with pytest.raises(LimitExceeded, match="720 px"):
        run(tall, tmp_path / "out", options(name))

    assert run(long, tmp_path / "out", options(name, trim=(0.0, 3.0))).frames == 3


def test_a_trim_behind_the_end_is_refused(tmp_path):
    with pytest.raises(BadOptions, match="beyond the end") as refusal:
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm", trim=(5.0, 6.0)))

    assert refusal.value.param == "trim.start"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"target": "in.mp4"}, "output"),
        ({"target": "sub/../in.mp4"}, "output"),
        ({"matte": "out.webm"}, "matte"),
        ({"matte": "in.mp4"}, "matte"),
        ({"target": "none/out.webm"}, "output"),
        ({"foreground": "full"}, "fgr"),
        ({"target": "full"}, "output"),
    ],
)
def test_paths_that_would_harm_are_refused(tmp_path, changes, param):
    make_clip(tmp_path / "in.mp4")
    (tmp_path / "sub").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    paths = {name: tmp_path / path for name, path in {"target": "out.webm", **changes}.items()}

    with pytest.raises(BadOptions) as refusal:
        Task(tmp_path / "in.mp4", options=options("webm"), load_model=chroma, **paths)

    assert refusal.value.param == param


def test_progress_rises_and_names_its_stages(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.engine.progress.INTERVAL_SECONDS", 0.001)
    told: list[Progress] = []

    run(make_clip(tmp_path / "in.mp4", frames=30), tmp_path / "out.webm", options("webm"), tell=told.append,
        model=SlowModel(seconds=0.02))  # fmt: skip

    percents = [progress.percent for progress in told]
    assert percents == sorted(percents)
    assert {progress.stage for progress in told} == {"processing", "verifying"}
    assert told[-1].frames_total == 30


def test_damaged_sound_is_delivered_at_full_length(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", frames=25, sound_seconds=1)
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        spots = [packet.pos for packet in container.demux(audio=0) if packet.pos is not None and packet.size]
    for spot in spots[10:20]:
        data[spot : spot + 40] = b"\xff" * 40
    clip.write_bytes(bytes(data))

    result = run(clip, tmp_path / "out.webm", options("webm"))

    assert result.outputs[0].has_audio is True
