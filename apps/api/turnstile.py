"""Few requests of a process are worked on at once, however many threads it has.

The threads are for those who only wait: for a job to end, or for a large body
to arrive. Many at work at once would only stand in each other's way, most of
all at SQLite's one write lock, which the impatient lose.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError

LARGE_BODY_BYTES = 64 * 1024
"""More than this may take its time to arrive."""

READS_AHEAD = 4
"""Of a write that waits: reads are short, and somebody looks at a page; but writes must come to pass as well."""
READS = ("GET", "HEAD")


class Turnstile:
    """So many places; whoever leaves hands theirs to the next in line, reads before writes."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free, self._went_ahead = places, 0
        self._reads: deque[threading.Event] = deque()
        self._writes: deque[threading.Event] = deque()

    def enter(self, *, reads: bool) -> None:
        """Take a place, or wait for one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            (self._reads if reads else self._writes).append(turn)
        turn.wait()

    def leave(self) -> None:
        with self._lock:
            if line := self._next():
                line.popleft().set()
            else:
                self._free += 1

    @property
    def free(self) -> int:
        return self._free

    def _next(self) -> deque[threading.Event]:
        if self._reads and (not self._writes or self._went_ahead < READS_AHEAD):
            self._went_ahead += bool(self._writes)
            return self._reads
        self._went_ahead = 0
        return self._writes


_turnstile = Turnstile(settings.WEB_AT_ONCE)
_mine = threading.local()


class TurnstileMiddleware:
    """Streamed answers have left by the time they are sent, so a download keeps nobody out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # What Django would refuse to read at once is for the parsers, which read it bit by bit.
        at_once = min(LARGE_BODY_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        if int(request.META.get("CONTENT_LENGTH") or 0) > at_once:
            return self.get_response(request)
        try:
            # Before a place is taken: whoever announces a body and sends none would hold it from everybody.
            _ = request.body
        except UnreadablePostError:
            return HttpResponse("The connection broke before the request had arrived.", status=400)
        reads = request.method in READS
        _turnstile.enter(reads=reads)
        before, _mine.reads = getattr(_mine, "reads", None), reads
        try:
            return self.get_response(request)
        finally:
            _mine.reads = before
            _turnstile.leave()


@contextmanager
def outside() -> Iterator[None]:
    """While a request waits for something, another is let in."""
    reads = getattr(_mine, "reads", None)
    if reads is None:
        yield
        return
    _turnstile.leave()
    try:
        yield
    finally:
        _turnstile.enter(reads=reads)
