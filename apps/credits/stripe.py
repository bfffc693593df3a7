"""Buying credits: Checkout out, signed events in, and converge() which makes the ledger agree with Stripe.

An event is only a hint to look. What it says is never applied, because events
come late, twice and out of order; the Checkout Session is read again instead.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import requests
import stripe
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import prices, services
from apps.credits.amounts import to_credits
from apps.credits.models import LedgerEntry, Purchase, StripeEvent
from apps.errors import AppError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 20
SWEEP_LIMIT = 50
"""Purchases read in one sweep, so that a slow Stripe cannot hold up the reconciler for long."""
SESSION_LIFE = timedelta(hours=25)
"""Stripe lets a session live 24 h; one that never got an id by then cannot be paid any more."""
SWEEP_DAYS = 30
"""The slowest payment methods settle within two weeks."""


def client() -> stripe.StripeClient:
    if not settings.STRIPE_SECRET_KEY:
        raise AppError("service_unavailable", "Buying credits is not set up on this site. Ask whoever runs it.")
    session = requests.Session()
    # A proxy from the environment could not reach the sandbox's Stripe on loopback.
    session.trust_env = not settings.STRIPE_IS_FAKE
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else None,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS, session=session),
        max_network_retries=2,
    )


def checkout(user: User, pack_id: str, *, success_url: str, cancel_url: str) -> Purchase:
    """A purchase whose `session_url` is where the buyer pays; nothing is credited before Stripe says paid.

    Stripe puts the session's id where `success_url` says {CHECKOUT_SESSION_ID}.
    """
    api = client()
    price_list = prices.current()
    pack = next((pack for pack in price_list.packs if pack["id"] == pack_id), None)
    if pack is None:
        names = ", ".join(pack["id"] for pack in price_list.packs)
        raise AppError("invalid_request", f"There is no pack {pack_id!r}; choose from {names}.", param="pack")
    purchase = Purchase.objects.create(
        user=user,
        pack=pack["id"],
        credits=pack["credits"],
        amount=pack["amount"],
        currency=pack["currency"],
        pricing_version=price_list.version,
    )
    params = _session_params(purchase, name=pack["name"], success_url=success_url, cancel_url=cancel_url)
    try:
        session = api.v1.checkout.sessions.create(params, {"idempotency_key": f"purchase:{purchase.pk}"})
    except stripe.StripeError as error:
        Purchase.objects.filter(pk=purchase.pk, status=Purchase.Status.OPEN).update(status=Purchase.Status.FAILED)
        raise _unreachable(error) from error
    purchase.session_id, purchase.session_url = session.id, session.url or ""
    purchase.save(update_fields=["session_id", "session_url"])
    return purchase


def _session_params(purchase: Purchase, *, name: str, success_url: str, cancel_url: str) -> Any:
    """The purchase's id goes on session and payment alike, so that every later event leads back to it."""
    ours = {"purchase": str(purchase.pk)}
    product = {"name": f"{name}: {to_credits(purchase.credits)} Clearmatte credits"}
    price = {"currency": purchase.currency, "unit_amount": purchase.amount, "product_data": product}
    return {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 1}],
        "client_reference_id": str(purchase.pk),
        "customer_email": purchase.user.email,
        "metadata": ours,
        "payment_intent_data": {"metadata": ours},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }


def receive_webhook(body: bytes, header: str) -> StripeEvent:
    """Verify, store, then act: a failure while acting leaves the event to be seen, and Stripe sends it again."""
    _verify(body, header)
    payload = json.loads(body)
    event, _ = StripeEvent.objects.get_or_create(
        id=payload["id"], defaults={"type": payload["type"], "payload": payload}
    )
    if event.processed_at is not None:
        return event
    mine = StripeEvent.objects.filter(pk=event.pk, processed_at=None)
    try:
        for purchase_id in _purchases_of(payload["data"]["object"]):
            converge(purchase_id)
    except Exception as error:
        mine.update(error=f"{type(error).__name__}: {error}"[:300])
        raise
    mine.update(processed_at=timezone.now(), error="")
    event.refresh_from_db()
    return event


def _verify(body: bytes, header: str) -> None:
    """Against every secret, because while one is being replaced Stripe signs with either."""
    if not settings.STRIPE_WEBHOOK_SECRETS:
        raise AppError("service_unavailable", "Set STRIPE_WEBHOOK_SECRETS to receive events from Stripe.")
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret, stripe.Webhook.DEFAULT_TOLERANCE)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        return
    raise AppError("invalid_request", "The signature does not fit.", param="Stripe-Signature", status=400)


def _purchases_of(subject: dict[str, Any]) -> list[UUID]:
    """Sessions, payments and charges carry our id; disputes and refunds lead to their payment.

    Other things sold with the same Stripe account lead nowhere and are no error.
    """
    ours = (subject.get("metadata") or {}).get("purchase")
    if ours:
        try:
            found = Purchase.objects.filter(pk=ours)
            if subject["object"] == "checkout.session":
                # The reply that should have told us the id was lost.
                found.filter(session_id="").update(session_id=subject["id"])
            return list(found.values_list("pk", flat=True))
        except ValidationError:
            return []
    intent = subject.get("payment_intent")
    return list(Purchase.objects.filter(payment_intent=intent).values_list("pk", flat=True)) if intent else []


def converge(purchase_id: UUID) -> None:
    """Make the ledger agree with what Stripe says of this purchase now.

    Safe to call at any time, any number of times and beside itself: each read
    takes a number when it begins, and one that is older than a read already
    applied changes nothing.
    """
    purchase = begin_read(purchase_id)
    if not purchase.session_id:
        return
    apply(purchase, read(purchase))


@dataclass(frozen=True)
class Reading:
    """What one look at Stripe found; `worth` is the credits that should be on the ledger for it."""

    status: Purchase.Status
    payment_intent: str
    worth: int
    is_lost: bool


def begin_read(purchase_id: UUID) -> Purchase:
    with transaction.atomic():
        purchase = Purchase.objects.select_for_update(of=("self",)).select_related("user").get(pk=purchase_id)
        purchase.read_number += 1
        purchase.save(update_fields=["read_number", "updated_at"])
    return purchase


def read(purchase: Purchase) -> Reading:
    """HTTP: never inside a transaction."""
    api = client()
    try:
        session = api.v1.checkout.sessions.retrieve(purchase.session_id, {"expand": ["payment_intent.latest_charge"]})
        # Without `expand` these would be ids.
        intent: Any = session.payment_intent
        charge = intent.latest_charge if intent else None
        disputes = api.v1.disputes.list({"charge": charge.id, "limit": 100}).data if charge and charge.disputed else []
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    lost = sum(dispute.amount for dispute in disputes if dispute.status == "lost")
    worth = 0
    if session.payment_status == "paid" and charge:
        # Rounded down: a refund takes back every credit it touched.
        kept = max(0, charge.amount - charge.amount_refunded - lost)
        worth = purchase.credits * kept // charge.amount
    elif session.payment_status == "no_payment_required":
        worth = purchase.credits
    return Reading(
        status=status_of(session, intent),
        payment_intent=intent.id if intent else "",
        worth=worth,
        is_lost=lost > 0,
    )


def status_of(session: Any, intent: Any) -> Purchase.Status:
    if session.payment_status in ("paid", "no_payment_required"):
        return Purchase.Status.PAID
    if session.status == "expired":
        return Purchase.Status.EXPIRED
    # Complete yet unpaid is a bank debit on its way, unless the payment has been given up.
    if session.status == "complete" and intent and intent.status in ("requires_payment_method", "canceled"):
        return Purchase.Status.FAILED
    return Purchase.Status.OPEN


def apply(purchase: Purchase, reading: Reading) -> None:
    """Post what is missing or too much; nothing when a newer read was here first."""
    reference = str(purchase.pk)
    with transaction.atomic():
        wallet = services.lock_wallet(purchase.user)
        if not Purchase.objects.filter(pk=purchase.pk, applied_number__lt=purchase.read_number).update(
            applied_number=purchase.read_number,
            status=reading.status,
            payment_intent=reading.payment_intent,
            updated_at=timezone.now(),
        ):
            return
        posted = wallet.entries.filter(reference=reference).aggregate(total=Sum("amount"))["total"] or 0
        difference = reading.worth - posted
        kind = LedgerEntry.Kind.PURCHASE
        if difference < 0:
            kind = LedgerEntry.Kind.DISPUTE if reading.is_lost else LedgerEntry.Kind.REFUND
        services.post(
            purchase.user,
            kind,
            difference,
            key=f"purchase:{reference}:{purchase.read_number}",
            reference=reference,
            note=f"Pack {purchase.pack}",
        )


def converge_open_purchases(older_than: timedelta) -> int:
    """Look again at purchases nobody told us the end of; the number that could be read.

    For the events that never came. Each purchase is looked at no more often
    than once in `older_than`.
    """
    now = timezone.now()
    is_open = Purchase.objects.filter(status=Purchase.Status.OPEN)
    is_open.filter(session_id="", created_at__lt=now - SESSION_LIFE).update(status=Purchase.Status.EXPIRED)
    waiting = is_open.filter(updated_at__lt=now - older_than, created_at__gt=now - timedelta(days=SWEEP_DAYS))
    done = 0
    waiting = waiting.exclude(session_id="").order_by("updated_at")
    for purchase_id in waiting.values_list("pk", flat=True)[:SWEEP_LIMIT]:
        try:
            converge(purchase_id)
            done += 1
        except AppError as error:
            log.warning("purchase=%s could not be read: %s", purchase_id, error)
    return done


def _unreachable(error: stripe.StripeError) -> AppError:
    log.error("stripe refused or did not answer: %s %s", type(error).__name__, error.code or "")
    return AppError("service_unavailable", "Stripe does not answer at the moment. Nothing was charged; try again soon.")
