"""What a file is, by its packets; and which files are refused, in words."""

from __future__ import annotations

import socket
import struct
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from apps.engine.child import Limits
from apps.engine.errors import InputRefused, LimitExceeded
from apps.engine.facts import survey
from apps.engine.source import open_source
from tests.clips import (
    ATTACKS,
    FRAMES,
    HEIGHT,
    RATE,
    WIDTH,
    make_alpha_clip,
    make_clip,
    make_picture,
    make_sound_only,
    make_truncated,
)


def test_probe_tells_a_plain_clip(tmp_path):
    facts = survey(make_clip(tmp_path / "a.mp4", sound_seconds=0.4)).facts

    assert (facts.width, facts.height, facts.fps, facts.frames) == (WIDTH, HEIGHT, float(RATE), FRAMES)
    assert facts.duration == pytest.approx(FRAMES / RATE)
    assert (facts.video_codec, facts.audio_codec, facts.audio_channels, facts.audio_rate) == ("h264", "aac", 2, 48000)
    assert (facts.rotation, facts.has_alpha, facts.is_hdr, facts.is_interlaced) == (0, False, False, False)
    assert facts.is_variable_rate is False


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_probe_tells_the_upright_size(tmp_path, rotation):
    facts = survey(make_clip(tmp_path / "a.mp4", rotation=rotation)).facts

    assert (facts.width, facts.height, facts.rotation) == (WIDTH, HEIGHT, rotation)


def test_probe_tells_the_size_in_square_pixels(tmp_path):
    facts = survey(make_clip(tmp_path / "a.mp4", width=90, height=72, pixel_shape=Fraction(64, 45))).facts

    assert (facts.width, facts.height) == (128, 72)


def test_an_absurd_pixel_shape_is_taken_as_square(tmp_path):
    facts = survey(make_clip(tmp_path / "a.mp4", pixel_shape=Fraction(1000, 1))).facts

    assert (facts.width, facts.height) == (WIDTH, HEIGHT)


def test_probe_tells_variable_rate_and_the_exact_end(tmp_path):
    times = [0, 40, 80, 200, 240, 400, 440, 480, 900, 940, 980, 1020]
    facts = survey(make_clip(tmp_path / "a.mp4", times_ms=times)).facts

    assert facts.is_variable_rate is True
    assert facts.duration == pytest.approx(1.06, abs=0.002)


def test_a_header_that_lies_about_the_length_does_not_matter(tmp_path):
    """Fragmented files say in their header whatever the camera guessed: here 40 hours."""
    clip = make_clip(tmp_path / "a.mp4", fragmented=True)
    data = bytearray(clip.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.find(box)
        assert at > 0
        struct.pack_into(">I", data, at + offset, 40 * 3600 * 1000)
    clip.write_bytes(bytes(data))

    assert survey(clip).facts.duration == pytest.approx(FRAMES / RATE, abs=0.05)


def test_probe_tells_alpha(tmp_path):
    assert survey(make_alpha_clip(tmp_path / "a.mov")).facts.has_alpha is True


def test_late_sound_and_late_video_share_one_origin(tmp_path):
    late_sound = survey(make_clip(tmp_path / "a.mp4", sound_seconds=0.3, sound_starts=0.25))
    late_video = survey(make_clip(tmp_path / "b.mkv", times_ms=[n * 40 + 300 for n in range(FRAMES)], sound_seconds=1))

    assert late_sound.origin == late_sound.video_start
    assert float(late_sound.audio_span[0] - late_sound.origin) == pytest.approx(0.25, abs=0.03)
    assert float(late_video.video_start - late_video.origin) == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_what_is_no_video_is_refused_with_a_sentence(tmp_path, name):
    path = tmp_path / "innocent.mp4"
    path.write_bytes(ATTACKS[name])
    make_clip(tmp_path / "secret.mp4")

    with pytest.raises(InputRefused) as refusal:
        survey(path)

    assert str(refusal.value)[0].isupper()
    assert str(refusal.value)[-1] == "."
    assert "Errno" not in str(refusal.value)


def test_a_playlist_inside_a_container_name_reaches_no_network(tmp_path):
    """Even past the sniffing: the door itself neither connects nor opens what lies beside the file."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        port = server.getsockname()[1]
        hits: list[object] = []

        def listen() -> None:
            try:
                hits.append(server.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        path = tmp_path / "a.m3u8"
        path.write_text(f"\x47#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n")
        with pytest.raises(InputRefused):
            survey(path)
        listener.join()

    assert hits == []


def test_the_door_opens_only_containers_of_video(tmp_path, monkeypatch):
    """The concat demuxer gets around every other wall, so the list of demuxers must hold by itself."""
    make_clip(tmp_path / "secret.mp4")
    script = tmp_path / "script.mp4"
    script.write_bytes(ATTACKS["concat script"])
    monkeypatch.setattr("apps.engine.source.sniff", lambda path: "iso")

    with pytest.raises(InputRefused), open_source(script):
        pass


def test_pictures_and_sound_alone_are_refused_for_what_they_are(tmp_path):
    picture = make_picture(tmp_path / "a.png").rename(tmp_path / "a.mp4")
    sound = make_sound_only(tmp_path / "b.mp4")

    with pytest.raises(InputRefused, match="picture"):
        survey(picture)
    with pytest.raises(InputRefused, match="sound but no video"):
        survey(sound)


def test_a_recording_without_its_index_is_called_incomplete(tmp_path):
    with pytest.raises(InputRefused, match="incomplete"):
        survey(make_truncated(tmp_path / "a.mp4", faststart=False))


def test_a_cut_off_file_with_its_index_is_recognised(tmp_path):
    assert survey(make_truncated(tmp_path / "a.mp4")).is_cut_off is True
    assert survey(make_clip(tmp_path / "b.mp4")).is_cut_off is False


@pytest.mark.parametrize(
    ("limits", "param", "words"),
    [
        (Limits(max_seconds=0.4), "max_seconds", "0.4 seconds"),
        (Limits(max_side=80), "max_side", "80 × 80"),
        (Limits(max_fps=20), "max_fps", "20"),
    ],
)
def test_a_limit_names_itself_and_what_is_allowed(tmp_path, limits, param, words):
    clip = make_clip(tmp_path / "a.mp4")

    with pytest.raises(LimitExceeded, match=words) as refusal:
        survey(clip, limits=limits)

    assert refusal.value.param == param


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="cannot be opened"):
        survey(Path(tmp_path / "none.mp4"))
