"""Cut-off and damaged files: half of the video is enough, less is refused, and a whole one is never suspected."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

from apps.engine.errors import InputRefused, InputTruncated
from apps.engine.facts import survey
from apps.engine.options import Options
from apps.engine.source import DAMAGED_INDEX, NOT_A_VIDEO
from tests.clips import HEIGHT, WIDTH, make_clip, picture
from tests.engine.work import run

FRAMES, RATE = 50, 25
SECONDS = FRAMES / RATE

CONTAINERS = {"mp4": "aac", "mov": "aac", "mkv": "flac", "ts": "aac", "avi": "mp3", "flv": "aac"}
TELLS_ITS_LENGTH = ["mp4", "mov", "mkv", "avi", "flv"]


def clip(folder: Path, suffix: str, **how) -> Path:
    if suffix not in ("mp4", "mov", "mkv"):
        how["faststart"] = False
    return make_clip(
        folder / f"a.{suffix}", width=160, height=120, frames=FRAMES, rate=RATE, sound_seconds=SECONDS,
        audio_codec=CONTAINERS[suffix], **how,
    )  # fmt: skip


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def blank(path: Path, start: float, end: float) -> Path:
    """Overwrite a stretch of the file with zeros."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = bytes(last - first)
    path.write_bytes(bytes(data))
    return path


def in_many_fragments(source: Path) -> Path:
    path = source.with_name(f"fragments{source.suffix}")
    how = {"movflags": "empty_moov+frag_every_frame"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=how) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return path


def chroma(source: Path, folder: Path, **fields):
    return run(source, folder / "out.mov", Options(model="chroma", format="mov", **fields))


def codes(result) -> list[str]:
    return [notice.code for notice in result.warnings]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_whole_file_is_whole(tmp_path, suffix):
    found = survey(clip(tmp_path, suffix))

    assert found.is_cut_off is False
    assert found.present > 0.95


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_sixty_percent_are_used_with_a_warning_and_only_they_are_billed(tmp_path, suffix):
    result = chroma(cut(clip(tmp_path, suffix), 0.6), tmp_path)

    assert "input_truncated" in codes(result)
    assert 0.5 * SECONDS <= result.decoded_seconds <= 0.7 * SECONDS
    assert result.frames == pytest.approx(0.6 * FRAMES, abs=3)


@pytest.mark.parametrize("suffix", TELLS_ITS_LENGTH)
def test_forty_percent_are_refused(tmp_path, suffix):
    with pytest.raises(InputTruncated, match=r"Only \d+%"):
        survey(cut(clip(tmp_path, suffix), 0.4))


def test_what_never_said_how_long_it_is_is_used_up_to_its_torn_end(tmp_path):
    """Nothing in a transport stream tells that more was to come, only that its last packet is torn."""
    found = survey(cut(clip(tmp_path, "ts"), 0.4))

    assert found.present == 1
    assert found.is_cut_off is True


def test_a_fragmented_recording_is_used_up_to_its_last_whole_fragment(tmp_path):
    result = chroma(cut(clip(tmp_path, "mp4", fragmented=True), 0.6), tmp_path)

    assert codes(result) == ["input_truncated"]
    assert result.frames == 25


def test_fragments_that_were_blanked_are_missing(tmp_path):
    """They say nowhere how many there were; but the file is longer than those that make sense."""
    source = in_many_fragments(clip(tmp_path, "mp4"))
    assert survey(source).is_cut_off is False

    most = survey(blank(source, 0.7, 1))

    assert (most.is_cut_off, 0.5 < most.present < 0.75) == (True, True)
    with pytest.raises(InputTruncated, match=r"Only \d+%"):
        survey(blank(source, 0.4, 1))


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_whole_recording_is_whole(tmp_path, fragmented):
    found = survey(clip(tmp_path, "mp4", fragmented=fragmented))

    assert (found.is_cut_off, found.present) == (False, 1)


def test_notes_behind_a_whole_recording_are_no_damage(tmp_path):
    source = clip(tmp_path, "mp4")
    with source.open("ab") as file:
        file.write(bytes(40_000))

    assert (survey(source).is_cut_off, survey(source).present) == (False, 1)


@pytest.mark.parametrize("keep", [0.6, 0.9])
def test_an_index_at_the_end_is_missed_however_much_is_there(tmp_path, keep):
    with pytest.raises(InputRefused, match="incomplete"):
        survey(cut(clip(tmp_path, "mp4", faststart=False), keep))


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_a_hole_in_the_middle_is_told(tmp_path, suffix):
    """The demuxers leap over it without a word."""
    result = chroma(blank(clip(tmp_path, suffix), 0.4, 0.6), tmp_path)

    assert "input_truncated" in codes(result)
    assert result.decoded_seconds == pytest.approx(SECONDS, abs=0.5)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi", "flv"])
def test_a_hole_of_more_than_half_is_refused(tmp_path, suffix):
    with pytest.raises(InputTruncated):
        survey(blank(clip(tmp_path, suffix), 0.2, 0.8))


def test_frames_that_cannot_be_decoded_count_as_missing(tmp_path):
    """The index of an mp4 lists them all; only the decoder finds out."""
    source = blank(clip(tmp_path, "mp4"), 0.3, 0.95)
    assert survey(source).facts.frames == FRAMES

    with pytest.raises(InputTruncated):
        chroma(source, tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_a_trim_into_the_sound_part_is_not_judged_by_the_rest(tmp_path):
    source = blank(clip(tmp_path, "mp4"), 0.4, 0.99)

    assert chroma(source, tmp_path, trim=(0.0, 0.4)).frames == 10


def test_a_recording_that_shows_one_picture_for_long_has_no_hole(tmp_path):
    times = [0, 40, 80, 9000, 9040, 20000, 20040]
    found = survey(make_clip(tmp_path / "a.mkv", frames=len(times), times_ms=times))

    assert (found.present, found.is_cut_off) == (1, False)


def test_frames_that_a_capture_left_out_are_not_missing(tmp_path):
    """AVI writes an empty chunk for each, and its header counts them."""
    path = tmp_path / "a.avi"
    shown = [tick for tick in range(65) if tick % 15 < 5]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for tick in shown:
            frame = VideoFrame.from_ndarray(picture(tick), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 65

    result = chroma(path, tmp_path)

    assert (result.frames, codes(result)) == (len(shown), [])
    assert float(result.decoded_seconds) == pytest.approx(65 / 25, abs=0.001)


FAMILIES = {
    "mkv": ("libx264", "yuv420p"), "avi": ("mpeg4", "yuv420p"), "ogv": ("vp8", "yuv420p"),
    "wmv": ("wmv2", "yuv420p"), "gif": ("gif", "rgb8"),
}  # fmt: skip


def silent(path: Path, *, starts: int = 0, **options: str) -> Path:
    codec, pixel_format = FAMILIES[path.suffix[1:]]
    with av.open(str(path), "w", format={".ogv": "ogg"}.get(path.suffix), options=options) as out:
        stream = out.add_stream({"vp8": "libvpx"}.get(codec, codec), rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for index in range(FRAMES):
            frame = VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = starts * RATE + index, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", FAMILIES)
def test_a_file_whose_last_bytes_are_missing_is_told_from_a_whole_one(tmp_path, suffix):
    """However little is missing, and where no header says how long it was."""
    path = silent(tmp_path / f"a.{suffix}")
    assert survey(path).is_cut_off is False

    path.write_bytes(path.read_bytes()[:-9])

    assert survey(path).is_cut_off is True


def test_a_cut_off_film_that_begins_late_is_judged_by_its_own_length(tmp_path):
    """Matroska's length counts from zero: of one that begins at an hour nearly all was there, however much was cut."""
    path = silent(tmp_path / "a.mkv", starts=3600)
    assert survey(path).present == 1

    with pytest.raises(InputTruncated):
        survey(cut(path, 0.4))


def test_a_live_recording_does_not_know_where_it_ends(tmp_path):
    assert survey(silent(tmp_path / "a.mkv", live="1")).is_cut_off is False
    piped = silent(tmp_path / "a.avi")
    piped.write_bytes(b"RIFF" + b"\xff" * 4 + piped.read_bytes()[8:])
    assert survey(piped).is_cut_off is False


def test_less_than_half_of_a_windows_media_file_is_refused(tmp_path):
    with pytest.raises(InputTruncated):
        survey(cut(silent(tmp_path / "a.wmv"), 0.4))


def test_a_film_whose_index_is_cut_in_two_is_not_called_something_else(tmp_path):
    data = clip(tmp_path, "mp4", faststart=False).read_bytes()
    index, told = data.index(b"moov"), set()
    for end in range(index + 8, len(data), 40):
        (tmp_path / "b.mp4").write_bytes(data[:end])
        try:
            survey(tmp_path / "b.mp4")
        except (InputRefused, InputTruncated) as error:
            told.add(str(error))
    assert told >= {DAMAGED_INDEX}
    assert NOT_A_VIDEO not in told
