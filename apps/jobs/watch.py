"""What a worker minds while it works: a wish that it stops, the news that nobody needs the work, and the clock."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from apps.engine.report import Progress
from apps.jobs.models import Job

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

RELAYED_BYTES = 16_384
"""Of the engine's log at each look: a decoder that complains of every frame must not fill ours."""

KEPT_BYTES = 4000
"""Of the engine's log, its end, for whoever has to find out what went wrong."""

SLOWEST = 1_000_000
"""Bytes a second, below which moving a file counts as standing still once it had the time of a standstill as well."""


class Overtaken(Exception):
    """Canceled, or another worker has the job: leave without a trace."""


class Stopped(Exception):
    """The worker has to go."""


class Stalled(TimeoutError):
    """Nothing moved for too long; another machine, or this one later, may do better."""


class StopSign:
    """What may break off the main thread: SIGTERM, and the heartbeat's news that the work is for nothing.

    The engine's watch looks at the first every second. A file on its way is
    broken off by an exception out of a signal's handler.
    """

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self._breaks_off: tuple[type[Exception], ...] = ()
        self._why: Exception = Overtaken()
        self._listens = False

    def listen(self) -> None:
        """In a worker's own process; without it nothing is broken off from another thread."""
        signal.signal(signal.SIGUSR1, lambda *_: self._break(self._why))
        self._listens = True

    def put_up(self) -> None:
        """Called by the signal handler, so in the main thread, which is the one that moves files."""
        self._is_up.set()
        self._break(Stopped())

    def take_down(self) -> None:
        self._is_up.clear()

    def is_up_within(self, seconds: float) -> bool:
        """Wait so long for it at most."""
        return self._is_up.wait(seconds)

    def obey(self) -> None:
        if self._is_up.is_set():
            raise Stopped

    def call_away(self, why: Exception) -> None:
        """From another thread: have `why` raised in the main one, if it does what may be broken off for that."""
        if self._listens:
            self._why = why
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def breaking_off(self, *reasons: type[Exception]) -> Iterator[None]:
        """Only around what leaves nothing half done, or whose remains are cleared whatever happens."""
        self._breaks_off = reasons
        try:
            if Stopped in reasons:
                self.obey()
            yield
        finally:
            self._breaks_off = ()

    def _break(self, why: Exception) -> None:
        if isinstance(why, self._breaks_off):
            raise why


stop_sign = StopSign()


class Watch:
    """Raises TimeoutError once the work takes too long for its length, Stalled once it stands still for too long."""

    def __init__(self, frames: int) -> None:
        self._began = self._moved = time.monotonic()
        self._most = settings.JOB_TIMEOUT_SECONDS + settings.JOB_TIMEOUT_SECONDS_PER_FRAME * frames
        self._seen: tuple[str, int] | None = None

    def look(self, progress: Progress | None) -> None:
        now = time.monotonic()
        if progress is not None and (progress.stage, progress.frames_done) != self._seen:
            self._seen, self._moved = (progress.stage, progress.frames_done), now
        if now - self._began > self._most:
            raise TimeoutError(f"The work took longer than {self._most / 3600:.1f} hours")
        if now - self._moved > settings.JOB_STALL_SECONDS:
            raise Stalled(f"The work stood still for {settings.JOB_STALL_SECONDS / 60:g} minutes")


def seconds_to_move(size: int) -> float:
    """After which a file of so many bytes is not on its way any more."""
    return float(settings.JOB_STALL_SECONDS + size / SLOWEST)


class Relay:
    """The engine's own lines, said in this log too, with the request and the job they belong to."""

    def __init__(self, job: Job, path: Path) -> None:
        self._job, self._path, self._read = job, path, 0

    def pass_on(self) -> bool:
        """Whether there was news."""
        news = b""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            news = file.read(RELAYED_BYTES)
            whole = news.rfind(b"\n") + 1 or len(news)
            self._read += whole
            for line in news[:whole].decode("utf-8", "replace").splitlines():
                log.info("job=%s engine: %s", self._job.pk, line)
        return bool(news)


def tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_BYTES))
            return file.read().decode("utf-8", "replace").replace("\x00", "")
    except FileNotFoundError:
        return ""


def patiently(call: Callable[[], Answer]) -> Answer:
    """Ask a database that has gone away again for as long as a lease lasts, over new connections.

    Only for what may be done twice: the answer to a COMMIT may have got lost
    after it was done.
    """
    ends_at = time.monotonic() + settings.LEASE_SECONDS
    while True:
        try:
            return call()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > ends_at:
                raise
            log.warning("the database does not answer: %s", error)
            connection.close()
            time.sleep(0.5)
