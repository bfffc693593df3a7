"""A cutout on a canvas of its own: every pixel where the layout says, without halo, in every format."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.child import Limits
from apps.engine.composition import ANCHORS, Composition, Layout, lay_out, parse_composition
from apps.engine.errors import BadOptions, LimitExceeded
from apps.engine.formats import FORMATS
from apps.engine.matting.base import Matte
from apps.engine.options import Background
from apps.engine.placing import place
from apps.engine.readback import read_back, read_matte
from tests.clips import FRAMES, HEIGHT, SCREEN, SUBJECT, WIDTH, make_clip, make_picture, matte
from tests.engine.work import KnownModel, options, run


# Where things lie
def test_without_a_wish_the_frame_is_the_canvas():
    assert lay_out(Composition(), 1279, 721) == Layout(1279, 721, 0, 0, 1279, 721)
    assert lay_out(Composition(), 1279, 721).is_plain(1279, 721)


@pytest.mark.parametrize(
    ("composition", "layout"),
    [
        (Composition(canvas=(1080, 1920)), Layout(1080, 1920, 0, 656, 1080, 608)),
        (Composition(canvas=(640, 360)), Layout(640, 360, 0, 0, 640, 360)),
        (Composition(canvas=(1080, 1080), anchor="bottom-right", scale=0.5), Layout(1080, 1080, 540, 776, 540, 304)),
        (Composition(scale=0.5), Layout(1920, 1080, 480, 270, 960, 540)),
        (Composition(scale=4, anchor="top-left"), Layout(1920, 1080, 0, 0, 7680, 4320)),
        (Composition(scale=2, anchor="center"), Layout(1920, 1080, -960, -540, 3840, 2160)),
        (Composition(offset=(-7, 9)), Layout(1920, 1080, -7, 9, 1920, 1080)),
    ],
)
def test_a_frame_of_1920_by_1080_lies_where_it_should(composition, layout):
    assert lay_out(composition, 1920, 1080) == layout


def test_each_anchor_puts_the_frame_to_its_side():
    places = {
        name: lay_out(Composition(canvas=(100, 100), scale=0.5, anchor=name), 80, 80) for name in ANCHORS
    }  # fmt: skip

    assert {name: (layout.left, layout.top) for name, layout in places.items()} == {
        "top-left": (0, 0), "top-center": (25, 0), "top-right": (50, 0),
        "center-left": (0, 25), "center": (25, 25), "center-right": (50, 25),
        "bottom-left": (0, 50), "bottom-center": (25, 50), "bottom-right": (50, 50),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"canvas": {"width": 15, "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": 100, "height": 4097}}, "composition.canvas.height"),
        ({"canvas": {"width": 100.5, "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": "100", "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": True, "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": float("nan"), "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": 10**400, "height": 100}}, "composition.canvas.width"),
        ({"canvas": {"width": 100}}, "composition.canvas.height"),
        ({"canvas": {"width": 100, "height": 100, "depth": 1}}, "composition.canvas.depth"),
        ({"canvas": [100, 100]}, "composition.canvas"),
        ({"canvas": "100x100"}, "composition.canvas"),
        ({"foreground": {"anchor": "middle"}}, "composition.foreground.anchor"),
        ({"foreground": {"anchor": 5}}, "composition.foreground.anchor"),
        ({"foreground": {"anchor": []}}, "composition.foreground.anchor"),
        ({"foreground": {"scale": 0.04}}, "composition.foreground.scale"),
        ({"foreground": {"scale": 4.01}}, "composition.foreground.scale"),
        ({"foreground": {"scale": False}}, "composition.foreground.scale"),
        ({"foreground": {"offset": {"x": 0.5}}}, "composition.foreground.offset.x"),
        ({"foreground": {"offset": {"y": float("inf")}}}, "composition.foreground.offset.y"),
        ({"foreground": {"offset": {"z": 1}}}, "composition.foreground.offset.z"),
        ({"foreground": {"offset": [1, 2]}}, "composition.foreground.offset"),
        ({"foreground": {"rotate": 3}}, "composition.foreground.rotate"),
        ({"background": {}}, "composition.background"),
        ("big", "composition"),
    ],
)
def test_a_wrong_composition_is_refused_by_name(given, param):
    with pytest.raises(BadOptions) as refusal:
        parse_composition(given)

    assert refusal.value.param == param
    assert param in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "composition"),
    [
        (None, Composition()),
        ({}, Composition()),
        ({"canvas": {"width": 640.0, "height": 360}}, Composition(canvas=(640, 360))),
        ({"foreground": {"offset": {"y": -3}}}, Composition(offset=(0, -3))),
        ({"canvas": None, "foreground": {"scale": 2, "anchor": None}}, Composition(scale=2.0)),
    ],
)
def test_every_part_may_be_left_out(given, composition):
    assert parse_composition(given) == composition
    assert parse_composition(composition.as_dict()) == composition


# Pixels
def cutout(width: int = WIDTH, height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """The disc in its own colour, over hidden screen green that must never be seen."""
    alpha = matte(3, width=width, height=height)
    rgb = np.where(alpha[..., None] > 0, np.uint8(SUBJECT), np.uint8(SCREEN))
    return np.ascontiguousarray(rgb), alpha


def test_moving_by_whole_pixels_copies_them():
    rgb, alpha = cutout()

    placed, cover = place(rgb, alpha, Layout(120, 50, 30, -9, WIDTH, HEIGHT))

    assert np.array_equal(cover[:, 30:], alpha[9:59, :90])
    assert np.array_equal(placed[:, 30:], rgb[9:59, :90])
    assert cover[:, :30].max() == placed[:, :30].max() == 0


def test_the_plain_layout_changes_nothing_at_all():
    rgb, alpha = cutout()

    placed, cover = place(rgb, alpha, Layout(WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT))

    assert placed is rgb
    assert cover is alpha


def test_shrinking_averages_what_each_pixel_covers():
    rng = np.random.default_rng(6)
    rgb, alpha = rng.integers(0, 256, (40, 60, 3), np.uint8), rng.integers(0, 256, (40, 60), np.uint8)

    placed, cover = place(rgb, alpha, Layout(30, 20, 0, 0, 30, 20))

    weight = alpha.astype(float)
    mean = weight.reshape(20, 2, 30, 2).mean(axis=(1, 3))
    colour = (rgb * weight[..., None]).reshape(20, 2, 30, 2, 3).mean(axis=(1, 3)) / np.maximum(mean, 1e-9)[..., None]
    assert np.abs(cover - mean).max() <= 0.5
    assert np.abs(placed - colour)[cover > 0].max() <= 0.51


@pytest.mark.parametrize("factor", [0.1, 0.37, 0.8, 1.3, 2.0, 3.7])
def test_no_halo_at_any_scale(factor):
    """Whatever is visible has the subject's colour; resampled straight, the rim would be half green."""
    rgb, alpha = cutout()
    size = round(WIDTH * factor), round(HEIGHT * factor)

    placed, cover = place(rgb, alpha, Layout(*size, 0, 0, *size))

    assert cover.max() > 200
    assert np.abs(placed[cover > 2].astype(int) - SUBJECT).max() <= 2


@pytest.mark.parametrize("factor", [0.5, 1.5, 3.0])
def test_the_subject_is_where_its_scale_puts_it(factor):
    _, alpha = cutout()
    size = round(WIDTH * factor), round(HEIGHT * factor)
    layout = Layout(size[0] + 20, size[1] + 10, 13, 7, *size)

    _, cover = place(np.zeros((HEIGHT, WIDTH, 3), np.uint8), alpha, layout)

    def centre(map_: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[0 : map_.shape[0], 0 : map_.shape[1]] + 0.5
        return np.array([(x * map_).sum(), (y * map_).sum()]) / map_.sum()

    assert centre(cover.astype(float)) == pytest.approx(centre(alpha.astype(float)) * factor + (13, 7), abs=0.1)
    assert cover.sum() == pytest.approx(alpha.sum() * factor**2, rel=0.01)


@pytest.mark.parametrize("shift", [(0, 0), (-40, -30), (-150, -100)])
def test_enlarging_a_part_is_a_part_of_the_enlarged(shift):
    """Only what is seen is computed; it must not show."""
    rgb, alpha = cutout()
    size = WIDTH * 3, HEIGHT * 3
    whole_rgb, whole = place(rgb, alpha, Layout(*size, 0, 0, *size))

    part_rgb, part = place(rgb, alpha, Layout(90, 60, *shift, *size))

    left, top = -shift[0], -shift[1]
    assert np.abs(part.astype(int) - whole[top : top + 60, left : left + 90]).max() <= 1
    seen = part > 8
    assert np.abs(part_rgb.astype(int) - whole_rgb[top : top + 60, left : left + 90])[seen].max(initial=0) <= 2


def test_four_times_the_largest_canvas_fits_into_memory():
    rgb, alpha = cutout()

    placed, cover = place(rgb, alpha, Layout(256, 256, -8000, -6000, 16_384, 10_923))

    assert placed.shape == (256, 256, 3)
    assert cover.shape == (256, 256)


def test_a_frame_beside_the_canvas_leaves_it_empty():
    placed, cover = place(*cutout(), Layout(50, 50, 50, 0, WIDTH, HEIGHT))

    assert (placed.max(), cover.max()) == (0, 0)


# Whole results
ASKED = Composition(canvas=(80, 120), anchor="bottom-right", scale=0.75, offset=(-3, 5))
LAYOUT = lay_out(ASKED, WIDTH, HEIGHT)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_shows_the_composition_and_is_proved(tmp_path, name):
    target = tmp_path / "out"

    result = run(
        make_clip(tmp_path / "in.mkv"), target, options(name, composition=ASKED), model=KnownModel(),
        matte=tmp_path / "m.mkv",
    )  # fmt: skip

    opaque = not FORMATS[name].alpha
    shown = list(read_back(target, name, opaque=opaque))
    kept = [frame.alpha for frame in read_matte(tmp_path / "m.mkv")]
    outputs = {output.kind: (output.width, output.height) for output in result.outputs}
    assert outputs == {"result": (80, 240) if name == "stacked_mp4" else (80, 120), "matte": (WIDTH, HEIGHT)}
    assert (result.warnings, len(shown), len(kept)) == ([], FRAMES, FRAMES)
    for index in range(FRAMES):
        _, expected = place(np.zeros((HEIGHT, WIDTH, 3), np.uint8), kept[index], LAYOUT)
        if opaque:
            beyond = expected == 0
            assert np.abs(shown[index].rgb[beyond].mean(axis=0) - (255, 0, 255)).max() < 4
        else:
            expected = np.where(expected >= 128, 255, 0) if name == "gif" else expected
            missed = np.abs(shown[index].alpha.astype(int) - expected)
            # H.264 keeps a matte only nearly.
            assert missed.mean() < 1 if FORMATS[name].demuxer == "mp4" else missed.max() <= 1


def test_what_the_canvas_adds_tells_nothing_of_the_original(tmp_path):
    asked = options("png_sequence", composition=Composition(canvas=(200, 100), anchor="center-left"))

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.zip", asked)

    for shown in read_back(tmp_path / "out.zip", "png_sequence", opaque=False):
        hidden = shown.rgb[shown.alpha == 0].astype(int)
        assert np.abs(hidden.mean(axis=0) - SUBJECT).max() < 16
        assert hidden[:, 1].max() < 120


@pytest.mark.parametrize(("fit", "corner"), [("cover", (30, 90, 200)), ("contain", (0, 0, 0))])
def test_a_background_picture_fits_the_canvas_and_not_the_frame(tmp_path, fit, corner):
    image = make_picture(tmp_path / "sea.png", width=100, height=50)
    asked = options(
        "png_sequence", background=Background("image", None, fit), composition=Composition(canvas=(60, 120), scale=0.5)
    )

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.zip", asked, background_image=image)

    shown = next(read_back(tmp_path / "out.zip", "png_sequence", opaque=True)).rgb
    assert shown.shape == (120, 60, 3)
    assert tuple(shown[0, 0]) == tuple(shown[-1, -1]) == corner
    assert tuple(shown[60, 0]) == (30, 90, 200)


def test_an_odd_canvas_is_padded_for_mp4(tmp_path):
    asked = options("mp4", composition=Composition(canvas=(81, 121)))

    result = run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4", asked)

    assert [notice.code for notice in result.warnings] == ["size_padded"]
    assert (result.outputs[0].width, result.outputs[0].height) == (82, 122)


def test_a_subject_moved_out_of_sight_is_told(tmp_path):
    asked = options("webm", composition=Composition(offset=(500, 0)))

    result = run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.webm", asked)

    assert [notice.code for notice in result.warnings] == ["nothing_shown"]


def test_a_canvas_over_the_given_limit_is_refused(tmp_path):
    asked = options("webm", composition=Composition(canvas=(2000, 100)))

    with pytest.raises(LimitExceeded, match="1920") as refusal:
        run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.webm", asked, limits=Limits(max_side=1920))

    assert refusal.value.param == "composition.canvas"


class StillModel(KnownModel):
    """Sees the first frame's subject in every frame."""

    def push(self, frame: np.ndarray) -> list[Matte]:
        self.count = 0
        return super().push(frame)


def test_the_same_place_in_every_frame(tmp_path):
    """A subject that stands still in the source stands still on the canvas, to the bit."""
    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mov", options("mov", composition=ASKED), model=StillModel())

    alphas = [frame.alpha for frame in read_back(tmp_path / "out.mov", "mov", opaque=False)]
    assert all(np.array_equal(alpha, alphas[0]) for alpha in alphas)
