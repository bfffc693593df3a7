"""No secret reaches a log: not on a whole journey at the most talkative level, nor out of a library's exception."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.credits.fakestripe.server import signature
from apps.ops.logs import Formatter, blotted
from apps.webhooks import signing
from tests.factories import make_job

PASSWORD = "correct horse battery"
SECRET_NAME = "my secret holiday.mp4"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger says, in the site's own format, before anything is blotted."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


def journey(alice: User, secrets: dict[str, str], settings: Any) -> None:
    """Sign in, keys, media, webhooks, payments and their refusals, by someone who gets a few things wrong."""
    page = Client(raise_request_exception=False)
    page.post(reverse("account_login"), {"login": alice.email, "password": "a wrong password"})
    page.post(reverse("account_reset_password"), {"email": alice.email})
    (link,) = re.findall(r"https?://[^/]+(/\S+)", mail.outbox[-1].body)
    secrets["reset token"] = link.rstrip("/").rpartition("/")[2]
    page.get(link, follow=True)
    page.post(link, {"password1": "x", "password2": "y"})
    page.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    secrets["session"] = page.cookies["sessionid"].value
    made = page.post(reverse("web:keys"), {"name": "laptop", "scopes": ["jobs:read"]}, follow=True)
    secrets["api key"] = made.context["secret"]
    secrets["signing secret"] = signing.of_account(alice).secret
    page.get(reverse("web:webhooks"))
    Client(enforce_csrf_checks=True).post(reverse("web:keys"), {"name": "x"})
    for header in ({"x-api-key": secrets["api key"]}, {"authorization": f"Bearer {secrets['api key']}"}):
        program = Client(headers=header, raise_request_exception=False)
        job = program.get("/v1/jobs").json()["data"][0]
        program.get(f"/v1/jobs?api_key={secrets['api key']}")
        program.post("/v1/uploads", {"file": SimpleUploadedFile(SECRET_NAME, b"no video")})
        program.post("/v1/jobs", {"video_url": "https://x.example/a?token=tok_hidden_1", "bad": 1}, "application/json")
    Client(headers={"x-api-key": secrets["api key"][:-1] + "!"}).get("/v1/jobs")
    address = job["output_url"].removeprefix(site.SITE_URL)
    secrets["media signature"] = re.findall(r"signature=([^&]+)", address)[0]
    b"".join(page.get(address).streaming_content)
    page.get(address.replace("/result", "/other"))
    body = b'{"id": "evt_1", "type": "ping", "data": {"object": {"id": "x", "object": "ping"}}}'
    secrets["stripe secret"] = settings.STRIPE_WEBHOOK_SECRETS[0]
    for key in (secrets["stripe secret"], "whsec_wrong"):
        sent = {"Stripe-Signature": signature(body, key)}
        page.post("/stripe/webhook", body, content_type="application/json", headers=sent)


def test_a_whole_journey_leaves_no_secret_in_the_logs(log: io.StringIO, alice: User, settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_of_the_site"]
    make_job(alice, status="completed")
    secrets = {
        "password": PASSWORD, "wrong password": "a wrong password", "file name": SECRET_NAME,
        "query of an address": "tok_hidden_1", "site secret": site.SECRET_KEY,
    }  # fmt: skip

    journey(alice, secrets, settings)

    said = log.getvalue()
    assert "refused POST" in said
    assert {name for name, secret in secrets.items() if secret in said} == set()


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("no such key cm_AbCdEfGhIjKlMnOpQrStUvWxYz012345", "IjKlMnOpQrStUvWxYz"),
        ("signed with whsec_c2VjcmV0c2VjcmV0", "c2VjcmV0"),
        ("Invalid API Key provided: sk_live_51Habc", "51Habc"),
        ("could not connect to postgres://clearmatte:hunter2@db/clearmatte", "hunter2"),
        ("redis://:hunter2@queue:6379/0 refused", "hunter2"),
        ("GET https://s3/b/k?X-Amz-Credential=AKIA1&X-Amz-Signature=abcdef failed", "abcdef"),
        ("GET https://s3/b/k?X-Amz-Credential=AKIA1&X-Amz-Signature=abcdef failed", "AKIA1"),
        ("headers {'Authorization': 'Bearer abcdefghijk'}", "abcdefghijk"),
        ("X-Api-Key: something-else", "something-else"),
        ("sent Cookie: __Host-sessionid=0123456789abcdef", "0123456789abcdef"),
        ("Not Found: /accounts/password/reset/key/1-c0ffee-0123/", "c0ffee"),
        ("Not Found: /accounts/confirm-email/MQ:1abc:xyz/", "1abc"),
        ("settings SECRET_KEY='abc' PASSWORD=hunter2", "hunter2"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_blotted_out(line: str, secret: str) -> None:
    assert secret not in blotted(line)
    assert "•••" in blotted(line)


def test_a_traceback_is_covered_too() -> None:
    try:
        raise ConnectionError("cannot reach redis://:hunter2@queue:6379/0")
    except ConnectionError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "lost", None, sys.exc_info())

    said = Formatter("%(message)s").format(record)

    assert "ConnectionError: cannot reach redis://:•••@queue:6379/0" in said


@pytest.mark.parametrize(
    "line",
    [
        "job=5b2f0f0e-7f5b-4b3e-9d62-2f8f3a7f3f0e attempt=2 status=completed",
        "refused POST '/v1/jobs' status=422 code=invalid_request param='video_url'",
        "webhook delivery=5b2f0f0e-7f5b-4b3e-9d62-2f8f3a7f3f0e attempt=1 status=200",
        "key=idempotency is not ours, key cm_AbCdEfG… is",
    ],
)
def test_an_ordinary_line_is_left_as_it_is(line: str) -> None:
    assert blotted(line) == line


def test_the_site_writes_its_logs_through_it() -> None:
    assert site.LOGGING["formatters"]["text"]["()"] == "apps.ops.logs.Formatter"
    assert site.LOGGING["root"]["handlers"] == ["console"]


def test_the_web_server_writes_no_list_of_requests() -> None:
    """It would hold the signed addresses of media, queries and all."""
    text = (Path(site.BASE_DIR) / "apps" / "ops" / "gunicorn_settings.py").read_text(encoding="utf-8")

    assert "accesslog" not in text
