"""Alpha arithmetic against the formula, and the background pictures that people send."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from apps.engine import compose
from apps.engine.errors import BadOptions
from apps.engine.options import Background
from tests.clips import SUBJECT, matte


def test_over_is_exact_to_rounding():
    rng = np.random.default_rng(1)
    rgb, back = (rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(2))
    alpha = rng.integers(0, 256, (40, 50), np.uint8)

    share = alpha[..., None] / 255
    expected = np.rint(rgb * share + back * (1 - share))

    assert np.array_equal(compose.over(rgb, alpha, back), expected)


def test_snap_moves_only_what_is_nearly_nothing_or_all():
    ramp = np.arange(256, dtype=np.uint8)[None]

    snapped = compose.snap(ramp)[0]

    assert snapped[:8].tolist() == [0] * 8
    assert snapped[248:].tolist() == [255] * 8
    assert np.array_equal(snapped[8:248], ramp[0, 8:248])


def test_hidden_colour_continues_the_subject_and_shows_nothing_of_the_background():
    noise = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
    alpha = matte(3)
    rgb = np.where(alpha[..., None] > 0, np.uint8(SUBJECT), noise)

    filled = compose.fill_hidden(np.ascontiguousarray(rgb), alpha)

    assert np.array_equal(filled[alpha > 0], rgb[alpha > 0])
    assert np.abs(filled[alpha == 0].astype(int) - SUBJECT).max() <= 2


def test_a_frame_without_subject_is_filled_evenly():
    noise = np.random.default_rng(3).integers(0, 256, (30, 20, 3), np.uint8)

    filled = compose.fill_hidden(noise, np.zeros((30, 20), np.uint8))

    assert np.ptp(filled) == 0
    assert filled[0, 0, 0] == compose.NEUTRAL


def checkers(width: int, height: int) -> np.ndarray:
    """Left half red, right half blue; a green row on top."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 255
    image[:, width // 2 :, 2] = 255
    image[: height // 8] = (0, 255, 0)
    return image


def test_cover_fills_the_frame_and_cuts_evenly():
    shown = compose.fit(checkers(80, 40), "cover", 20, 20)

    assert shown.shape == (20, 20, 3)
    assert (shown[15, 0, 0], shown[15, -1, 2]) == (255, 255)
    assert shown[0, 10, 1] > 200


def test_contain_shows_all_between_bars():
    shown = compose.fit(checkers(80, 40), "contain", 40, 40)

    assert (shown[:9].max(), shown[31:].max()) == (0, 0)
    assert shown[25, 0, 0] == 255


def test_stretch_fills_the_frame_without_cutting():
    shown = compose.fit(checkers(80, 40), "stretch", 10, 40)

    assert (shown[30, 0, 0], shown[30, -1, 2]) == (255, 255)


@pytest.mark.parametrize("how", ["cover", "contain", "stretch"])
def test_a_sliver_is_fitted_without_blowing_up(how):
    assert compose.fit(np.full((1, 3000, 3), 9, np.uint8), how, 300, 400).shape == (400, 300, 3)


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    image = Image.fromarray(checkers(80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)

    shown = compose.read_image(tmp_path / "a.jpg")

    assert shown.shape == (80, 40, 3)
    assert shown[20, -2, 1] > 200


def test_a_background_with_alpha_is_flattened_on_white(tmp_path):
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "a.png")

    assert compose.read_image(tmp_path / "a.png").min() == 255


def test_sixteen_bit_grey_keeps_its_tones(tmp_path):
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "a.png")

    assert compose.read_image(tmp_path / "a.png").mean() == pytest.approx(128, abs=1)


def test_every_kind_of_pixel_shows_its_colour(tmp_path):
    """Print colours, deep colours, palettes, and the first frame of what moves."""
    flat, black = (Image.new("RGB", (8, 6), colour) for colour in ((200, 60, 30), (0, 0, 0)))
    deep = np.full((6, 8, 3), [30 * 257, 60 * 257, 200 * 257], np.uint16)
    flat.convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    flat.quantize(4).save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "deep-alpha.png"), np.dstack([deep, np.full((6, 8), 65_535, np.uint16)]))
    for name in ("moves.webp", "moves.png"):
        flat.save(tmp_path / name, save_all=True, append_images=[black], duration=100, lossless=True)

    shown = {path.name: compose.read_image(path) for path in tmp_path.iterdir()}

    assert {name: image.shape for name, image in shown.items()} == dict.fromkeys(shown, (6, 8, 3))
    assert len(shown) == 6
    for image in shown.values():
        assert np.abs(image.astype(int) - (200, 60, 30)).max() <= 2


def test_a_transparent_palette_colour_is_flattened_on_white(tmp_path):
    Image.new("RGB", (8, 6), (200, 60, 30)).quantize(4).save(tmp_path / "a.png", transparency=0)

    assert compose.read_image(tmp_path / "a.png").min() == 255


@pytest.mark.parametrize("content", [b"", b"not a picture", b"<svg/>", b"GIF89a" + b"\0" * 40])
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(BadOptions, match="cannot be read") as refusal:
        compose.read_image(tmp_path / "a.png")

    assert refusal.value.param == "bg_image"


def test_a_picture_too_large_to_be_meant_well_is_refused(tmp_path):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")

    with pytest.raises(BadOptions, match="36 megapixels"):
        compose.read_image(tmp_path / "bomb.png")


def test_an_image_background_needs_its_image():
    with pytest.raises(BadOptions, match="required") as refusal:
        compose.make_background(Background("image"), None, 10, 10)

    assert refusal.value.param == "bg_image"
