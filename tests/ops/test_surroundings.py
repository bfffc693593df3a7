"""The doctor's look at what the site leans on; every complaint says what to do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks.security.base import check_secret_key

from apps.credits.models import StripeEvent
from apps.ops import checks, surroundings
from apps.projects.models import media_storage
from tests.s3 import s3_store

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(settings: Any) -> Any:
    """Outside the sandbox, with everything that a real site has."""
    settings.SANDBOX, settings.STRIPE_IS_FAKE, settings.IS_HTTPS, settings.TRUST_PROXY = False, False, True, True
    settings.SITE_URL = "https://cutout.example.org"
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRETS = "rk_live_1", ["whsec_1"]
    return settings


@pytest.fixture
def dashboard(site: Any) -> Iterator[dict[str, int]]:
    """A Stripe that knows keys, by how it answers to each."""
    answers = {"rk_live_1": 200, "sk_test_1": 200}

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = answers.get(self.headers["Authorization"].removeprefix("Bearer "), 401)
            page = {"object": "list", "data": [], "has_more": False, "url": "/v1/checkout/sessions"}
            body = json.dumps(page if status == 200 else {"error": {"message": "No."}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Desk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
        yield answers
        server.shutdown()


def test_storage_is_tried_as_a_job_does_and_left_as_it_was() -> None:
    found = surroundings.storage()

    assert (found.level, found.text.endswith("a file was written, read and deleted")) == ("ok", True)
    assert [name for name in media_storage().listdir("")[1] if name.startswith("doctor")] == []


def test_a_store_that_takes_nothing_is_bad(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    with s3_store() as store:
        monkeypatch.setattr("apps.projects.s3.MANNERS", None)
        settings.S3_BUCKET = store.bucket
        assert surroundings.storage().level == "ok"
        assert store.files() == set()
        store.fails = lambda method, address: method == "PUT"

        found = surroundings.storage()

    assert (found.level, found.text) == (
        "bad", f"a file cannot be written in bucket {store.bucket} (Unavailable). Check the key's rights, and that the "
        "bucket is there (manage.py create_bucket).",
    )  # fmt: skip


@pytest.mark.parametrize(("off", "level"), [(0.0, "ok"), (4.0, "ok"), (-90.0, "bad"), (90.0, "bad")])
def test_a_clock_that_disagrees_with_the_queue_servers_is_bad(
    off: float, level: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL_GIVEN = "redis://queue"
    server = SimpleNamespace(time=lambda: (int(time.time() + off), 0))
    monkeypatch.setattr(surroundings.django_rq, "get_connection", lambda name: server)

    found = surroundings.clock()

    assert found.level == level
    assert ("s from the queue server's: run a time service" in found.text) == (level == "bad")


def test_a_secret_that_others_can_read_is_bad(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "secret_key").write_text("x" * 50)
    (tmp_path / "secret_key").chmod(0o644)

    assert surroundings.secrets().text.endswith(f"chmod 600 {tmp_path}/secret_key")
    (tmp_path / "secret_key").chmod(0o600)
    assert surroundings.secrets().level == "ok"


@pytest.mark.parametrize(("length", "level"), [(49, "bad"), (50, "ok")])
def test_a_secret_is_as_long_as_the_deployment_check_wants_it(settings: Any, length: int, level: str) -> None:
    settings.SECRET_KEY = ("0123456789" * 5)[:length]
    settings.SECRET_KEY_FALLBACKS = []

    warned = [warning.id for warning in check_secret_key(None)]

    assert (surroundings.secrets().level, warned == ["security.W009"]) == (level, level == "bad")


def test_tls_is_asked_for_and_its_certificate_looked_at(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    days = 90
    monkeypatch.setattr(surroundings, "certificate_days", lambda host, port: days)
    good = surroundings.tls()
    days = 3
    ending = surroundings.tls()
    site.TRUST_PROXY = False
    looping = surroundings.tls()
    site.IS_HTTPS = False
    plain = surroundings.tls()

    assert (good.level, good.text) == ("ok", "the certificate of cutout.example.org is good for 90 days")
    assert (ending.level, "ends in 3 days" in ending.text) == ("bad", True)
    assert (looping.level, looping.text.startswith("TRUST_PROXY=1 is missing")) == ("bad", True)
    assert (plain.level, "sign-in needs https" in plain.text) == ("bad", True)


def test_an_address_that_cannot_be_reached_from_here_is_a_note(site: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        site.SITE_URL = f"https://127.0.0.1:{taken.getsockname()[1]}"

        assert surroundings.tls().level == "note"


@pytest.fixture
def mail_server() -> Iterator[int]:
    """Greets, takes nothing more than goodbye."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as one:
            one.sendall(b"220 mail.example.org\r\n")
            while asked := one.recv(1000):
                one.sendall(b"221 bye\r\n" if asked.startswith(b"quit") else b"250 mail.example.org\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.close()


def test_mail_that_reaches_nobody_is_bad_on_a_real_site(site: Any) -> None:
    site.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert surroundings.mail().text == "mail reaches nobody (console): nobody can sign up. Set EMAIL_URL."
    site.SANDBOX = True
    assert surroundings.mail().level == "note"


def test_the_mail_server_is_greeted(site: Any, mail_server: int) -> None:
    site.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    site.EMAIL_HOST, site.EMAIL_PORT, site.EMAIL_HOST_USER = "127.0.0.1", mail_server, ""

    greeted = surroundings.mail()
    site.EMAIL_PORT = 1
    refused = surroundings.mail()

    assert (greeted.level, greeted.text.startswith(f"127.0.0.1:{mail_server} takes us")) == ("ok", True)
    assert (refused.level, refused.text.startswith("127.0.0.1:1 does not take us (Conn")) == ("bad", True)


@pytest.mark.parametrize(
    ("key", "secrets", "level", "text"),
    [
        ("rk_live_1", ["whsec_1"], "ok", "a live key that Stripe takes, and a webhook secret"),
        ("sk_test_1", ["whsec_1"], "note", "a test key that Stripe takes, and a webhook secret: no money moves"),
        ("sk_live_2", ["whsec_1"], "bad", "Stripe does not take STRIPE_SECRET_KEY: put in the one that its dashboard"),
        ("", [], "note", "no STRIPE_SECRET_KEY: credits cannot be bought, only granted"),
        ("pk_live_1", ["whsec_1"], "bad", "STRIPE_SECRET_KEY must begin with sk_ or rk_: a publishable key"),
        ("sk_live_1", [], "bad", "STRIPE_WEBHOOK_SECRETS needs the whsec_… of the webhook to https://cutout.example"),
        ("sk_live_1", ["we_1"], "bad", "STRIPE_WEBHOOK_SECRETS needs the whsec_…"),
    ],
)
def test_stripe_is_told_without_its_keys(
    site: Any, dashboard: dict[str, int], key: str, secrets: list[str], level: str, text: str
) -> None:
    site.STRIPE_SECRET_KEY, site.STRIPE_WEBHOOK_SECRETS = key, secrets

    found = surroundings.stripe()

    assert (found.level, found.text.startswith(text)) == (level, True), found.text
    assert not key or key not in found.text


def test_a_key_that_may_too_little_is_bad_and_a_stripe_that_is_away_a_note(
    site: Any, dashboard: dict[str, int]
) -> None:
    dashboard["rk_live_1"] = 403
    lame = surroundings.stripe()
    site.STRIPE_API_BASE = "http://127.0.0.1:1"
    away = surroundings.stripe()

    assert (lame.level, lame.text.startswith("STRIPE_SECRET_KEY may not read Checkout Sessions")) == ("bad", True)
    assert (away.level, away.text.startswith("Stripe could not be asked whether it takes the key")) == ("note", True)


def test_events_that_are_stuck_are_counted(site: Any, dashboard: dict[str, int]) -> None:
    StripeEvent.objects.create(id="evt_1", type="charge.refunded", payload={})

    assert surroundings.stripe().text.startswith("1 events could not be worked on")


def test_workers_from_elsewhere_beside_a_store_of_one_host_are_bad(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [SimpleNamespace(hostname="one"), SimpleNamespace(hostname="two")]
    monkeypatch.setattr(checks, "living_workers", lambda: rows)

    found = surroundings.several_hosts()
    del rows[1]
    alone = surroundings.several_hosts()

    assert (found.level, found.text.startswith("workers run on one, two, but ")) == ("bad", True)
    assert "media are files on this machine's disk" in found.text
    assert (alone.level, alone.text) == ("ok", "one")
