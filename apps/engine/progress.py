"""Progress said about twice a second, whatever the work is waiting for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from apps.engine.report import Progress

INTERVAL_SECONDS = 0.5

PROCESSING_SHARE = 0.95
"""Of the whole; verification reads what processing made, much faster."""

MIN_FRACTION = 0.01
"""Of the whole, done since the first frame came out: below this an estimate would be a guess."""


class Meter:
    """Counts what is done, from any thread, and tells it from its own."""

    def __init__(self, tell: Callable[[Progress], None], frames_total: int) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._first: tuple[float, float] | None = None
        """When the first frame came out, and the fraction then: loading and looking ahead say nothing of the pace."""
        self._stage = "processing"
        self._total = frames_total
        self._done = 0
        self._fraction = 0.0
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def processed(self, frames: int, fraction: float) -> None:
        with self._lock:
            self._done, self._fraction = frames, PROCESSING_SHARE * min(1.0, fraction)
            if self._first is None:
                self._first = time.monotonic(), self._fraction

    def verified(self, frames: int, total: int) -> None:
        with self._lock:
            self._stage, self._done, self._total = "verifying", frames, total
            self._fraction = PROCESSING_SHARE + (1 - PROCESSING_SHARE) * min(1.0, frames / max(1, total))

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self._tell(self._now())

    def _now(self) -> Progress:
        with self._lock:
            eta = self._seconds_left()
            return Progress(
                stage=self._stage,
                frames_done=self._done,
                frames_total=max(self._total, self._done),
                percent=round(100 * self._fraction, 1),
                eta_seconds=None if eta is None else round(eta, 1),
            )

    def _seconds_left(self) -> float | None:
        if self._first is None:
            return None
        began, fraction = self._first
        done = self._fraction - fraction
        return (time.monotonic() - began) * (1 - self._fraction) / done if done > MIN_FRACTION else None
