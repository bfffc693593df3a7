"""What damaged files found: each was once a hang, a fault, or a result that did not pass its proof."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from apps.engine.audio import Cut, SampleReader, SoundSource
from apps.engine.child import ROOT, Limits
from apps.engine.errors import InputRefused, LimitExceeded
from apps.engine.facts import Track, survey
from apps.engine.options import Background, Options
from apps.engine.source import Reader, open_source
from tests import judge
from tests.clips import FRAMES, HEIGHT, WIDTH, make_clip
from tests.engine.work import ScriptedModel, run
from trials import drawn


def test_a_hole_that_opens_late_is_a_hole_in_a_gif(tmp_path):
    """The frames before it must not be seen through it."""
    mattes = [np.full((HEIGHT, WIDTH), 255, np.uint8) for _ in range(4)]
    mattes[2][20:24, 30:36] = 0
    clip = make_clip(tmp_path / "a.mp4", frames=4)

    run(clip, tmp_path / "out.gif", Options(model="light", format="gif"), model=ScriptedModel(mattes))

    judge.need_ffmpeg()
    shown = judge.frames(tmp_path / "out.gif", "gif")
    assert [np.array_equal(frame[..., 3], matte) for frame, matte in zip(shown, mattes, strict=True)] == [True] * 4


@pytest.mark.parametrize("format_name", ["gif", "webp"])
def test_an_animation_begins_with_its_first_picture(tmp_path, format_name):
    """The film's first two are damaged; an animation has no way to begin late."""
    clip = drawn.write(tmp_path / "a.avi", drawn.Kind("a.avi", "mjpeg", "yuvj420p"))
    data = clip.read_bytes()
    starts = [found.start() for found in re.finditer(rb"\xff\xd8\xff", data)]
    assert len(starts) == drawn.FRAMES
    clip.write_bytes(data[: starts[0]] + bytes(starts[2] - 100 - starts[0]) + data[starts[2] - 100 :])

    result = run(clip, tmp_path / "out", Options(model="chroma", format=format_name))

    assert result.frames == drawn.FRAMES - 2
    assert result.decoded_seconds == pytest.approx((drawn.FRAMES - 2) / drawn.RATE)


def stray(path: Path, seconds: int) -> Path:
    """A clip with sound whose last packet claims to come `seconds` later."""
    make_clip(path.with_name("whole.mkv"), sound_seconds=0.48)
    with av.open(str(path.with_name("whole.mkv"))) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.size]
        last = [packet for packet in packets if packet.stream.type == "audio"][-1]
        last.pts += round(seconds / last.time_base)
        last.dts = last.pts
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return path


def test_one_stray_time_in_the_sound_costs_no_hours_of_silence(tmp_path):
    result = run(stray(tmp_path / "a.mkv", 10_000), tmp_path / "out.mov", Options(model="chroma", format="mov"))

    with av.open(str(tmp_path / "out.mov")) as out:
        assert float(out.duration / av.time_base) < 1
    assert (result.frames, result.outputs[0].has_audio) == (FRAMES, True)


def test_sound_that_goes_on_for_a_while_is_kept(tmp_path):
    found = survey(make_clip(tmp_path / "a.mp4", sound_seconds=4))

    assert float(found.audio_span[1]) == pytest.approx(4, abs=0.05)


def test_much_longer_sound_counts_for_the_limit(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", sound_seconds=4)

    with pytest.raises(LimitExceeded, match=r"4\.0 seconds long"):
        survey(clip, limits=Limits(max_seconds=3))


def test_silence_is_made_second_by_second(tmp_path):
    """An hour of it at once would be 1.4 GB."""
    clip = make_clip(tmp_path / "a.mkv", sound_seconds=0.48)
    with open_source(clip) as source:
        cut = Cut(Fraction(0), None, is_trimmed=False)
        reader = SampleReader(SoundSource(source.container, source.audio, cut, (Fraction(0), Fraction(3600))), 48_000)

        sizes = [len(samples) for samples in reader]

    assert max(sizes) <= 48_000
    assert sum(sizes) == 3600 * 48_000


def test_sound_out_of_order_is_not_copied(tmp_path):
    def track(*stamps: int, damaged: bool = False) -> Track:
        made = Track(Fraction(1, 1000), 0)
        for stamp in stamps:
            packet = av.Packet(10)
            packet.pts = packet.dts = stamp
            packet.is_corrupt = damaged
            made.add(packet)
        return made

    assert track(0, 20, 40).is_torn is False
    assert track(0, 40, 20).is_torn is True
    assert track(0, 20, damaged=True).is_torn is True


def test_a_damaged_packet_costs_the_copied_sound_no_more_than_itself(tmp_path):
    """A transport stream's sound is repacked for mp4, which looks into each packet."""
    clip = make_clip(tmp_path / "a.ts", sound_seconds=0.48, faststart=False)
    data = bytearray(clip.read_bytes())
    at = [found.start() for found in re.finditer(rb"\xff\xf1\x4c\x80", data)][6]
    data[at : at + 2] = b"\0\0"
    clip.write_bytes(bytes(data))

    blue = Background("color", (0, 0, 255))
    result = run(clip, tmp_path / "out.mp4", Options(model="chroma", format="mp4", background=blue))

    assert (result.frames, result.outputs[0].has_audio) == (FRAMES, True)
    assert [notice.code for notice in result.warnings] == ["audio_mended"]


def test_a_track_without_a_codec_is_refused(tmp_path):
    clip = make_clip(tmp_path / "a.mp4")
    data = clip.read_bytes()
    assert data.count(b"avc1") > 1
    clip.write_bytes(data.replace(b"avc1", b"zzzz"))

    with pytest.raises(InputRefused, match="codec is not supported"):
        survey(clip)


def test_a_seek_to_nowhere_fails_as_in_c(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb") as file:
        reader = Reader(file)

        assert (reader.seek(-5), reader.seek(1 << 70), reader.seek(4), reader.read(2)) == (-1, -1, 4, b"45")


def test_the_networks_runtime_tells_nobody_that_it_is_used():
    """Its maker's address is asked for a while after the import; this switch is read before."""
    script = "import os, apps.engine; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "1"


def test_sound_that_is_heard_after_its_first_packet_is_not_moved_there(tmp_path):
    """The first packet of Vorbis only primes its decoder: sound was three milliseconds early for all of the film."""
    clip = make_clip(tmp_path / "a.mkv", sound_seconds=0.4, sound_starts=0.01)
    with open_source(clip) as source:
        span = Fraction(0), Fraction(41, 100)
        sound = SoundSource(source.container, source.audio, Cut(Fraction(0), None, is_trimmed=False), span)
        heard = np.concatenate(list(SampleReader(sound, 48_000)))[:, 0]

    assert np.flatnonzero(np.abs(heard) > 0.01)[0] == pytest.approx(480, abs=10)
