"""Between the proxy and the views: whose request it is, and what browsers may do with the answer."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

View = Callable[[HttpRequest], HttpResponseBase]

NOT_USED = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
"""Powers of a browser that no page of ours asks for, so that nothing that slips into one can."""

SILENT_SECONDS = 30
"""How long a body that was announced may stand still. Whoever is cut off sends again, a part of an upload too."""


class SilentSenderMiddleware:
    """A sender that falls silent is left: it would keep one of the server's threads for as long as it likes.

    A phone that lost its network says no goodbye either, so without this its thread would be gone for good.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        connection = request.META.get("gunicorn.socket")
        if connection is None:
            return self.get_response(request)
        connection.settimeout(SILENT_SECONDS)
        try:
            return self.get_response(request)
        finally:
            # An answer is taken as slowly as its reader likes: a paused film is no fault.
            connection.settimeout(None)


class ClientAddressMiddleware:
    """Behind our own proxy, the address that it saw; limits by address would otherwise count all people as one.

    Only the last entry of `X-Forwarded-For` is the proxy's; those before it are whatever the caller wrote.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.TRUST_PROXY and (seen := request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()):
            request.META["REMOTE_ADDR"] = seen
        return self.get_response(request)


class BrowserHeadersMiddleware:
    """What Django's own middleware does not say, on every answer, refusals and static files included."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", ", ".join(f"{name}=()" for name in NOT_USED))
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if "Cookie" in response.headers.get("Vary", ""):  # made for one person
            response.headers.setdefault("Cache-Control", "private, no-store")
        if request.method == "POST" and request.path == reverse("account_logout"):
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response
