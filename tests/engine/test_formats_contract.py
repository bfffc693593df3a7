"""One contract, held by every output format: what verify() proves, and that it can fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.engine.audio import Cut, SoundSource
from apps.engine.compose import binary, fill_hidden
from apps.engine.encode import WRITERS, Cutout, MatteWriter, Spec
from apps.engine.encode.mp4 import Mp4Writer
from apps.engine.errors import VerificationFailed
from apps.engine.formats import FORMATS
from apps.engine.readback import read_back
from apps.engine.record import Record
from apps.engine.source import open_source
from apps.engine.verify import Promise, verify, verify_matte
from tests.clips import SUBJECT, make_clip, matte

EVERY = sorted(FORMATS)
WITH_ALPHA = [name for name in EVERY if FORMATS[name].alpha]
WITH_COLOUR = [name for name in EVERY if not FORMATS[name].shows_matte]
CUTOUTS = [name for name in WITH_ALPHA if name in WITH_COLOUR]
H264_MATTES = ["matte_mp4", "stacked_mp4"]
"""Whose alpha is a picture that H.264 has been through."""
EXACT = [name for name in WITH_ALPHA if name not in H264_MATTES]
WITH_SOUND = [name for name in EVERY if FORMATS[name].audio]

ODD = (97, 65)
TIMES = [Fraction(n, 1000) for n in (0, 40, 80, 133, 150, 300, 340, 347)]
"""Milliseconds, uneven, two within one hundredth of a second."""
END = Fraction(400, 1000)


def cutouts(*, opaque: bool = False, binary_alpha: bool = False) -> list[Cutout]:
    """A disc in plain colour over noise that must never be seen again."""
    made = []
    noise = np.random.default_rng(7).integers(0, 256, (ODD[1], ODD[0], 3), np.uint8)
    for index, time in enumerate(TIMES):
        alpha = matte(index, width=ODD[0], height=ODD[1])
        rgb = np.where(alpha[..., None] > 0, np.array(SUBJECT, np.uint8), noise)
        alpha = binary(alpha) if binary_alpha else alpha
        rgb = np.full_like(rgb, 90) if opaque else fill_hidden(np.ascontiguousarray(rgb), alpha)
        shown = np.full_like(alpha, 255) if opaque else alpha
        made.append(Cutout(index, time, TIMES[index + 1] if index + 1 < len(TIMES) else END, rgb, shown))
    return made


class Case:
    """A written file with its promise; each test spoils one thing."""

    def __init__(self, folder: Path, name: str, *, opaque: bool | None = None) -> None:
        self.folder = folder
        self.format = name
        self.opaque = not FORMATS[name].alpha if opaque is None else opaque
        self.path = folder / f"out{FORMATS[name].suffix}"
        self.matte = folder / "matte.mkv"
        self.record = Record(folder / "thumbs")
        self.cutouts = cutouts(opaque=self.opaque, binary_alpha=name == "gif")
        self.clock = Fraction(1, 1000)
        for cutout in self.cutouts:
            self.record.add(cutout.time, cutout.end, matte=cutout.alpha, rgb=cutout.rgb, alpha=cutout.alpha)

    def close(self) -> None:
        self.record.__exit__(None, None, None)

    def replace_mattes(self, alphas: list[np.ndarray]) -> None:
        self.close()
        self.record = Record(self.folder / "thumbs again")
        for cutout, alpha in zip(self.cutouts, alphas, strict=True):
            cutout.alpha = alpha
            self.record.add(cutout.time, cutout.end, matte=alpha, rgb=cutout.rgb, alpha=alpha)

    def spec(self, **changes: object) -> Spec:
        fields = {"width": ODD[0], "height": ODD[1], "rate": Fraction(25), "source_clock": Fraction(1, 1000)}
        return Spec(**{**fields, "opaque": self.opaque, "threads": 1, **changes})

    def write(self, shown: list[Cutout] | None = None, **changes: object) -> Case:
        writer = WRITERS[self.format](self.path, self.spec(**changes))
        self.clock = writer.clock
        for cutout in self.cutouts if shown is None else shown:
            writer.write(cutout)
        writer.close()
        return self.write_matte()

    def write_matte(self, alphas: list[np.ndarray] | None = None) -> Case:
        keeper = MatteWriter(self.matte, self.spec())
        for index, cutout in enumerate(self.cutouts):
            alpha = cutout.alpha if alphas is None else alphas[index]
            keeper.write(Cutout(index, cutout.time, cutout.end, cutout.rgb, alpha))
        keeper.close()
        return self

    def promise(self, *, audio_span: tuple[Fraction, Fraction] | None = None) -> Promise:
        return Promise(self.format, *ODD, self.clock, self.opaque, self.record, self.matte, audio_span)

    def verify(self, **changes: object) -> None:
        verify(self.path, self.promise(**changes))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Callable[..., Case]]:
    with contextlib.ExitStack() as stack:

        def make(name: str, **changes: object) -> Case:
            made = Case(tmp_path, name, **changes)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("name", EVERY)
def test_a_good_file_is_proved_frame_by_frame(case, name):
    proved = []
    good = case(name).write()

    verify(good.path, good.promise(), step=proved.append)

    assert proved == list(range(1, len(TIMES) + 1))


@pytest.mark.parametrize("name", EVERY)
def test_times_are_exact_to_half_a_tick_however_uneven(case, name):
    good = case(name).write()

    shown = [frame.time for frame in read_back(good.path, name, opaque=good.opaque)]

    assert [abs(time - told) <= good.clock / 2 for time, told in zip(shown, TIMES, strict=True)] == [True] * len(TIMES)


@pytest.mark.parametrize("name", EXACT)
def test_alpha_comes_back_within_one_step_and_a_quarter_on_average(case, name):
    good = case(name).write()

    pairs = zip(read_back(good.path, name, opaque=False), good.cutouts, strict=True)
    errors = [np.abs(shown.alpha.astype(int) - cutout.alpha) for shown, cutout in pairs]

    assert max(int(error.max()) for error in errors) <= 1
    assert float(np.mean(errors)) <= 0.25


@pytest.mark.parametrize("name", H264_MATTES)
def test_alpha_that_went_through_h264_errs_at_edges_only(case, name):
    good = case(name).write()

    for shown, cutout in zip(read_back(good.path, name, opaque=False), good.cutouts, strict=True):
        error = np.abs(shown.alpha[: ODD[1], : ODD[0]].astype(int) - cutout.alpha)
        assert error.max() <= 64
        assert error.mean() <= 0.5
        inside = cv2.erode(cutout.alpha, np.ones((17, 17), np.uint8)) == 255
        assert error[inside].max() <= 2


@pytest.mark.parametrize("name", H264_MATTES)
def test_alpha_bounds_of_h264_hold_for_a_matte_that_is_all_detail(case, name):
    """Verification must not refuse an honest file, whatever the matte."""
    made = case(name)
    made.replace_mattes([np.random.default_rng(n).integers(0, 2, ODD[::-1], np.uint8) * 255 for n in range(len(TIMES))])

    made.write().verify()


def test_the_stacked_halves_are_padded_alike_and_tagged(case):
    good = case("stacked_mp4").write()

    with av.open(str(good.path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (stream.width, stream.height) == FORMATS["stacked_mp4"].frame_size(*ODD) == (98, 132)
        assert (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)
        luma = frame.to_ndarray()[:132, :98]
    matte = good.cutouts[0].alpha
    assert abs(int(luma[66:][26, 29]) - 235) <= 2
    assert matte[26, 29] == 255
    assert set(luma[66 + 60 :].ravel()) == {16}


@pytest.mark.parametrize("name", ["mp4", *H264_MATTES])
def test_mp4_begins_with_its_index(case, name):
    data = case(name).write().path.read_bytes()

    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_matte_that_is_not_grey_is_found(case):
    spoiled = case("matte_mp4")
    tinted = Mp4Writer(spoiled.path, spoiled.spec())
    spoiled.clock = tinted.clock
    for cutout in spoiled.cutouts:
        rgb = np.dstack([cutout.alpha, cutout.alpha, cutout.alpha // 2])
        tinted.write(Cutout(cutout.index, cutout.time, cutout.end, rgb, cutout.alpha))
    tinted.close()
    spoiled.write_matte()

    with pytest.raises(VerificationFailed, match="frame 1"):
        spoiled.verify()


def test_the_lower_half_of_an_opaque_stacked_picture_must_be_white(case):
    spoiled = case("stacked_mp4", opaque=True)
    spoiled.cutouts[3].alpha[:] = 40
    spoiled.write(opaque=False)

    with pytest.raises(VerificationFailed, match="not white"):
        spoiled.verify()


@pytest.mark.parametrize("edge", [(0, 20), (-1, 20), (-1, 76), (50, 0), (50, -1)])
@pytest.mark.parametrize("name", EXACT)
def test_a_single_visible_pixel_at_an_edge_is_kept(case, name, edge):
    """FFmpeg's GIF encoder crops what is transparent, and overlooks the last row while it does."""
    made = case(name)
    shown = made.cutouts[0]
    shown.alpha = np.zeros_like(shown.alpha)
    shown.alpha[40:, 40:60] = 255
    shown.alpha[edge] = 255

    made.write([shown])

    (back,) = read_back(made.path, name, opaque=False)
    assert back.alpha is not None
    assert int(np.abs(back.alpha.astype(int) - shown.alpha).max()) <= 1


@pytest.mark.parametrize("name", EXACT)
def test_a_solid_frame_does_not_show_through_the_holes_of_the_next(case, name):
    made = case(name)
    solid, empty = np.full(ODD[::-1], 255, np.uint8), np.zeros(ODD[::-1], np.uint8)
    holes = solid.copy()
    holes[10:40, 10:50] = 0
    made.replace_mattes([solid, holes, solid, solid, holes, empty, solid, empty])

    made.write().verify()


@pytest.mark.parametrize("name", CUTOUTS)
def test_what_was_behind_the_subject_is_not_in_the_file(case, name):
    """Straight alpha keeps colours nobody sees; they must be the subject's, neither the background's nor black."""
    good = case(name).write()

    for shown in read_back(good.path, name, opaque=False):
        hidden = shown.rgb[shown.alpha == 0]
        if name == "gif":
            continue  # One colour of the palette stands for every transparent pixel.
        assert np.abs(hidden.astype(int).mean(axis=0) - SUBJECT).max() < 16
        assert hidden.std(axis=0).max() < 16


@pytest.mark.parametrize("name", CUTOUTS)
def test_an_opaque_background_is_written_without_alpha(case, name):
    flat = case(name, opaque=True).write()

    flat.verify()
    verify_matte(flat.matte, flat.promise())

    assert [frame.alpha is None for frame in read_back(flat.path, name, opaque=True)] == [True] * len(TIMES)


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_frame_is_found(case, name):
    spoiled = case(name)
    spoiled.write(spoiled.cutouts[:-1])

    with pytest.raises(VerificationFailed, match="frames"):
        spoiled.verify()


@pytest.mark.parametrize("name", EVERY)
def test_a_frame_too_many_is_found(case, name):
    spoiled = case(name)
    last = spoiled.cutouts[-1]
    spoiled.write([*spoiled.cutouts, Cutout(len(TIMES), END, END + Fraction(1, 25), last.rgb, last.alpha)])

    with pytest.raises(VerificationFailed, match="more than"):
        spoiled.verify()


@pytest.mark.parametrize("name", EVERY)
def test_a_shifted_time_is_found(case, name):
    """One frame a fiftieth of a second late, the count unchanged."""
    spoiled = case(name)
    late = Fraction(1, 50)
    early, moved = spoiled.cutouts[1], spoiled.cutouts[2]
    shifted = [
        *spoiled.cutouts[:1],
        Cutout(1, early.time, early.end + late, early.rgb, early.alpha),
        Cutout(2, moved.time + late, moved.end, moved.rgb, moved.alpha),
        *spoiled.cutouts[3:],
    ]
    spoiled.write(shifted)

    with pytest.raises(VerificationFailed, match="is at"):
        spoiled.verify()


@pytest.mark.parametrize("name", CUTOUTS)
def test_dropped_alpha_is_found(case, name):
    spoiled = case(name)
    spoiled.write(opaque=True)

    with pytest.raises(VerificationFailed, match=r"[Aa]lpha"):
        spoiled.verify()


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_alpha_of_the_wrong_frame_is_found(case, name):
    spoiled = case(name)
    alphas = [cutout.alpha for cutout in spoiled.cutouts]
    swapped = [alphas[1], *alphas[1:]]
    spoiled.write(
        [
            Cutout(cutout.index, cutout.time, cutout.end, cutout.rgb, alpha)
            for cutout, alpha in zip(spoiled.cutouts, swapped, strict=True)
        ]
    )

    with pytest.raises(VerificationFailed, match="alpha of frame 1"):
        spoiled.verify()


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_a_kept_matte_that_was_not_encoded_is_found(case, name):
    spoiled = case(name).write()
    spoiled.write_matte([np.roll(cutout.alpha, 1, axis=1) for cutout in spoiled.cutouts])

    with pytest.raises(VerificationFailed, match="kept matte"):
        spoiled.verify()


@pytest.mark.parametrize("name", WITH_COLOUR)
def test_a_wrong_picture_is_found(case, name):
    spoiled = case(name)
    spoiled.write(
        [
            Cutout(cutout.index, cutout.time, cutout.end, np.ascontiguousarray(255 - cutout.rgb), cutout.alpha)
            for cutout in spoiled.cutouts
        ]
    )

    with pytest.raises(VerificationFailed, match="picture of frame 1"):
        spoiled.verify()


@pytest.mark.parametrize("name", EVERY)
def test_half_a_file_is_found(case, name):
    spoiled = case(name).write()
    data = spoiled.path.read_bytes()
    spoiled.path.write_bytes(data[: len(data) // 2])

    with pytest.raises(VerificationFailed):
        spoiled.verify()


@pytest.mark.parametrize("name", WITH_SOUND)
def test_missing_sound_is_found(case, name):
    silent = case(name).write()

    with pytest.raises(VerificationFailed, match="sound is missing"):
        silent.verify(audio_span=(Fraction(0), Fraction(2, 5)))


@pytest.mark.parametrize("name", WITH_SOUND)
def test_sound_is_as_long_as_the_inputs_and_starts_as_late(case, name, tmp_path):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=0.6, sound_starts=0.2)
    span = (Fraction(1, 5), Fraction(4, 5))
    case_ = case(name)

    with open_source(clip) as source:
        sound = SoundSource(source.container, source.audio, Cut(Fraction(0), None, is_trimmed=False), span)
        case_.write(sound=sound)

    case_.verify(audio_span=span)
    with pytest.raises(VerificationFailed, match="sound runs from"):
        case_.verify(audio_span=(Fraction(1, 5), Fraction(2)))


def test_the_kept_matte_is_proved_where_no_alpha_is_written(case):
    flat = case("mp4").write()
    verify_matte(flat.matte, flat.promise())
    flat.write_matte([np.roll(cutout.alpha, 1) // 2 for cutout in flat.cutouts])

    with pytest.raises(VerificationFailed, match="kept matte"):
        verify_matte(flat.matte, flat.promise())
