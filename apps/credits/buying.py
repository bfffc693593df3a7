"""Selling packs at Stripe: its customers, the Checkout Session, the Customer Portal, receipts.

What was really paid is not decided here: see converge() in stripe.py.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import stripe as library
from django.conf import settings

from apps.accounts.models import User
from apps.credits import prices, services
from apps.credits.amounts import to_credits
from apps.credits.models import Purchase, Wallet
from apps.credits.stripe import client, unreachable
from apps.errors import AppError

OPEN = Purchase.Status.OPEN


def checkout(
    user: User,
    pack_id: str,
    *,
    success_url: str,
    cancel_url: str,
    number: UUID | None = None,
    start_job: UUID | None = None,
) -> Purchase:
    """A purchase whose `session_url` is where the buyer pays; nothing is credited before Stripe says paid.

    The same `number` again is the same purchase and the same payment page,
    whatever became of it: a double click cannot be charged twice. Stripe puts
    the session's id where `success_url` says {CHECKOUT_SESSION_ID}, we put
    the purchase's where `cancel_url` says {PURCHASE}.
    """
    api = client()
    price_list = prices.current()
    pack = next((pack for pack in price_list.packs if pack["id"] == pack_id), None)
    if pack is None:
        names = ", ".join(pack["id"] for pack in price_list.packs)
        raise AppError("invalid_request", f"There is no pack {pack_id!r}; choose from {names}.", param="pack")
    chosen = {name: pack[name] for name in ("credits", "amount", "currency")}
    chosen |= {"user": user, "pack": pack["id"], "pricing_version": price_list.version, "start_job": start_job}
    purchase, _ = Purchase.objects.get_or_create(pk=number or uuid4(), defaults=chosen)
    if (purchase.user_id, purchase.pack, purchase.start_job) != (user.pk, pack["id"], start_job):
        purchase = Purchase.objects.create(**chosen)
    if purchase.session_id or purchase.status != OPEN:
        return purchase
    back = cancel_url.replace("{PURCHASE}", str(purchase.pk))
    session = _open_session(api, purchase, name=pack["name"], success_url=success_url, cancel_url=back)
    # A call beside this one may have failed where this one did not: then there is something to pay after all.
    Purchase.objects.filter(pk=purchase.pk, status=Purchase.Status.FAILED, session_id="").update(status=OPEN)
    purchase.session_id, purchase.session_url = session.id, session.url or ""
    purchase.save(update_fields=["session_id", "session_url"])
    return purchase


def _open_session(api: library.StripeClient, purchase: Purchase, **wanted: str) -> Any:
    """The payment page. Once more, for a new customer, where Stripe does not know the one we know."""
    sessions, key = api.v1.checkout.sessions, f"purchase:{purchase.pk}"
    try:
        customer = _customer(api, purchase.user)
        try:
            return sessions.create(_session_params(purchase, customer, **wanted), {"idempotency_key": key})
        except library.InvalidRequestError as error:
            if (error.code, error.param) != ("resource_missing", "customer"):
                raise
            # Deleted at Stripe, or from before the keys were changed.
            customer = _customer(api, purchase.user, instead_of=customer)
            key = f"{key}:{customer}"
            return sessions.create(_session_params(purchase, customer, **wanted), {"idempotency_key": key})
    except library.StripeError as error:
        # Not one that a second click on the same page has opened meanwhile.
        Purchase.objects.filter(pk=purchase.pk, status=OPEN, session_id="").update(status=Purchase.Status.FAILED)
        raise unreachable(error) from error


def _customer(api: library.StripeClient, user: User, *, instead_of: str = "") -> str:
    """Who the account is at Stripe; made when it first buys, one however many callers."""
    wallet = services.open_wallet(user)
    if wallet.stripe_customer != instead_of:
        return wallet.stripe_customer
    made = api.v1.customers.create(
        {"email": user.email, "metadata": {"account": str(user.pk)}},
        {"idempotency_key": f"customer:{user.pk}:{user.email}:{instead_of}"[:255]},
    )
    Wallet.objects.filter(pk=wallet.pk, stripe_customer=instead_of).update(stripe_customer=made.id)
    wallet.refresh_from_db(fields=["stripe_customer"])
    return wallet.stripe_customer


def _session_params(purchase: Purchase, customer: str, *, name: str, success_url: str, cancel_url: str) -> Any:
    """The purchase's id goes on session, payment and invoice alike, so that every later event leads back to it."""
    ours = {"purchase": str(purchase.pk)}
    product = {"name": f"{name}: {to_credits(purchase.credits)} Clearmatte credits"}
    price = {"currency": purchase.currency, "unit_amount": purchase.amount, "product_data": product}
    params: dict[str, Any] = {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 1}],
        "client_reference_id": str(purchase.pk),
        "customer": customer,
        "metadata": ours,
        "payment_intent_data": {"metadata": ours, "receipt_email": purchase.user.email},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    if settings.STRIPE_TAX:
        params["automatic_tax"] = {"enabled": True}
        params["tax_id_collection"] = {"enabled": True}
        # Both are kept with the customer, who is asked once.
        params["customer_update"] = {"address": "auto", "name": "auto"}
    if settings.STRIPE_INVOICES:
        params["invoice_creation"] = {"enabled": True, "invoice_data": {"metadata": ours}}
    return params


def portal(user: User, *, return_url: str) -> str:
    """Address of Stripe's page with the account's invoices, cards and billing address."""
    api = client()
    try:
        session = api.v1.billing_portal.sessions.create({"customer": _customer(api, user), "return_url": return_url})
    except library.StripeError as error:
        raise unreachable(error) from error
    return session.url


def receipt(purchase: Purchase) -> str:
    """Address of the invoice, where one was made, else of the receipt; asked each time, because they run out."""
    try:
        session = client().v1.checkout.sessions.retrieve(
            purchase.session_id, {"expand": ["payment_intent.latest_charge", "invoice"]}
        )
    except library.StripeError as error:
        raise unreachable(error) from error
    # Without `expand` these would be ids.
    invoice: Any = session.invoice
    intent: Any = session.payment_intent
    charge = intent.latest_charge if intent else None
    address = (invoice and invoice.hosted_invoice_url) or (charge and charge.receipt_url)
    if not address:
        raise AppError("not_found", "There is no receipt for this purchase yet.")
    return str(address)
