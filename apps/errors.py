"""Refusals: what a user asked that we will not do, in words they can act on.

Not for faults: a bug stays an ordinary exception and becomes `internal_error`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from apps.engine.errors import EngineError, InputRefused, is_full_disk

STATUS_BY_CODE = {
    "missing_api_key": 401,
    "invalid_api_key": 401,
    "insufficient_credits": 402,
    "forbidden_scope": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "idempotency_mismatch": 409,
    "idempotency_in_progress": 409,
    "source_expired": 409,
    "file_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "unsupported_media": 422,
    "unsupported_parameter": 422,
    "limit_exceeded": 422,
    "fetch_failed": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "model_not_installed": 503,
    "service_unavailable": 503,
}

TYPES = {401: "authentication_error", 402: "payment_error", 403: "permission_error", 429: "rate_limit_error"}


class AppError(Exception):
    """A refusal with a stable `code`; `param` names the field at fault.

    `status` overrides the table only where the contract gives one code two
    statuses (`invalid_request` is 400 for a body that cannot be parsed). `wait`
    is after how many seconds the same may be asked again.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        details: dict[str, Any] | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.status = status or STATUS_BY_CODE[code]
        self.details = details or {}
        self.wait = wait

    def envelope(self, request_id: str) -> dict[str, Any]:
        """The one JSON shape of every refusal and fault under /v1 and /api."""
        kind = "api_error" if self.status >= 500 else TYPES.get(self.status, "invalid_request_error")
        known = {
            "code": self.code,
            "message": self.message,
            "type": "idempotency_error" if self.code.startswith("idempotency_") else kind,
            "param": self.param,
            "request_id": request_id,
            "doc_url": f"{settings.SITE_URL}/docs#error-{self.code}",
        }
        return {"error": {**self.details, **known}}

    @classmethod
    def from_engine(cls, error: EngineError) -> AppError:
        """The one place where the engine's refusals become the house's."""
        # A file with too little left in it is, to an upload, a file that cannot be read; jobs tell it apart.
        code = "unsupported_media" if isinstance(error, InputRefused) else error.code
        code = code if code in STATUS_BY_CODE else "internal_error"
        return cls(code, str(error), param=error.param)


class Unavailable(AppError):
    """A part of the site is away or full: nothing is wrong with the request, and trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__("service_unavailable", message)


AWAY = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTDIR, errno.EACCES, errno.ENODEV, errno.ENXIO, errno.ENOTCONN)
"""What a disk says that is broken, not mounted, or mounted to be read only."""


def disk_trouble(error: BaseException) -> Unavailable | None:
    """The refusal that an OSError stands for when no room is left, or the disk is away; None for any other."""
    if is_full_disk(error):
        return Unavailable("The disk of this site is full, so the file was not kept. Try later.")
    if isinstance(error, OSError) and error.errno in AWAY:
        return Unavailable("The disk that keeps the files does not answer as it should. Try again in a moment.")
    return None


@contextmanager
def needs_disk() -> Iterator[None]:
    """Around reading or writing a file of a user's: a disk that is full or away is told as one."""
    try:
        yield
    except OSError as error:
        if refusal := disk_trouble(error):
            raise refusal from error
        raise
