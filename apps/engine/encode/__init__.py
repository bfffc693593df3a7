"""The writers, one a format; their properties are in apps.engine.formats."""

from __future__ import annotations

from apps.engine.encode.base import Cutout, Spec, Writer, WriterFactory
from apps.engine.encode.gif import GifWriter
from apps.engine.encode.matte import MatteWriter
from apps.engine.encode.mov import MovWriter
from apps.engine.encode.mp4 import Mp4Writer
from apps.engine.encode.png import ForegroundWriter, PngSequenceWriter
from apps.engine.encode.stacked import MatteMp4Writer, StackedWriter
from apps.engine.encode.webm import WebmWriter
from apps.engine.encode.webp import WebpWriter

WRITERS: dict[str, WriterFactory] = {
    "webm": WebmWriter,
    "mov": MovWriter,
    "mp4": Mp4Writer,
    "gif": GifWriter,
    "webp": WebpWriter,
    "png_sequence": PngSequenceWriter,
    "stacked_mp4": StackedWriter,
    "matte_mp4": MatteMp4Writer,
}

__all__ = ["WRITERS", "Cutout", "ForegroundWriter", "MatteWriter", "Spec", "Writer", "WriterFactory"]
