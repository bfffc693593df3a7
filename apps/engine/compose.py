"""Alpha arithmetic on display-referred 8-bit values: snapping, hidden colours, laying a cutout over a background."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from apps.engine.errors import BadOptions
from apps.engine.options import MAX_BACKGROUND_PIXELS, Background, Color

Rgb = NDArray[np.uint8]
Alpha = NDArray[np.uint8]

SNAP_LOW = 8
SNAP_HIGH = 247
"""Alpha below and above these is noise: it costs bytes, and leaves a veil over whatever lies behind."""

BINARY_THRESHOLD = 128

FILL_SIDE = 160
"""Longest side of the small picture in which hidden colours are spread; they are smooth by nature."""

NEUTRAL = 128
"""Hidden colour of a frame without any subject."""

BACKGROUND_FORMATS = ("JPEG", "PNG", "WEBP")

_SNAP = np.arange(256, dtype=np.uint8)
_SNAP[:SNAP_LOW] = 0
_SNAP[SNAP_HIGH + 1 :] = 255


def snap(alpha: Alpha) -> Alpha:
    """Nearly nothing is nothing, nearly all is all."""
    return np.asarray(cv2.LUT(alpha, _SNAP), np.uint8)


def binary(alpha: Alpha) -> Alpha:
    return np.where(alpha >= BINARY_THRESHOLD, 255, 0).astype(np.uint8)


def multiply(first: Alpha, second: Alpha) -> Alpha:
    return np.asarray(cv2.multiply(first, second, scale=1 / 255), np.uint8)


def premultiplied(rgb: Rgb, alpha: Alpha) -> Rgb:
    return np.asarray(cv2.multiply(rgb, cv2.merge([alpha, alpha, alpha]), scale=1 / 255), np.uint8)


def over(rgb: Rgb, alpha: Alpha, background: Rgb) -> Rgb:
    """F·a + B·(1−a), rounded to nearest, exact."""
    weight = alpha.astype(np.uint16)[..., None]
    total = rgb * weight + background * (255 - weight) + 128
    return np.asarray((total + (total >> 8)) >> 8, np.uint8)


def fill_hidden(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Replace the colour under alpha 0 by a smooth continuation of the subject's own.

    Straight alpha would otherwise deliver the removed background to anyone
    who looks; and black would cost bytes and fringe the edges.
    """
    hidden = (alpha == 0).view(np.uint8)
    if not cv2.hasNonZero(hidden):
        return rgb
    filled = rgb.copy()
    cv2.copyTo(spread_colour(rgb, alpha), hidden, filled)
    return filled


def spread_colour(rgb: Rgb, alpha: Alpha) -> Rgb:
    """The subject's colours, smooth, over the whole picture."""
    height, width = alpha.shape
    scale = min(1.0, FILL_SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colour = cv2.resize(premultiplied(rgb, alpha), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = _push_pull(colour, np.asarray(weight, np.float32))
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _push_pull(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> Rgb:
    """Every pixel its nearest colours: averages of averages where there are none near."""
    levels = [(colour, weight)]
    while max(levels[-1][1].shape) > 1:
        last_colour, last_weight = levels[-1]
        size = ((last_weight.shape[1] + 1) // 2, (last_weight.shape[0] + 1) // 2)
        levels.append(
            (
                np.asarray(cv2.resize(last_colour, size, interpolation=cv2.INTER_AREA), np.float32),
                np.asarray(cv2.resize(last_weight, size, interpolation=cv2.INTER_AREA), np.float32),
            )
        )
    total = float(levels[-1][1][0, 0])
    mean = levels[-1][0].reshape(-1) / total if total > 0 else np.full(3, NEUTRAL, np.float32)
    spread = np.full((1, 1, 3), mean, np.float32)
    for level_colour, level_weight in reversed(levels):
        size = (level_weight.shape[1], level_weight.shape[0])
        coarse = cv2.resize(spread, size, interpolation=cv2.INTER_LINEAR).reshape(*level_weight.shape, 3)
        known = np.clip(level_weight, 0, 1)[..., None]
        own = level_colour / np.maximum(known, 1e-4)
        spread = np.asarray(np.where(known > 1e-3, own * known + coarse * (1 - known), coarse), np.float32)
    return np.clip(np.rint(spread), 0, 255).astype(np.uint8)


def make_background(background: Background, image: Path | None, width: int, height: int) -> Rgb | None:
    """The picture a cutout is laid over, at the frame's size; None when it stays transparent."""
    if background.type == "transparent":
        return None
    if background.type == "color" and background.color is not None:
        return np.full((height, width, 3), background.color, np.uint8)
    if image is None:
        raise BadOptions("A background image is required when bg_type is image.", param="bg_image")
    return fit(read_image(image), background.fit, width, height)


def read_image(path: Path) -> Rgb:
    """A JPEG, PNG or WebP as it is meant to be seen; refuses anything else and pictures too large to be meant well."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=BACKGROUND_FORMATS) as image:
                if image.width * image.height > MAX_BACKGROUND_PIXELS:
                    raise BadOptions(
                        f"The background image is {image.width} × {image.height}; at most 36 megapixels are allowed.",
                        param="bg_image",
                    )
                return _flatten(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadOptions("The background image is too large; at most 36 megapixels.", param="bg_image") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadOptions(
            "The background image cannot be read. Use a JPEG, PNG or WebP file.", param="bg_image"
        ) from error


def _flatten(image: Image.Image) -> Rgb:
    if image.mode in ("I", "I;16", "F"):
        # Sixteen-bit grey would be clipped to white by Pillow's own conversion.
        image = Image.fromarray((np.asarray(image, np.float32) / 257).clip(0, 255).astype(np.uint8))
    rgba = np.asarray(image.convert("RGBA"), np.uint8)
    rgb, alpha = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return rgb if alpha.min() == 255 else over(rgb, alpha, np.full_like(rgb, 255))


def fit(image: Rgb, how: str, width: int, height: int, *, bars: Color = (0, 0, 0)) -> Rgb:
    """`stretch` to the size, `cover` it and cut what stands over, or `contain` the whole picture between bars."""
    if how == "stretch":
        return _resize(image, width, height)
    ratios = (width / image.shape[1], height / image.shape[0])
    scale = max(ratios) if how == "cover" else min(ratios)
    new_width, new_height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if how == "cover":
        new_width, new_height = max(new_width, width), max(new_height, height)
        left, top = (new_width - width) // 2, (new_height - height) // 2
        # Cut first, in the picture's own pixels: a sliver scaled up whole would not fit into memory.
        x0, x1 = left / scale, (left + width) / scale
        y0, y1 = top / scale, (top + height) / scale
        cut = image[int(y0) : max(int(y0) + 1, round(y1)), int(x0) : max(int(x0) + 1, round(x1))]
        return _resize(cut, width, height)
    canvas = np.full((height, width, 3), bars, np.uint8)
    new_width, new_height = min(new_width, width), min(new_height, height)
    left, top = (width - new_width) // 2, (height - new_height) // 2
    canvas[top : top + new_height, left : left + new_width] = _resize(image, new_width, new_height)
    return canvas


def _resize(image: Rgb, width: int, height: int) -> Rgb:
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
