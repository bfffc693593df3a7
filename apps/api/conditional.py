"""ETag and 304: a caller who has the newest answer already is not sent it again."""

from __future__ import annotations

import hashlib
import re
import time

from django.conf import settings
from django.http import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from rest_framework.response import Response


def answer(request: Request, response: Response) -> HttpResponseBase:
    """The answer with its ETag, or 304 when If-None-Match names it."""
    response.render()
    response["ETag"] = etag(response.content.decode())
    response["Cache-Control"] = "private, no-cache"
    if "If-None-Match" not in request.headers:
        return response
    unchanged: HttpResponseBase | None = get_conditional_response(
        request._request, etag=response["ETag"], response=response
    )
    return unchanged or response


def etag(text: str) -> str:
    """Signed addresses are fresh in each answer and still mean the same, so what signs them does not count.

    Answers that hold some become new twice in the life of an address, so that
    none which a 304 vouches for is about to expire.
    """
    text, signed = re.subn(rf'({re.escape(settings.SITE_URL)}/media/[^"?]*)\?[^"]*', r"\1", text)
    age = int(time.time() // (settings.MEDIA_URL_SECONDS / 2)) if signed else 0
    return f'W/"{hashlib.sha256(f"{age} {text}".encode()).hexdigest()[:32]}"'
