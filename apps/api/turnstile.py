"""Few requests of a process are worked on at once, however many threads it has.

The threads are for those who only wait: for a job to end, or for a large body
to arrive. Many at work at once would only stand in each other's way, most of
all at SQLite's one write lock, which the impatient lose.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError

LARGE_BODY_BYTES = 64 * 1024
"""More than this may take its time to arrive."""

_places = threading.BoundedSemaphore(settings.WEB_AT_ONCE)
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
        with _places:
            _mine.is_inside = True
            try:
                return self.get_response(request)
            finally:
                _mine.is_inside = False


@contextmanager
def outside() -> Iterator[None]:
    """While a request waits for something, another is let in."""
    if not getattr(_mine, "is_inside", False):
        yield
        return
    _places.release()
    try:
        yield
    finally:
        _places.acquire()
