"""Recordings laid end to end, whose clocks begin anew: each part follows the one before, in sync."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from apps.engine.decode import Decoder
from apps.engine.facts import Survey, Track, survey
from apps.engine.options import Options
from apps.engine.source import open_source
from apps.engine.splices import Jumps, splice
from tests.clips import RATE, make_clip
from tests.engine.work import run

MILLISECOND = Fraction(1, 1000)
GAP = Fraction(1, RATE)


def recording(path: Path, **how) -> Path:
    sounds = {"audio_codec": "aac" if path.suffix == ".ts" else "mp2"} if "sound_seconds" in how else {}
    return make_clip(path, width=160, height=120, faststart=False, **how, **sounds)


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def later(path: Path, source: Path, seconds: int) -> Path:
    """The same packets at another time of day."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in clip.streams}
        for packet in clip.demux():
            if packet.dts is not None:
                packet.pts, packet.dts = (
                    stamp + round(seconds / packet.time_base) for stamp in (packet.pts, packet.dts)
                )
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return path


def times(path: Path, found: Survey, tmp_path: Path) -> list[Fraction]:
    with open_source(path) as source:
        return [shown.time for shown in Decoder(source, found, scratch=tmp_path, threads=1).pictures()]


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_a_silent_recording_goes_on_where_the_one_before_it_ends(tmp_path, suffix):
    first = recording(tmp_path / f"a.{suffix}", frames=30)
    second = recording(tmp_path / f"b.{suffix}", frames=20)
    film = joined(tmp_path / f"ab.{suffix}", first, second, second)

    found = survey(film)

    assert times(film, found, tmp_path) == [n * GAP for n in range(70)]
    assert found.facts.duration == pytest.approx(70 / RATE)


def test_picture_and_sound_of_the_second_part_stay_together(tmp_path):
    first = recording(tmp_path / "a.ts", frames=30, sound_seconds=1.2)
    second = recording(tmp_path / "b.ts", frames=20, sound_seconds=0.4, sound_starts=0.4)

    result = run(joined(tmp_path / "ab.ts", first, second), tmp_path / "out.mov", Options(model="chroma", format="mov"))

    assert [notice.code for notice in result.warnings] == ["timestamps_repaired"]
    assert (result.frames, result.outputs[0].duration) == (50, pytest.approx(2.0, abs=0.1))
    with av.open(str(tmp_path / "out.mov")) as out:
        pictures = [float(frame.time) for frame in out.decode(video=0)]
    with av.open(str(tmp_path / "out.mov")) as out:
        sound = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in out.decode(audio=0)])
    silence = np.flatnonzero(np.abs(sound[48_000:].astype(int)) > 1000) + 48_000
    pauses = np.diff(silence)
    begins_again = silence[int(pauses.argmax()) + 1] / 48_000
    assert begins_again - pictures[30] == pytest.approx(0.4, abs=0.03)


def test_a_clock_that_leaps_ahead_with_picture_and_sound_is_another_recordings(tmp_path):
    first = recording(tmp_path / "a.ts", frames=30, sound_seconds=1.2)
    film = joined(tmp_path / "ab.ts", first, later(tmp_path / "b.ts", first, 3600))

    found = survey(film)

    assert found.facts.duration == pytest.approx(2.4, abs=0.1)
    assert len(times(film, found, tmp_path)) == 60


def test_a_trim_reaches_into_the_second_part(tmp_path):
    part = recording(tmp_path / "a.ts", frames=30)
    asked = Options(model="chroma", format="mov", trim=(1.6, 2.0))

    assert run(joined(tmp_path / "aa.ts", part, part), tmp_path / "out.mov", asked).frames == 10


def track(*stamps: int) -> Track:
    made = Track(MILLISECOND, stamps[0])
    for stamp in stamps:
        packet = Packet(1)
        packet.pts = packet.dts = stamp
        made.add(packet)
    return made


@pytest.mark.parametrize("stray", [0, 90_000])
def test_a_stray_stamp_is_no_clock(stray):
    jumps = Jumps()

    for index, stamp in enumerate([5000, 5040, stray, 5120, 5160, stray]):
        jumps.see(stamp * MILLISECOND, index, index)

    assert jumps.found == []


def test_streams_that_do_not_agree_are_damaged_and_left_alone():
    video, audio = track(5000, 5040, 0, 40, 80), track(5000, 5020, 5040, 5060, 5080)

    assert splice("mpegts", video, audio).positions == ()
    assert list(video.stamps) == [5000, 5040, 0, 40, 80]


def test_only_containers_that_can_be_joined_so_are_looked_at():
    video = track(5000, 5040, 0, 40, 80)

    assert splice("matroska,webm", video, None).positions == ()
    assert len(splice("mpegts", video, None)) == 1
    assert list(video.stamps) == [5000, 5040, 5080, 5120, 5160]


def test_a_long_picture_without_sound_is_no_other_recording():
    assert splice("mpegts", track(0, 40, 80, 60_000, 60_040), None).positions == ()
