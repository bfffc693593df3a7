"""Every refusal and fault under /v1 and /api in one JSON shape, whoever raised it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, RawPostDataException
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.api import request_id
from apps.engine.errors import EngineError
from apps.errors import AppError, disk_trouble

logger = logging.getLogger(__name__)

PREFIXES = ("/v1", "/api")

MEANINGS = {
    "invalid_request": "The body cannot be read (400), or a field is unknown or wrong (422, named in param).",
    "missing_api_key": "Send your key in X-Api-Key or in Authorization: Bearer.",
    "invalid_api_key": "The key is unknown, disabled or expired.",
    "insufficient_credits": "The job costs more than is available; needed and available say how much.",
    "forbidden_scope": "The key may not do this; make one with the scope that the message names.",
    "not_found": "No such address, or nothing of yours with that id.",
    "method_not_allowed": "The address exists, but not for this method; see the Allow header.",
    "conflict": "The thing is not in a state in which this can be done.",
    "idempotency_mismatch": "The Idempotency-Key was used for another request in the last 24 hours.",
    "idempotency_in_progress": "The first request with this Idempotency-Key is still being answered; ask again.",
    "source_expired": "The source file is gone; upload it again.",
    "file_too_large": "The file or the body is over the limit.",
    "unsupported_media_type": "Send the Content-Type that this address takes.",
    "unsupported_media": "The contents of the file cannot be read as what it should be.",
    "unsupported_parameter": "The parameter is known, but not offered by this installation.",
    "limit_exceeded": "The file or the request is over a limit; the message says which and how to get below it.",
    "fetch_failed": "The URL could not be fetched.",
    "rate_limited": "Too many requests with this key, or too many previews in a day; wait Retry-After seconds.",
    "internal_error": "Our fault. It is logged under request_id.",
    "model_not_installed": "The operator has not installed this model, or it is still being installed.",
    "service_unavailable": "A part of the service is not reachable; try again.",
}
"""Code → what it means to a caller; shown in the API's documentation."""

CODE_BY_STATUS = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "file_too_large",
    503: "service_unavailable",
}
MESSAGE_BY_CODE = {
    "invalid_request": "The request could not be read.",
    "not_found": "There is nothing at this address.",
    "method_not_allowed": "This address does not take that method.",
    "file_too_large": "The request body is too large.",
    "internal_error": "Something went wrong on our side. It is logged under this request id.",
    "service_unavailable": "The service is busy or a part of it is not reachable. Try again in a moment.",
}

DRAIN_BYTES = 2_000_000_000
DRAIN_SECONDS = 15
"""How long a refused sender may keep one of the server's threads."""

UNREACHABLE = (OperationalError, RedisConnectionError, RedisTimeoutError)
"""The database or the cache did not answer: nothing is wrong with the request, and trying again may help."""


def handle(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler; None for a fault, which Django then logs and `EnvelopeMiddleware` words."""
    if isinstance(exc, exceptions.UnsupportedMediaType):
        taken = " or ".join(parser.media_type for parser in context["view"].get_parsers())
        exc = exceptions.UnsupportedMediaType("", f"{exc.detail} This address takes {taken}.")
    error = as_refusal(exc)
    if error is None:
        return None
    set_rollback()
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = f"{max(1, round(wait))}"
    response = Response(error.envelope(request_id.of(context["request"])), status=error.status, headers=headers)
    note(error, context["request"], response)
    return response


def note(error: AppError, request: HttpRequest, response: HttpResponse) -> None:
    """One line for one refusal."""
    level = logging.ERROR if error.status >= 500 else logging.INFO
    cause = error.__cause__ if level == logging.ERROR else None
    told = (request.method, request.path, error.status, error.code, error.param)
    # %r, because a caller chooses the path and the names of unknown fields, line breaks included.
    logger.log(level, "refused %s %r status=%s code=%s param=%r", *told, exc_info=cause)
    # Django's own mark; without it Django logs every refusal again, as a warning.
    response._has_been_logged = True  # type: ignore[attr-defined]


def as_refusal(exc: Exception) -> AppError | None:
    """The refusal that an exception stands for; None when it is a fault of ours."""
    if isinstance(exc, AppError):
        return exc
    if isinstance(exc, EngineError):
        error = AppError.from_engine(exc)
        return None if error.status == 500 else error
    if trouble := disk_trouble(exc):
        trouble.__cause__ = exc
        return trouble
    if isinstance(exc, UNREACHABLE):
        busy = AppError("service_unavailable", MESSAGE_BY_CODE["service_unavailable"])
        busy.__cause__ = exc
        return busy
    if isinstance(exc, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return AppError("file_too_large", f"The body is larger than {limit} bytes.")
    if isinstance(exc, UnreadablePostError):
        return AppError("invalid_request", "The connection broke before the body had arrived.", status=400)
    if isinstance(exc, SuspiciousOperation):
        return AppError("invalid_request", MESSAGE_BY_CODE["invalid_request"], status=400)
    if isinstance(exc, Http404):
        return AppError("not_found", MESSAGE_BY_CODE["not_found"])
    if isinstance(exc, PermissionDenied):
        return AppError("forbidden_scope", "This key may not do that.")
    return from_drf(exc) if isinstance(exc, exceptions.APIException) else None


def from_drf(exc: exceptions.APIException) -> AppError | None:
    match exc:
        case exceptions.ValidationError():
            param, message = first_problem(exc.detail)
            return AppError("invalid_request", message, param=param)
        case exceptions.ParseError():
            return AppError("invalid_request", str(exc.detail), status=400)
        case exceptions.NotAuthenticated():
            return AppError("missing_api_key", MEANINGS["missing_api_key"])
        case exceptions.AuthenticationFailed():
            return AppError("invalid_api_key", MEANINGS["invalid_api_key"])
        case exceptions.PermissionDenied():
            return AppError("forbidden_scope", str(exc.detail))
        case exceptions.NotFound():
            return AppError("not_found", MESSAGE_BY_CODE["not_found"])
        case exceptions.MethodNotAllowed():
            return AppError("method_not_allowed", str(exc.detail))
        case exceptions.UnsupportedMediaType():
            return AppError("unsupported_media_type", str(exc.detail))
        case exceptions.Throttled():
            wait = max(1, round(getattr(exc, "wait", None) or 1))
            return AppError("rate_limited", f"Too many requests with this key. Try again in {wait} s.")
    return None if exc.status_code >= 500 else AppError("invalid_request", str(exc.detail), status=exc.status_code)


def first_problem(detail: Any, path: str = "") -> tuple[str | None, str]:
    """The first field at fault, dotted, and what is wrong with it; programs read one problem at a time."""
    if isinstance(detail, Mapping):
        name, inner = next(iter(detail.items()))
        if name == "non_field_errors":
            return first_problem(inner, path)
        return first_problem(inner, f"{path}.{name}" if path else str(name))
    if isinstance(detail, list):
        return first_problem(next(item for item in detail if item), path)
    return path or None, f"{path}: {detail}" if path else str(detail)


def is_api(request: HttpRequest) -> bool:
    return any(request.path_info == prefix or request.path_info.startswith(f"{prefix}/") for prefix in PREFIXES)


@csrf_exempt
def unknown_address(request: HttpRequest, rest: str = "") -> JsonResponse:
    """The last route under each prefix, so that no HTML page is rendered only to be thrown away."""
    return refuse(AppError("not_found", MESSAGE_BY_CODE["not_found"]), request)


def refuse(error: AppError, request: HttpRequest) -> JsonResponse:
    """A refusal given outside of any view."""
    response = JsonResponse(error.envelope(request_id.of(request)), status=error.status)
    note(error, request, response)
    return response


class EnvelopeMiddleware:
    """Words what never reached a view or fell out of one: bad hosts, faults, framework refusals."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request):
            return self.get_response(request)
        try:
            # Before Django looks, which would answer with a page.
            request.get_host()
        except DisallowedHost:
            message = "This site does not answer under that Host."
            return refuse(AppError("invalid_request", message, status=400), request)
        response = self.get_response(request)
        if response.status_code < 400:
            return response
        drain(request)
        if is_json(response):
            return response
        code = CODE_BY_STATUS.get(response.status_code)
        if code is None:
            code = "internal_error" if response.status_code >= 500 else "invalid_request"
        error = AppError(code, MESSAGE_BY_CODE[code], status=response.status_code)
        worded = JsonResponse(error.envelope(request_id.of(request)), status=error.status)
        for header in ("Allow", "Retry-After"):
            if header in response.headers:
                worded[header] = response.headers[header]
        # Django logged the fault with its traceback; once is enough.
        worded._has_been_logged = getattr(response, "_has_been_logged", False)  # type: ignore[attr-defined]
        return worded


def drain(request: HttpRequest) -> None:
    """Read away what is left of a refused body.

    A server that closes a connection with unread bytes on it resets it, and a
    client still sending then loses the answer that says why.
    """
    enough, until = DRAIN_BYTES, time.monotonic() + DRAIN_SECONDS
    with suppress(OSError, RawPostDataException):
        while enough > 0 and time.monotonic() < until and (chunk := request.read(65_536)):
            enough -= len(chunk)


def is_json(response: HttpResponseBase) -> bool:
    return isinstance(response, HttpResponse) and response.headers.get("Content-Type", "").startswith(
        "application/json"
    )
