"""A clip written in two pieces is the clip written in one: what every writer's `append` promises."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from apps.engine.audio import Cut, SoundSource
from apps.engine.compose import binary
from apps.engine.encode import WRITERS, Cutout, ForegroundWriter, MatteWriter, Spec, Writer
from apps.engine.errors import EngineFault
from apps.engine.formats import FORMATS
from apps.engine.readback import Shown, read_back, read_matte
from apps.engine.record import Record
from apps.engine.source import open_source
from apps.engine.verify import Promise, verify
from tests.clips import SUBJECT, make_clip, matte

EVERY = sorted(FORMATS)
SIZE = (97, 65)
SEAM = 7
"""Frames of the first piece."""
TIMES = [Fraction(n, 1000) for n in (0, 40, 80, 133, 150, 300, 340, 380, 720, 750, 790, 830, 870, 900)]
"""Milliseconds, uneven, with a long frame beside the seam."""
END = Fraction(940, 1000)
SOUND = (Fraction(1, 10), Fraction(9, 10))


def cutouts(name: str = "") -> list[Cutout]:
    made = []
    for index, time in enumerate(TIMES):
        alpha = matte(index, width=SIZE[0], height=SIZE[1])
        if index in (SEAM - 1, SEAM + 1):
            # All solid: nothing of it may show through the holes of the next frame.
            alpha = np.full_like(alpha, 255)
        alpha = binary(alpha) if name == "gif" else alpha
        rgb = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
        rgb[:] = SUBJECT
        rgb[:, : 20 + 4 * index] = (30, 200, 90)
        made.append(Cutout(index, time, TIMES[index + 1] if index + 1 < len(TIMES) else END, rgb, alpha))
    return made


def spec(name: str, *, sound: SoundSource | None = None) -> Spec:
    opaque = name in FORMATS and not FORMATS[name].alpha
    return Spec(*SIZE, rate=Fraction(25), source_clock=Fraction(1, 1000), opaque=opaque, threads=1, sound=sound)


def write(writer: Writer, frames: list[Cutout], *pieces: Path) -> Fraction:
    """The file's clock."""
    for piece in pieces:
        writer.append(piece)
    for frame in frames:
        writer.write(frame)
    writer.close()
    return writer.clock


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Callable[[], SoundSource]]:
    clip = make_clip(tmp_path / "heard.mp4", sound_seconds=0.8, sound_starts=0.1)
    with contextlib.ExitStack() as stack:

        def make() -> SoundSource:
            source = stack.enter_context(open_source(clip))
            return SoundSource(source.container, source.audio, Cut(Fraction(0), None, is_trimmed=False), SOUND)

        yield make


def pieces_of(name: str, folder: Path) -> tuple[Path, Path]:
    first, second = folder / "first", folder / "second"
    write(WRITERS[name](first, spec(name)), cutouts(name)[:SEAM])
    write(WRITERS[name](second, spec(name)), cutouts(name)[SEAM:])
    return first, second


def frames_of(path: Path, name: str) -> list[Shown]:
    return list(read_back(path, name, opaque=spec(name).opaque))


@pytest.mark.parametrize("resumed", [False, True], ids=["joined", "resumed"])
@pytest.mark.parametrize("name", EVERY)
def test_two_pieces_are_proved_like_one(tmp_path, sound, name, resumed):
    """Joined: both pieces are files. Resumed: the second is written where the first was taken in."""
    row = FORMATS[name]
    first, second = pieces_of(name, tmp_path)
    path = tmp_path / "whole"
    heard = sound() if row.audio else None

    if resumed:
        clock = write(WRITERS[name](path, spec(name, sound=heard)), cutouts(name)[SEAM:], first)
    else:
        clock = write(WRITERS[name](path, spec(name, sound=heard)), [], first, second)

    write(MatteWriter(tmp_path / "matte.mkv", spec("matte")), cutouts(name))
    with Record(tmp_path / "thumbs") as record:
        for cutout in cutouts(name):
            alpha = np.full_like(cutout.alpha, 255) if not row.alpha else cutout.alpha
            record.add(cutout.time, cutout.end, matte=cutout.alpha, rgb=cutout.rgb, alpha=alpha)
        span = SOUND if row.audio else None
        verify(path, Promise(name, *SIZE, clock, not row.alpha, record, tmp_path / "matte.mkv", span))


def seen(shown: Shown) -> np.ndarray:
    """Alpha and what is visible: some decoders leave the frame before beneath what is not."""
    if shown.alpha is None:
        return shown.rgb
    return np.dstack([np.where(shown.alpha[..., None] > 0, shown.rgb, 0), shown.alpha])


@pytest.mark.parametrize("name", EVERY)
def test_joining_changes_no_pixel_and_no_time(tmp_path, sound, name):
    first, second = pieces_of(name, tmp_path)
    write(WRITERS[name](tmp_path / "whole", spec(name)), [], first, second)

    apart = [*frames_of(first, name), *frames_of(second, name)]
    joined = frames_of(tmp_path / "whole", name)

    alike = [np.array_equal(seen(one), seen(other)) for one, other in zip(apart, joined, strict=True)]
    assert alike == [True] * len(TIMES)
    if name in ("gif", "webp"):
        # They hold delays only, so a piece by itself begins at zero.
        write(WRITERS[name](tmp_path / "one", spec(name)), cutouts(name))
        apart = frames_of(tmp_path / "one", name)
    assert [frame.time for frame in joined] == [frame.time for frame in apart]


@pytest.mark.parametrize("name", [name for name in EVERY if FORMATS[name].demuxer])
def test_the_joined_file_lasts_and_sounds_as_long_as_the_one_piece_file(tmp_path, sound, name):
    first, second = pieces_of(name, tmp_path)
    write(WRITERS[name](tmp_path / "whole", spec(name, sound=sound())), [], first, second)
    write(WRITERS[name](tmp_path / "one", spec(name, sound=sound())), cutouts(name))

    assert measures(tmp_path / "whole") == measures(tmp_path / "one")


def measures(path: Path) -> tuple[object, ...]:
    """Duration of all, the pictures' times in display order, and every packet of sound."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        packets = [packet for packet in container.demux() if packet.size]
        shown = sorted(packet.pts for packet in packets if packet.stream is video)
        heard = [(packet.pts, bytes(packet)) for packet in packets if packet.stream is audio]
        decoded = [packet.dts for packet in packets if packet.stream is video]
        assert decoded == sorted(set(decoded))
        return container.duration, video.time_base, shown, heard


def test_a_kept_matte_and_its_foreground_go_on_too(tmp_path):
    for made, folder in ((MatteWriter, False), (ForegroundWriter, True)):
        first, second, whole = (tmp_path / f"{made.__name__}-{n}" for n in range(3))
        write(made(first, spec("matte")), cutouts()[:SEAM])
        write(made(second, spec("matte")), cutouts()[SEAM:])
        write(made(whole, spec("matte")), [], first, second)
        if folder:
            assert [p.name for p in sorted(whole.iterdir())] == [f"{n:05d}.png" for n in range(len(TIMES))]
        else:
            back = list(read_matte(whole))
            assert [frame.time for frame in back] == TIMES
            told = [cutout.alpha for cutout in cutouts()]
            assert [np.array_equal(a.alpha, b) for a, b in zip(back, told, strict=True)] == [True] * len(TIMES)


@pytest.mark.parametrize("name", EVERY)
def test_a_piece_of_another_size_is_refused(tmp_path, name):
    other = spec(name)
    other.width, other.height = 64, 48
    write(
        WRITERS[name](tmp_path / "small", other),
        [Cutout(0, Fraction(0), END, np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8))],
    )
    writer = WRITERS[name](tmp_path / "whole", spec(name))

    with pytest.raises(EngineFault, match="other settings"):
        writer.append(tmp_path / "small")
    writer.abandon()
