"""The fake Stripe's HTTP: the API calls we make, the hosted payment page, and signed events to the site."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from apps.credits.fakestripe import pages
from apps.credits.fakestripe.book import Book, Object, Refused
from apps.credits.money import to_minor

LOOPBACK = "127.0.0.1"
MAX_BODY = 1_000_000
DELIVERY_ATTEMPTS = 12
"""With a doubling wait of 0.5 to 60 s: about six minutes of a site that does not answer."""


def nested(pairs: list[tuple[str, str]]) -> Object:
    """Stripe's form encoding as a tree.

    >>> nested([("a[b]", "1"), ("list[0][c]", "2")])
    {'a': {'b': '1'}, 'list': {'0': {'c': '2'}}}
    """
    tree: Object = {}
    for name, value in pairs:
        *branches, leaf = re.findall(r"[^\[\]]+", name)
        place = tree
        for branch in branches:
            place = place.setdefault(branch, {})
        place[leaf] = value
    return tree


def signature(body: bytes, secret: str) -> str:
    """The `Stripe-Signature` header of this moment."""
    moment = int(time.time())
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def minor(amount: str, currency: str) -> int:
    """What was typed, in minor units; 0, which nothing can be refunded of, for what is no number."""
    try:
        return to_minor(Decimal(amount), currency)
    except (InvalidOperation, OverflowError, ValueError):
        return 0


class Server(ThreadingHTTPServer):
    """Listens on loopback only: whoever reaches it can hand out credits."""

    daemon_threads = True

    def __init__(self, port: int, *, state: Path, webhook: str, secret: str) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.address = f"http://{LOOPBACK}:{self.server_port}"
        self.webhook = webhook
        self.secret = secret
        self.has_mail = threading.Event()
        self.is_closing = False
        self.book = Book(state, on_event=self.has_mail.set)
        self.has_mail.set()  # what an earlier run could not deliver
        self.postman = threading.Thread(target=self.deliver, daemon=True)
        self.postman.start()

    def server_close(self) -> None:
        self.is_closing = True
        self.has_mail.set()
        self.postman.join(timeout=15)
        super().server_close()

    def deliver(self) -> None:
        attempts: dict[str, int] = {}
        while not self.is_closing:
            self.has_mail.clear()
            with self.book.lock:
                waiting = [event for event in self.book.events if event["id"] in self.book.undelivered]
            for event in waiting:
                attempts[event["id"]] = attempts.get(event["id"], 0) + 1
                if self.post(event) or attempts[event["id"]] >= DELIVERY_ATTEMPTS:
                    with self.book.lock:
                        self.book.undelivered.remove(event["id"])
                        self.book.save()
            left = [attempts[event["id"]] for event in waiting if event["id"] in self.book.undelivered]
            self.has_mail.wait(min(60.0, 0.25 * 2 ** min(left)) if left else None)

    def post(self, event: Object) -> bool:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body, self.secret)}
        request = urllib.request.Request(self.webhook, data=body, headers=headers)
        # No proxy from the environment: it could not reach this machine's loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10):
                return True
        except OSError:
            return False


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(self.GET)

    def do_POST(self) -> None:
        self.answer(self.POST)

    def log_message(self, *_: Any) -> None:
        """Silent: the site's own log tells what came of each call."""

    def answer(self, routes: dict[str, Callable[..., None]]) -> None:
        parts = urlsplit(self.path)
        self.query = nested(parse_qsl(parts.query))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(min(length, MAX_BODY))
        self.fields = nested(parse_qsl(self.body.decode()))
        try:
            if parts.path.startswith("/v1/") and not self.headers.get("Authorization", "").startswith("Bearer sk_"):
                raise Refused("You did not provide an API key.", status=401, kind="authentication_error")
            for pattern, handle in routes.items():
                if match := re.fullmatch(pattern, parts.path):
                    with self.server.book.lock:
                        handle(self, *match.groups())
                    return
            raise Refused(f"Unrecognized request URL: {parts.path}", status=404)
        except Refused as refusal:
            if parts.path.startswith("/pay/"):
                self.send_page(pages.refused(str(refusal)), status=refusal.status)
            else:
                self.send_json(refusal.status, refusal.body)

    def send_page(self, page: bytes, *, status: int = 200) -> None:
        self.send(status, page, "text/html; charset=utf-8")

    def send_json(self, status: int, body: Object, **headers: str) -> None:
        self.send(status, json.dumps(body).encode(), "application/json", **headers)

    def send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def once(self, act: Callable[[], Object]) -> None:
        """The same Idempotency-Key gets the first answer again; with other fields it is refused."""
        replies = self.server.book.replies
        key = self.headers.get("Idempotency-Key")
        fingerprint = hashlib.sha256(self.path.encode() + b"\n" + self.body).hexdigest()
        if key and key in replies:
            if replies[key]["fingerprint"] != fingerprint:
                message = "Keys for idempotent requests can only be used with the same parameters."
                raise Refused(message, code="idempotency_key_in_use", kind="idempotency_error")
            self.send_json(200, replies[key]["body"], Idempotent_Replayed="true")
            return
        body = act()
        if key:
            replies[key] = {"fingerprint": fingerprint, "body": body}
            self.server.book.save()
        self.send_json(200, body)

    def create_customer(self) -> None:
        self.once(lambda: self.server.book.create_customer(self.fields))

    def create_portal(self) -> None:
        self.once(lambda: self.server.book.create_portal(self.fields, address=self.server.address))

    def create_session(self) -> None:
        self.once(lambda: self.server.book.create_session(self.fields, address=self.server.address))

    def expire_session(self, identifier: str) -> None:
        self.once(lambda: self.server.book.expire(identifier))

    def refund(self) -> None:
        self.once(lambda: self.server.book.refund(self.fields))

    def retrieve_session(self, identifier: str) -> None:
        book = self.server.book
        paths = list(self.query.get("expand", {}).values())
        self.send_json(200, book.expanded(book.find(identifier, "cs"), paths))

    def list_disputes(self) -> None:
        rows = self.server.book.tables["disputes"].values()
        self.send_list([row for row in rows if row["charge"] == self.query.get("charge", row["charge"])])

    def list_events(self) -> None:
        self.send_list(self.server.book.events[::-1])

    def send_list(self, rows: list[Object]) -> None:
        self.send_json(200, {"object": "list", "data": rows, "has_more": False, "url": self.path})

    # What Stripe's dashboard and the banks do, for tests.

    def settle(self, identifier: str, outcome: str) -> None:
        self.send_json(200, self.server.book.arrive(identifier, succeeded=outcome == "succeeded"))

    def dispute(self) -> None:
        self.send_json(200, self.server.book.dispute(self.fields))

    def close_dispute(self, identifier: str, status: str) -> None:
        self.send_json(200, self.server.book.close_dispute(identifier, status=status))

    # What people see

    def overview(self) -> None:
        self.send_page(pages.overview(self.server.book))

    def portal(self, identifier: str) -> None:
        self.send_page(pages.portal(self.server.book, self.server.book.find(identifier, "bps")))

    def receipt(self, identifier: str) -> None:
        self.send_page(pages.receipt(self.server.book.find(identifier, "ch")))

    def payment_page(self, identifier: str) -> None:
        session = self.server.book.find(identifier, "cs")
        self.send_page(pages.payment(self.server.book, session, is_declined="declined" in self.query))

    def act_on_page(self, identifier: str) -> None:
        """A button of the payment page, and where its press leads."""
        book, action = self.server.book, self.fields.get("action")
        session, target = book.find(identifier, "cs"), f"/pay/{identifier}"
        if action in ("pay", "pay_later"):
            session = book.pay(identifier) if action == "pay" else book.pay_later(identifier)
            target = pages.back_to(session)
        elif action == "decline":
            book.decline(identifier)
            target += "?declined=1"
        elif action == "cancel":
            target = session["cancel_url"] or target
        elif action == "expire":
            book.expire(identifier)
        elif action in ("arrive", "bounce"):
            book.arrive(identifier, succeeded=action == "arrive")
        else:
            self.act_on_payment(session, str(action))
        self.send(303, b"", "text/plain", Location=target)

    def act_on_payment(self, session: Object, action: str) -> None:
        book = self.server.book
        if session["payment_intent"] is None:
            raise Refused("This payment has not been made.")
        paid = {"payment_intent": session["payment_intent"]}
        if action == "refund":
            book.refund({**paid, "amount": minor(self.fields.get("amount", ""), session["currency"])})
        elif action == "dispute":
            book.dispute(paid)
        elif action in ("won", "lost"):
            charge = book.paid_charge(paid)["id"]
            disputes = [row["id"] for row in book.tables["disputes"].values() if row["charge"] == charge]
            if not disputes:
                raise Refused("Nobody disputes this payment.")
            book.close_dispute(disputes[-1], status=action)
        else:
            raise Refused("Unknown action.")

    GET: ClassVar[dict[str, Callable[..., None]]] = {
        r"/v1/checkout/sessions/(\w+)": retrieve_session,
        r"/v1/disputes": list_disputes,
        r"/v1/events": list_events,
        r"/": overview,
        r"/pay/(\w+)": payment_page,
        r"/portal/(\w+)": portal,
        r"/receipt/(\w+)": receipt,
    }
    POST: ClassVar[dict[str, Callable[..., None]]] = {
        r"/v1/customers": create_customer,
        r"/v1/billing_portal/sessions": create_portal,
        r"/v1/checkout/sessions": create_session,
        r"/v1/checkout/sessions/(\w+)/expire": expire_session,
        r"/v1/refunds": refund,
        r"/pay/(\w+)": act_on_page,
        r"/sandbox/sessions/(\w+)/(succeeded|failed)": settle,
        r"/sandbox/disputes": dispute,
        r"/sandbox/disputes/(\w+)/(won|lost)": close_dispute,
    }
