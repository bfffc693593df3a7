"""Stripe's door into the site, and one purchase the whole way through it."""

from __future__ import annotations

import json
import threading
import time

import pytest
from django.test import Client

from apps.credits import buying
from apps.credits.fakestripe.server import Server, signature
from apps.credits.models import StripeEvent, Wallet
from apps.credits.services import open_wallet
from tests.conftest import make_user


@pytest.fixture
def client() -> Client:
    """Refuses posts without CSRF token, as the site does: Stripe has none."""
    return Client(enforce_csrf_checks=True)


def send(client, settings, body: bytes):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_test"]
    headers = {"Stripe-Signature": signature(body, "whsec_test")}
    return client.post("/stripe/webhook", body, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    "about", [{"data": {"object": {"id": "x", "object": "ping"}}}, {"related_object": {"id": "x"}}]
)
def test_a_signed_event_is_taken_without_a_csrf_token(db, client, settings, about):
    """The second is one of Stripe's thin events, which say only where to look."""
    answer = send(client, settings, json.dumps({"id": "evt_1", "type": "ping", **about}).encode())

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert StripeEvent.objects.get().type == "ping"


def test_an_unsigned_event_is_refused(db, client):
    answer = client.post("/stripe/webhook", b"{}", content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"{}", b"null", b"\xff"])
def test_what_is_signed_and_no_event_is_refused(db, client, settings, body):
    answer = send(client, settings, body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_the_door_takes_posts_only(db, client):
    assert client.get("/stripe/webhook").status_code == 405


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_purchase_the_whole_way(live_server, tmp_path, settings):
    """Checkout, hosted page, signed event over HTTP, credits: nothing is posted by hand."""
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_test"]
    fake = Server(0, state=tmp_path / "s.json", webhook=f"{live_server.url}/stripe/webhook", secret="whsec_test")
    settings.STRIPE_API_BASE = fake.address
    threading.Thread(target=fake.serve_forever, daemon=True).start()
    buyer = make_user("buyer@example.org")
    open_wallet(buyer, grant=False)
    purchase = buying.checkout(buyer, "starter", success_url=live_server.url, cancel_url=live_server.url)

    with fake.book.lock:
        fake.book.pay(purchase.session_id)
    deadline = time.monotonic() + 20
    while Wallet.objects.get(user=buyer).balance == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    fake.shutdown()
    fake.server_close()

    assert Wallet.objects.get(user=buyer).balance == 100_00
    assert StripeEvent.objects.get().type == "checkout.session.completed"
