"""Single pictures encoded side by side and handed back in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from apps.engine.colour import new_codec
from apps.engine.depth import Deep
from apps.engine.encode.base import open_codec

Label = TypeVar("Label")

PNG = {"pred": "up", "compression_level": "1"}
"""A fifth of the default's time for a few per cent more bytes."""


class StillPool(Generic[Label]):
    """Encodes pictures of one size; never holds more than two a worker."""

    def __init__(self, codec: str, pixel_format: str, options: dict[str, str], *, workers: int) -> None:
        self._codec = codec
        self._format = pixel_format
        self._options = options
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(max(1, workers), codec)
        self._room = 2 * max(1, workers)
        self._waiting: deque[tuple[Label, Future[bytes]]] = deque()

    def add(self, label: Label, pixels: NDArray[np.uint8] | Deep) -> Iterator[tuple[Label, bytes]]:
        """Start on one picture; yields those that are done or must be, in order. Exhaust it."""
        self._waiting.append((label, self._pool.submit(self._encode, pixels)))
        while self._waiting and (len(self._waiting) >= self._room or self._waiting[0][1].done()):
            yield self._take()

    def finish(self) -> Iterator[tuple[Label, bytes]]:
        while self._waiting:
            yield self._take()
        self._pool.shutdown()

    def abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _take(self) -> tuple[Label, bytes]:
        label, future = self._waiting.popleft()
        return label, future.result()

    def _encode(self, pixels: NDArray[np.uint8] | Deep) -> bytes:
        whole: Any = np.ascontiguousarray(pixels)
        frame = VideoFrame.from_ndarray(whole, format=self._format)
        if not hasattr(self._own, "codec"):
            self._own.codec, self._own.count = self._make_codec(frame), 0
        frame.pts, self._own.count = self._own.count, self._own.count + 1
        frame.time_base = self._own.codec.time_base
        return b"".join(bytes(packet) for packet in self._own.codec.encode(frame))

    def _make_codec(self, frame: VideoFrame) -> VideoCodecContext:
        codec = new_codec(self._codec, "w")
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, self._format
        codec.time_base, codec.thread_count, codec.options = Fraction(1, 1000), 1, dict(self._options)
        open_codec(codec)
        return codec
