"""The web server's worker: gunicorn's own, but for how it answers what cannot be read as HTTP.

Loaded before Django's apps are.
"""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http.errors import (
    ForbiddenProxyRequest,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from apps.errors import AppError

STATUSES: tuple[tuple[type[ParseException], int], ...] = (
    (LimitRequestLine, 414),
    (LimitRequestHeaders, 431),
    (UnsupportedTransferCoding, 501),
    (ForbiddenProxyRequest, 403),
)
"""Of what is not simply a 400."""


class Worker(ThreadWorker):
    """No request came to be, so there is no address to choose a page or JSON by; only programs send such things."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if isinstance(exc, ParseException):
            status = next((status for kind, status in STATUSES if isinstance(exc, kind)), 400)
            error = AppError("invalid_request", f"This is not an HTTP request that can be read: {exc}.", status=status)
        else:
            self.log.exception("a request ended in a fault that nothing else caught")
            error = AppError("internal_error", "Something went wrong on our side. Try again in a moment.")
        try:
            util.write_nonblock(client, _answer(error))
        except OSError:
            self.log.debug("a request that could not be read was not waited for")


def _answer(error: AppError) -> bytes:
    request_id = f"req_{uuid.uuid4().hex}"
    body = json.dumps(error.envelope(request_id)).encode()
    lines = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {request_id}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
