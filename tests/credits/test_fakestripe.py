"""The sandbox's Stripe behaves as we rely on the real one to behave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import stripe
from django.conf import settings

from apps.credits.fakestripe.server import Server

KEY = {"Authorization": "Bearer sk_test_x"}
SESSION = {
    "mode": "payment",
    "success_url": "http://testserver/",
    "line_items[0][price_data][unit_amount]": "900",
    "line_items[0][price_data][currency]": "usd",
    "line_items[0][price_data][product_data][name]": "Starter",
    "line_items[0][quantity]": "1",
}


def test_calls_without_a_key_are_refused(fakestripe):
    answer = requests.post(f"{fakestripe.server.address}/v1/checkout/sessions", data=SESSION, timeout=10)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


def test_the_same_idempotency_key_makes_one_session(fakestripe):
    url = f"{fakestripe.server.address}/v1/checkout/sessions"
    headers = {**KEY, "Idempotency-Key": "one"}

    first = requests.post(url, data=SESSION, headers=headers, timeout=10)
    second = requests.post(url, data=SESSION, headers=headers, timeout=10)
    other = requests.post(url, data={**SESSION, "client_reference_id": "x"}, headers=headers, timeout=10)

    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    assert len(fakestripe.book.tables["sessions"]) == 1


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/v1/checkout/sessions", {"mode": "payment"}, 400),
        ("/v1/checkout/sessions", {**SESSION, "customer": "cus_none"}, 400),
        ("/v1/billing_portal/sessions", {"customer": "cus_none"}, 400),
        ("/v1/refunds", {"charge": "ch_none"}, 404),
        ("/v1/nothing", {}, 404),
    ],
)
def test_mistakes_are_answered_as_stripe_answers_them(fakestripe, path, fields, status):
    answer = fakestripe.act(path, **fields)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_session_is_paid_once_and_refunded_at_most_whole(fakestripe):
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()
    fakestripe.click(session["id"], "pay")
    (charge,) = fakestripe.book.tables["charges"]

    assert fakestripe.click(session["id"], "pay").status_code == 400
    assert fakestripe.act("/v1/refunds", charge=charge, amount=901).status_code == 400
    assert fakestripe.act("/v1/refunds", charge=charge).json()["amount"] == 900
    assert fakestripe.act("/v1/refunds", charge=charge, amount=1).status_code == 400


def test_a_restart_forgets_nothing(tmp_path):
    state = tmp_path / "state.json"
    before = Server(0, state=state, webhook="http://127.0.0.1:9/", secret="whsec")
    session = before.book.create_session(
        {"mode": "payment", "success_url": "x", "line_items": {"0": {"price_data": {
            "unit_amount": "1", "currency": "usd", "product_data": {"name": "n"}}}}},
        address=before.address,
    )  # fmt: skip
    before.book.pay(session["id"])
    before.server_close()

    after = Server(0, state=state, webhook="http://127.0.0.1:9/", secret="whsec")
    after.server_close()

    assert after.book.find(session["id"], "cs")["payment_status"] == "paid"
    assert after.book.undelivered == [after.book.events[0]["id"]]


def test_events_are_signed_and_sent_until_taken(tmp_path):
    heard: list[tuple[bytes, str]] = []

    class Site(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((body, self.headers["Stripe-Signature"]))
            self.send_response(500 if len(heard) == 1 else 200)
            self.end_headers()

        def log_message(self, *args) -> None:
            """Silent."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    server = Server(0, state=tmp_path / "s.json", webhook=f"http://127.0.0.1:{site.server_port}/", secret="whsec")

    server.book.emit("charge.refunded", {"id": "ch_1", "object": "charge"})
    deadline = time.monotonic() + 10
    while server.book.undelivered and time.monotonic() < deadline:
        time.sleep(0.02)
    server.server_close()
    site.shutdown()
    site.server_close()

    assert [json.loads(body)["type"] for body, _ in heard] == ["charge.refunded"] * 2
    for body, header in heard:
        assert stripe.WebhookSignature.verify_header(body, header, "whsec", 300)


@pytest.mark.parametrize("extra", [{"SANDBOX": "0"}, {"STRIPE_SECRET_KEY": "sk_test_x"}])
def test_it_does_not_start_outside_the_sandbox(tmp_path, extra):
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "SANDBOX": "1", **extra}

    done = subprocess.run(
        [sys.executable, "-m", "apps.credits.fakestripe", "--port", "0"],
        env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "only runs with SANDBOX=1" in done.stderr


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"SANDBOX": "0", "STRIPE_API_BASE": "http://127.0.0.1:8001"}, "STRIPE_API_BASE"),
        ({"SANDBOX": "1", "STRIPE_SECRET_KEY": "sk_live_x"}, "must not move real money"),
    ],
)
def test_the_site_does_not_start_with_pretended_money_for_real_or_real_money_for_play(tmp_path, extra, said):
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **extra}

    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert said in done.stderr


def seen(fakestripe, path: str) -> str:
    return requests.get(f"{fakestripe.server.address}{path}", timeout=10).text


def test_every_page_says_that_it_is_a_sandbox(fakestripe):
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()["id"]
    fakestripe.click(session, "pay")
    (charge,) = fakestripe.book.tables["charges"]

    for path in ("/", f"/pay/{session}", f"/receipt/{charge}"):
        assert "This is not Stripe, and no money moves." in seen(fakestripe, path)


def test_a_declined_card_can_be_tried_again(fakestripe):
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()["id"]

    fakestripe.click(session, "decline")
    fakestripe.click(session, "decline")
    fakestripe.click(session, "pay")

    assert len(fakestripe.book.tables["payment_intents"]) == 1
    assert [event["type"] for event in fakestripe.events()] == [
        "payment_intent.payment_failed",
        "payment_intent.payment_failed",
        "checkout.session.completed",
    ]


def test_everything_can_be_done_by_its_buttons(fakestripe):
    """Pay later and let it arrive, refund a part, dispute the rest, decide: what the page offers is what it takes."""
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()["id"]

    for offered, action, fields in [
        ("Pay later", "pay_later", {}),
        ("Let the money arrive", "arrive", {}),
        ("Refund", "refund", {"amount": "2.50"}),
        ("Dispute the payment", "dispute", {}),
        ("Decide the dispute", "lost", {}),
    ]:
        assert offered in seen(fakestripe, f"/pay/{session}")
        assert fakestripe.act(f"/pay/{session}", action=action, **fields).status_code == 303

    page = seen(fakestripe, f"/pay/{session}")
    assert "2.50 USD refunded" in page
    assert "lost" in page
    assert len(fakestripe.book.tables["refunds"]) == 1


@pytest.mark.parametrize("amount", ["", "much", "NaN", "-1", "1e9", "9.01"])
def test_a_refund_of_nonsense_is_refused(fakestripe, amount):
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()["id"]
    fakestripe.click(session, "pay")

    answer = fakestripe.act(f"/pay/{session}", action="refund", amount=amount)

    assert (answer.status_code, "That cannot be done" in answer.text) == (400, True)
    assert fakestripe.book.tables["refunds"] == {}


@pytest.mark.parametrize("action", ["pay", "decline", "pay_later", "expire"])
def test_what_is_over_is_over(fakestripe, action):
    session = fakestripe.act("/v1/checkout/sessions", **SESSION).json()["id"]
    fakestripe.click(session, "expire")

    assert fakestripe.click(session, action).status_code == 400
    assert "expired" in seen(fakestripe, f"/pay/{session}")


@pytest.mark.parametrize(("currency", "amount", "shown"), [("jpy", 900, "900.00 JPY"), ("kwd", 9500, "9.50 KWD")])
def test_the_page_counts_each_currency_as_stripe_does(fakestripe, currency, amount, shown):
    price = {"line_items[0][price_data][currency]": currency, "line_items[0][price_data][unit_amount]": amount}
    session = fakestripe.act("/v1/checkout/sessions", **{**SESSION, **price}).json()
    fakestripe.click(session["id"], "pay")
    page = f"{fakestripe.server.address}/pay/{session['id']}"

    assert f'<p class="price">{shown}</p>' in requests.get(page, timeout=10).text
    requests.post(page, data={"action": "refund", "amount": shown.split()[0]}, timeout=10)
    assert f"{shown} refunded" in requests.get(page, timeout=10).text
