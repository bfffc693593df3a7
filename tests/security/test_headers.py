"""What every answer says to browsers: pages, API, media, refusals, downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.accounts.models import User
from apps.ops.wire import BrowserHeadersMiddleware, ClientAddressMiddleware
from apps.projects import media
from apps.projects.models import media_storage
from tests.security.routes import routes

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PATHS = [route.path() for route in routes() if not route.parameters]


def said(answer: Any, names: Any = EVERYWHERE) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in names}


@pytest.mark.parametrize("path", [*PATHS, "/no/such/page", "/v1/none", "/media/x?signature=no"])
def test_every_answer_says_what_browsers_may_do_with_it(
    path: str, alice: User, at: Callable[[User], Client], settings: Any, tmp_path: Any
) -> None:
    settings.EMAIL_FILE_PATH = tmp_path
    answer = at(alice).get(path)

    assert said(answer) == EVERYWHERE
    assert "camera=()" in answer.headers["Permissions-Policy"]
    policy = answer.headers["Content-Security-Policy"]
    assert all(rule in policy for rule in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"))


@pytest.mark.parametrize("name", ["new", "jobs", "projects", "credits", "keys", "webhooks"])
def test_no_browser_keeps_a_page_that_was_made_for_one_person(
    name: str, alice: User, at: Callable[[User], Client]
) -> None:
    answer = at(alice).get(reverse(f"web:{name}"))

    assert {"private", "no-store"} <= {word.strip() for word in answer.headers["Cache-Control"].split(",")}


def test_signing_out_empties_what_the_browser_kept(alice: User, at: Callable[[User], Client]) -> None:
    answer = at(alice).post(reverse("account_logout"))

    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'


def test_static_files_say_it_too(client: Client, settings: Any, tmp_path: Any) -> None:
    """They are answered by a middleware, so the order of those decides."""
    order = settings.MIDDLEWARE

    assert order.index("apps.ops.wire.BrowserHeadersMiddleware") < order.index(
        "whitenoise.middleware.WhiteNoiseMiddleware"
    )
    assert order.index("django.middleware.security.SecurityMiddleware") < order.index(
        "whitenoise.middleware.WhiteNoiseMiddleware"
    )


def test_media_are_no_documents_and_whoever_has_the_address_may_show_them(client: Client) -> None:
    name = media_storage().save("assets/x/source", ContentFile(b"<script>alert(1)</script>"))
    answer = client.get(media.url(name, filename="a.html", content_type="text/html"))
    b"".join(answer.streaming_content)
    media_storage().delete(name)

    assert said(answer) == {**EVERYWHERE, "Cross-Origin-Resource-Policy": "cross-origin"}
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"].startswith("private")


def test_a_view_may_decide_otherwise_for_its_own_answer(rf: RequestFactory) -> None:
    own = HttpResponse(headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    answer = BrowserHeadersMiddleware(lambda request: own)(rf.get("/"))

    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_the_api_answers_no_other_origin(client: Client, db: None) -> None:
    """Keys belong on servers: no page of another site can read an answer, whatever it sends."""
    answer = client.options(
        "/v1/jobs", headers={"origin": "https://evil.example", "access-control-request-method": "GET"}
    )

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("trusts", "forwarded", "address"),
    [
        (True, "203.0.113.9", "203.0.113.9"),
        (True, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (True, "", "127.0.0.1"),
        (False, "203.0.113.9", "127.0.0.1"),
    ],
)
def test_an_address_is_believed_from_our_own_proxy_only(
    trusts: bool, forwarded: str, address: str, rf: RequestFactory, settings: Any
) -> None:
    settings.TRUST_PROXY = trusts
    request = rf.get("/", headers={"x-forwarded-for": forwarded} if forwarded else {})

    ClientAddressMiddleware(lambda request: HttpResponse())(request)

    assert request.META["REMOTE_ADDR"] == address
