"""What the fake Stripe knows: customers, sessions, payments, refunds, disputes, and the events they caused."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Object = dict[str, Any]

TABLES = {
    "cs": "sessions",
    "cus": "customers",
    "pi": "payment_intents",
    "ch": "charges",
    "re": "refunds",
    "dp": "disputes",
    "in": "invoices",
    "bps": "portals",
}
DECLINED = "Your card was declined."
TAX_PERCENT = 20
"""What the sandbox adds where automatic tax is on, so that what is paid differs from what a pack costs."""
KEPT_EVENTS = 500
"""So that the state file, written anew with every change, stays small."""


class Refused(Exception):
    """What the real one would answer with an error body."""

    def __init__(
        self, message: str, *, status: int = 400, code: str = "parameter_invalid", kind: str = "", param: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        said = {"type": kind or "invalid_request_error", "code": code, "message": message, "param": param}
        self.body = {"error": {name: text for name, text in said.items() if text}}


class Book:
    """The state, in one file so that a restart forgets nothing. One caller at a time: hold `lock` around calls."""

    def __init__(self, path: Path, *, on_event: Callable[[], None]) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.on_event = on_event
        self.tables: dict[str, dict[str, Object]] = {name: {} for name in TABLES.values()}
        self.events: list[Object] = []
        self.undelivered: list[str] = []
        self.replies: dict[str, Object] = {}
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            # A state of an earlier version may lack a table.
            vars(self).update({**kept, "tables": {**self.tables, **kept["tables"]}})

    def save(self) -> None:
        self.events = self.events[-KEPT_EVENTS:]
        state = {name: getattr(self, name) for name in ("tables", "events", "undelivered", "replies")}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(state), encoding="utf-8")
        os.replace(draft, self.path)

    def add(self, prefix: str, kind: str, **fields: Any) -> Object:
        made = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "livemode": False,
            **fields,
        }
        self.tables[TABLES[prefix]][made["id"]] = made
        return made

    def find(self, identifier: str, prefix: str, *, param: str = "") -> Object:
        """The object; ids of another kind are as unknown as they are at the real one."""
        found = self.tables[TABLES[prefix]].get(identifier)
        if found is None:
            message = f"No such {TABLES[prefix][:-1]}: {identifier!r}"
            raise Refused(message, status=400 if param else 404, code="resource_missing", param=param)
        return found

    def emit(self, kind: str, subject: Object) -> None:
        event: Object = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "created": int(time.time()),
            "livemode": False,
            "type": kind,
            "data": {"object": json.loads(json.dumps(subject))},
        }
        self.events.append(event)
        self.undelivered.append(event["id"])
        self.save()
        self.on_event()

    def expanded(self, subject: Object, paths: list[str]) -> Object:
        """A copy in which the ids at these dotted paths are the objects themselves."""
        copy: Object = json.loads(json.dumps(subject))
        for path in paths:
            place = copy
            for name in path.split("."):
                if isinstance(value := place.get(name), str):
                    place[name] = json.loads(json.dumps(self.find(value, value.split("_")[0])))
                if not isinstance(place.get(name), dict):
                    break
                place = place[name]
        return copy

    # Customers

    def create_customer(self, fields: Object) -> Object:
        made = self.add("cus", "customer", email=fields.get("email"), metadata=fields.get("metadata", {}))
        self.save()
        return made

    def create_portal(self, fields: Object, *, address: str) -> Object:
        customer = self.find(fields.get("customer", ""), "cus", param="customer")
        portal = self.add("bps", "billing_portal.session", customer=customer["id"], return_url=fields.get("return_url"))
        portal["url"] = f"{address}/portal/{portal['id']}"
        self.save()
        return portal

    # Checkout

    def create_session(self, fields: Object, *, address: str) -> Object:
        for name in ("success_url", "line_items"):
            if name not in fields:
                raise Refused(f"Missing required param: {name}.", code="parameter_missing")
        if fields.get("mode") != "payment":
            raise Refused("This sandbox only knows mode=payment.")
        lines = list(fields["line_items"].values())
        net = sum(int(line["price_data"]["unit_amount"]) * int(line.get("quantity", 1)) for line in lines)
        tax = net * TAX_PERCENT // 100 if is_on(fields, "automatic_tax") else 0
        customer = self.find(fields["customer"], "cus", param="customer") if "customer" in fields else {}
        session = self.add(
            "cs",
            "checkout.session",
            mode="payment",
            status="open",
            payment_status="unpaid",
            payment_intent=None,
            amount_subtotal=net,
            amount_total=net + tax,
            total_details={"amount_tax": tax, "amount_discount": 0, "amount_shipping": 0},
            automatic_tax={"enabled": is_on(fields, "automatic_tax")},
            tax_id_collection={"enabled": is_on(fields, "tax_id_collection")},
            invoice_creation={"enabled": is_on(fields, "invoice_creation")},
            invoice=None,
            currency=lines[0]["price_data"]["currency"],
            description=lines[0]["price_data"]["product_data"]["name"],
            client_reference_id=fields.get("client_reference_id"),
            customer=customer.get("id"),
            customer_email=fields.get("customer_email") or customer.get("email"),
            metadata=fields.get("metadata", {}),
            payment_metadata=fields.get("payment_intent_data", {}).get("metadata", {}),
            success_url=fields["success_url"],
            cancel_url=fields.get("cancel_url"),
        )
        session["url"] = f"{address}/pay/{session['id']}"
        self.save()
        return session

    def open_session(self, identifier: str) -> Object:
        session = self.find(identifier, "cs")
        if session["status"] != "open":
            raise Refused(f"This Checkout Session is {session['status']}.")
        return session

    def pay(self, identifier: str) -> Object:
        session = self.pay_later(identifier, emit=False)
        self.settle(session, succeeded=True)
        self.emit("checkout.session.completed", session)
        return session

    def decline(self, identifier: str) -> Object:
        """The buyer may try again: the session stays open."""
        session = self.open_session(identifier)
        intent = self.intent_of(session)
        intent.update(
            status="requires_payment_method", last_payment_error={"code": "card_declined", "message": DECLINED}
        )
        self.emit("payment_intent.payment_failed", intent)
        return session

    def intent_of(self, session: Object) -> Object:
        """The session's payment, made with the first try."""
        if session["payment_intent"]:
            return self.find(session["payment_intent"], "pi")
        intent = self.add(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            currency=session["currency"],
            metadata=session["payment_metadata"],
            status="requires_payment_method",
            latest_charge=None,
            last_payment_error=None,
        )
        session["payment_intent"] = intent["id"]
        return intent

    def pay_later(self, identifier: str, *, emit: bool = True) -> Object:
        """As with a bank debit: the buyer is done, the money has not come yet."""
        session = self.open_session(identifier)
        intent = self.intent_of(session)
        charge = self.add(
            "ch",
            "charge",
            amount=intent["amount"],
            amount_refunded=0,
            currency=intent["currency"],
            customer=session["customer"],
            description=session["description"],
            metadata=intent["metadata"],
            payment_intent=intent["id"],
            status="pending",
            paid=False,
            refunded=False,
            disputed=False,
        )
        address = session["url"].rpartition("/pay/")[0]
        charge["receipt_url"] = f"{address}/receipt/{charge['id']}"
        intent.update(status="processing", latest_charge=charge["id"], last_payment_error=None)
        session["status"] = "complete"
        if session["invoice_creation"]["enabled"]:
            invoice = self.add("in", "invoice", hosted_invoice_url=f"{charge['receipt_url']}?invoice=1")
            session["invoice"] = invoice["id"]
        if emit:
            self.emit("checkout.session.completed", session)
        return session

    def arrive(self, identifier: str, *, succeeded: bool) -> Object:
        """What becomes of a payment made later."""
        session = self.find(identifier, "cs")
        if session["status"] != "complete" or session["payment_status"] == "paid":
            raise Refused("This Checkout Session does not wait for a payment.")
        self.settle(session, succeeded=succeeded)
        self.emit(f"checkout.session.async_payment_{'succeeded' if succeeded else 'failed'}", session)
        return session

    def settle(self, session: Object, *, succeeded: bool) -> None:
        intent = self.find(session["payment_intent"], "pi")
        charge = self.find(intent["latest_charge"], "ch")
        charge.update(status="succeeded" if succeeded else "failed", paid=succeeded)
        intent["status"] = "succeeded" if succeeded else "requires_payment_method"
        if not succeeded:
            intent["last_payment_error"] = {"code": "debit_failed", "message": "The bank did not pay."}
        session["payment_status"] = "paid" if succeeded else "unpaid"

    def expire(self, identifier: str) -> Object:
        session = self.open_session(identifier)
        session["status"] = "expired"
        self.emit("checkout.session.expired", session)
        return session

    # Money back

    def paid_charge(self, fields: Object) -> Object:
        identifier = fields.get("charge") or self.find(fields.get("payment_intent", ""), "pi")["latest_charge"]
        if not identifier or not self.find(identifier, "ch")["paid"]:
            raise Refused("This charge has not succeeded.", status=400)
        return self.find(identifier, "ch")

    def refund(self, fields: Object) -> Object:
        charge = self.paid_charge(fields)
        left = charge["amount"] - charge["amount_refunded"]
        amount = int(fields.get("amount", left))
        if not 0 < amount <= left:
            raise Refused(f"Refund amount ({amount}) is not within what is left of the charge ({left}).")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        refund = self.add(
            "re",
            "refund",
            amount=amount,
            charge=charge["id"],
            currency=charge["currency"],
            payment_intent=charge["payment_intent"],
            status="succeeded",
        )
        self.emit("charge.refunded", charge)
        return refund

    def dispute(self, fields: Object) -> Object:
        charge = self.paid_charge(fields)
        amount = int(fields.get("amount") or charge["amount"])
        charge["disputed"] = True
        dispute = self.add(
            "dp",
            "dispute",
            amount=amount,
            charge=charge["id"],
            currency=charge["currency"],
            payment_intent=charge["payment_intent"],
            status="needs_response",
        )
        self.emit("charge.dispute.created", dispute)
        return dispute

    def close_dispute(self, identifier: str, *, status: str) -> Object:
        dispute = self.find(identifier, "dp")
        if status not in ("won", "lost") or dispute["status"] != "needs_response":
            raise Refused("An open dispute is closed as won or lost, once.")
        dispute["status"] = status
        self.emit("charge.dispute.closed", dispute)
        return dispute


def is_on(fields: Object, name: str) -> bool:
    return bool(fields.get(name, {}).get("enabled") == "true")
