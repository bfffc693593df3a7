"""Stripe's word: signed events in, and converge() which makes the ledger agree with it. Selling is in buying.py.

An event is only a hint to look. What it says is never applied, because events
come late, twice and out of order; the Checkout Session is read again instead.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import django_rq
import requests
import stripe
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from apps.credits import services
from apps.credits.models import LedgerEntry, Purchase, StripeEvent
from apps.errors import AppError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
"""For each of two tries. Somebody waits for the page, and a thread of the web server with them: with a Stripe that took
the call and said nothing, 20 s and three tries were a minute."""
SWEEP_LIMIT = 50
"""Purchases read in one sweep, so that a slow Stripe cannot hold up the reconciler for long."""
SESSION_LIFE = timedelta(hours=25)
"""Stripe lets a session live 24 h; one that never got an id by then cannot be paid any more."""
SWEEP_DAYS = 30
"""The slowest payment methods settle within two weeks."""
DISPUTE_LOOK = timedelta(days=1)
"""How often an open dispute is looked at, should the event of its end never come; banks take weeks."""
TAKEN_BY_BANK = ("needs_response", "under_review")
"""Open disputes for which Stripe has paid the money back already; an inquiry (`warning_…`) takes none."""


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
        max_network_retries=1,
    )


def try_key() -> tuple[bool, str]:
    """Whether Stripe takes the key, asked with a call that changes nothing; and what is wrong, in words."""
    try:
        client().v1.checkout.sessions.list({"limit": 1})
    except stripe.AuthenticationError:
        return False, "Stripe does not take STRIPE_SECRET_KEY: put in the one that its dashboard has now"
    except stripe.PermissionError:
        return (
            False,
            "STRIPE_SECRET_KEY may not read Checkout Sessions: docs/operations.md says what it must do",
        )
    except stripe.StripeError as error:
        return True, f"Stripe could not be asked whether it takes the key ({type(error).__name__})"
    return True, ""


def receive_webhook(body: bytes, header: str) -> StripeEvent:
    """Verify, store, then act: a failure while acting leaves the event to be seen, and Stripe sends it again."""
    _verify(body, header)
    try:
        payload = json.loads(body)
        about = {"type": payload["type"], "payload": payload, **named_in(payload)}
        event, _ = StripeEvent.objects.get_or_create(id=payload["id"], defaults=about)
    except (ValueError, KeyError, TypeError) as error:
        raise AppError("invalid_request", "This is signed, and no event.", status=400) from error
    if event.processed_at is not None:
        return event
    mine = StripeEvent.objects.filter(pk=event.pk, processed_at=None)
    try:
        for purchase_id in _purchases_of((payload.get("data") or {}).get("object") or {}):
            converge(purchase_id)
    except Exception as error:
        mine.update(error=f"{type(error).__name__}: {error}"[:300])
        raise
    mine.update(processed_at=timezone.now(), error="")
    event.refresh_from_db()
    return event


def named_in(payload: dict[str, Any]) -> dict[str, str]:
    """The ids that an event is found by."""
    subject = (payload.get("data") or {}).get("object") or {}
    found = {"subject": subject.get("id"), "payment_intent": subject.get("payment_intent")}
    return {name: text[:120] if isinstance(text, str) else "" for name, text in found.items()}


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

    Other things sold with the same Stripe account, and events about nothing, lead nowhere and are no error.
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
    """What one look at Stripe found.

    `worth` is the credits that should be on the ledger for it, `disputed` those of them that may not be spent.
    """

    status: Purchase.Status
    payment_intent: str
    worth: int
    disputed: int
    is_lost: bool
    problem: str
    charge: str = ""
    invoice: str = ""


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
        raise unreachable(error) from error
    lost = sum(dispute.amount for dispute in disputes if dispute.status == "lost")
    worth = disputed = 0
    if session.payment_status == "paid" and charge:
        # Rounded down: a refund takes back every credit it touched.
        kept = max(0, charge.amount - charge.amount_refunded - lost)
        worth = purchase.credits * kept // charge.amount
        gone = sum(dispute.amount for dispute in disputes if dispute.status in TAKEN_BY_BANK)
        disputed = worth - purchase.credits * max(0, kept - gone) // charge.amount
    elif session.payment_status == "no_payment_required":
        worth = purchase.credits
    refused = intent.last_payment_error if intent and session.payment_status == "unpaid" else None
    return Reading(
        status=status_of(session, intent),
        payment_intent=intent.id if intent else "",
        worth=worth,
        disputed=disputed,
        is_lost=lost > 0,
        problem=(refused.message or "")[:300] if refused else "",
        charge=charge.id if charge else "",
        invoice=session.invoice if isinstance(session.invoice, str) else "",
    )


def status_of(session: Any, intent: Any) -> Purchase.Status:
    if session.payment_status in ("paid", "no_payment_required"):
        return Purchase.Status.PAID
    if session.status == "expired":
        return Purchase.Status.EXPIRED
    if session.status != "complete":
        return Purchase.Status.OPEN
    # Complete yet unpaid is a bank debit on its way, unless the payment has been given up.
    is_given_up = intent and intent.status in ("requires_payment_method", "canceled")
    return Purchase.Status.FAILED if is_given_up else Purchase.Status.PENDING


def apply(purchase: Purchase, reading: Reading) -> None:
    """Post what is missing or too much; nothing when a newer read was here first."""
    reference = str(purchase.pk)
    with transaction.atomic():
        wallet = services.lock_wallet(purchase.user)
        if not Purchase.objects.filter(pk=purchase.pk, applied_number__lt=purchase.read_number).update(
            applied_number=purchase.read_number,
            status=reading.status,
            payment_intent=reading.payment_intent,
            charge=reading.charge,
            invoice=reading.invoice,
            problem=reading.problem,
            disputed=reading.disputed,
            updated_at=timezone.now(),
        ):
            return
        posted = wallet.entries.filter(reference=reference).aggregate(total=Sum("amount"))["total"] or 0
        difference = reading.worth - posted
        kind, note = LedgerEntry.Kind.PURCHASE, f"Pack {purchase.pack}"
        if difference < 0 and reading.is_lost:
            kind, note = LedgerEntry.Kind.DISPUTE, f"Lost dispute about pack {purchase.pack}"
        elif difference < 0:
            kind, note = LedgerEntry.Kind.REFUND, f"Refund of pack {purchase.pack}"
        services.post(
            purchase.user,
            kind,
            difference,
            key=f"purchase:{reference}:{purchase.read_number}",
            reference=reference,
            note=note,
        )
        services.set_aside_for_dispute(
            purchase.user, reading.disputed, reference=reference, number=purchase.read_number
        )
        if reading.status == Purchase.Status.PAID and purchase.start_job:
            _ring_on_commit(purchase)


def converge_open_purchases(older_than: timedelta) -> int:
    """Look again at purchases nobody told us the end of; the number that could be read.

    For the events that never came. Each purchase is looked at no more often
    than once in `older_than`.
    """
    now = timezone.now()
    undecided = Purchase.objects.filter(status__in=Purchase.UNDECIDED)
    undecided.filter(session_id="", created_at__lt=now - SESSION_LIFE).update(status=Purchase.Status.EXPIRED)
    waiting = Purchase.objects.exclude(session_id="").filter(
        Q(
            status__in=Purchase.UNDECIDED,
            created_at__gt=now - timedelta(days=SWEEP_DAYS),
            updated_at__lt=now - older_than,
        )
        | Q(disputed__gt=0, updated_at__lt=now - DISPUTE_LOOK)
    )
    done = 0
    for purchase_id in waiting.order_by("updated_at").values_list("pk", flat=True)[:SWEEP_LIMIT]:
        try:
            converge(purchase_id)
            done += 1
        except AppError as error:
            log.warning("purchase=%s could not be read: %s", purchase_id, error)
    return done


def _ring_on_commit(purchase: Purchase) -> None:
    """Have the job started that was waiting for this payment. A ring that is lost is found by the reconciler."""
    queue = django_rq.get_queue("default", commit_mode="auto")
    key = f"paid-{purchase.pk}"
    ring = partial(queue.enqueue, "apps.jobs.tasks.start_paid", str(purchase.pk), job_id=key, result_ttl=0)
    transaction.on_commit(ring, robust=True)


def unreachable(error: stripe.StripeError) -> AppError:
    """The refusal for people; what Stripe said is for the log, less what it says of keys."""
    said = "" if isinstance(error, stripe.AuthenticationError) else error.user_message or ""
    log.error("stripe refused or did not answer: %s %s %s", type(error).__name__, error.code or "", said)
    if isinstance(error, stripe.InvalidRequestError | stripe.AuthenticationError | stripe.PermissionError):
        text = "Stripe refused this, so nothing was charged. Ask whoever runs this site; the reason is in its log."
        return AppError("service_unavailable", text)
    return AppError("service_unavailable", "Stripe does not answer at the moment. Nothing was charged; try again soon.")
