"""One id for each request: on the answer, in every log line, and on the job it started."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase

HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What we take from a caller: it goes into logs, a database column and a header."""

current: ContextVar[str] = ContextVar("request_id", default="-")


def of(request: HttpRequest) -> str:
    """The id of this request, as `RequestIdMiddleware` set it."""
    request_id: str = getattr(request, "request_id", "")
    return request_id


@contextmanager
def bound(request_id: str) -> Iterator[None]:
    """What is logged inside carries the id of the request that the work came from, long after its answer."""
    token = current.set(request_id or "-")
    try:
        yield
    finally:
        current.reset(token)


class RequestIdMiddleware:
    """Outermost, so that redirects, static files and crashes carry an id too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        request_id = given if SANE.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        request.request_id = request_id  # type: ignore[attr-defined]
        with bound(request_id):
            response = self.get_response(request)
        response[HEADER] = request_id
        return response


class RequestIdFilter(logging.Filter):
    """Puts the running request's id on each record, "-" outside of one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs refused requests after the middleware has returned, with the request on the record.
        request = getattr(record, "request", None)
        record.request_id = getattr(request, "request_id", None) or current.get()
        return True
