"""What a background picture must be: JPEG, PNG or WebP, whole, and of a sane size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from apps.engine.options import MAX_BACKGROUND_PIXELS
from apps.errors import AppError

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


def look(path: Path) -> dict[str, Any]:
    """Width and height as shown, EXIF orientation and content type; AppError says what is wrong."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as picture:
            width, height = picture.size
            if width * height > MAX_BACKGROUND_PIXELS:
                raise _too_big()
            orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1) or 1)
            format_ = str(picture.format)
            # Only decoding shows that a picture is whole.
            picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_big() from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError) as error:
        message = "A background must be a whole JPEG, PNG or WebP picture."
        raise AppError("unsupported_media", message, param="file") from error
    if orientation in SIDEWAYS:
        width, height = height, width
    return {"width": width, "height": height, "orientation": orientation, "content_type": FORMATS[format_]}


def _too_big() -> AppError:
    message = f"A background may have at most {MAX_BACKGROUND_PIXELS // 1_000_000} megapixels: make it smaller."
    return AppError("limit_exceeded", message, param="file")
