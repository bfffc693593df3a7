"""Pages about money: what things cost, what you have, what was moved, and buying more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.requests import SignedInRequest
from apps.api.pagination import NarrowPaginator
from apps.credits import buying, prices, stripe
from apps.credits.forms import ThresholdForm
from apps.credits.models import Hold, LedgerEntry, Purchase
from apps.credits.services import open_wallet
from apps.errors import AppError

PAGE = 25
PURCHASES = 10
"""The newest; older ones are in the portal."""


@login_required
@never_cache
@require_safe
def credits(request: SignedInRequest) -> HttpResponse:
    """Balance, what is set aside, packs to buy, purchases, and every entry of the ledger."""
    wallet = open_wallet(request.user)
    context = {
        "wallet": wallet,
        "holds": wallet.holds.filter(state=Hold.State.OPEN),
        "page": NarrowPaginator(wallet.entries.all(), PAGE).get_page(request.GET.get("page")),
        "packs": packs_to_buy(),
        "purchases": with_returns(request.user.purchases.exclude(session_id="")[:PURCHASES]),
        "sandbox_stripe": settings.STRIPE_API_BASE if settings.STRIPE_IS_FAKE else "",
        "query": "",
    }
    return render(request, "credits/credits.html", context)


def with_returns(purchases: Iterable[Purchase]) -> list[Purchase]:
    """Each paid one with `returned`: the credits that refunds and lost disputes took back."""
    found = list(purchases)
    lines = LedgerEntry.objects.filter(reference__in=[str(purchase.pk) for purchase in found]).order_by()
    kept = dict(lines.values_list("reference").annotate(total=Sum("amount")))
    for purchase in found:
        if purchase.status == Purchase.Status.PAID:
            purchase.returned = purchase.credits - kept.get(str(purchase.pk), 0)
    return found


def packs_to_buy() -> list[dict[str, Any]]:
    """Each with the number of the purchase that its button makes, so that a double click makes one."""
    return [{**pack, "number": uuid4()} for pack in prices.current().packs]


@login_required
@require_POST
def buy(request: SignedInRequest) -> HttpResponse:
    return to_payment(request, again=reverse("web:credits"))


def to_payment(request: SignedInRequest, *, again: str, start_job: UUID | None = None) -> HttpResponse:
    """The last page before Stripe's, or with words where it cannot be."""
    paid, unpaid = (request.build_absolute_uri(reverse(name)) for name in ("web:paid", "web:unpaid"))
    try:
        purchase = buying.checkout(
            request.user,
            request.POST.get("pack", ""),
            success_url=f"{paid}?session={{CHECKOUT_SESSION_ID}}",
            cancel_url=f"{unpaid}?purchase={{PURCHASE}}",
            number=_uuid(request.POST.get("number", "")),
            start_job=start_job,
        )
    except AppError as problem:
        messages.error(request, problem.message)
        return redirect(again)
    if purchase.status != Purchase.Status.OPEN:
        return redirect("web:purchase", purchase.pk)
    # Not straight to Stripe: the content security policy lets forms end on this site only.
    return render(request, "credits/leaving.html", {"purchase": purchase, "is_sandbox": settings.STRIPE_IS_FAKE})


@login_required
@never_cache
@require_safe
def paid(request: SignedInRequest) -> HttpResponse:
    """Where Stripe sends the buyer back to; the purchase it names is looked up, not believed."""
    session = request.GET.get("session", "")
    purchase = get_object_or_404(Purchase, user=request.user, session_id=session) if session else None
    return redirect("web:purchase", purchase.pk) if purchase else redirect("web:credits")


@login_required
@never_cache
@require_safe
def unpaid(request: SignedInRequest) -> HttpResponse:
    """Where the payment page's way back leads. An old tab of it knows nothing of a payment in another, so we look."""
    number = _uuid(request.GET.get("purchase", ""))
    left = request.user.purchases.filter(pk=number).first() if number else None
    if left is None:
        return redirect("web:credits")
    if look_again(left) or left.status != Purchase.Status.OPEN:
        return redirect("web:purchase", left.pk)
    if left.start_job:
        messages.info(request, "You left the payment page. Nothing was charged, and your cutout waits here.")
        return redirect("web:job-buy", left.start_job)
    messages.info(request, "You left the payment page. Nothing was bought and nothing was charged.")
    return redirect("web:credits")


def look_again(purchase: Purchase) -> AppError | None:
    """Ask Stripe while a purchase is undecided; the refusal where Stripe could not be asked."""
    problem = None
    if purchase.status in Purchase.UNDECIDED:
        try:
            stripe.converge(purchase.pk)
        except AppError as refusal:
            problem = refusal
    purchase.refresh_from_db()
    return problem


@login_required
@never_cache
@require_safe
def purchase(request: SignedInRequest, purchase_id: UUID) -> HttpResponse:
    """How a purchase stands, asked of Stripe while it is undecided; the page asks again by itself."""
    found = get_object_or_404(Purchase, pk=purchase_id, user=request.user)
    problem = look_again(found)
    waits_to_start = found.status == Purchase.Status.PAID and found.start_job and not found.start_settled_at
    context = {
        "purchase": with_returns([found])[0],
        "problem": problem,
        "wallet": open_wallet(request.user),
        "waits_to_start": waits_to_start,
        "asks_again": waits_to_start or found.status in Purchase.UNDECIDED,
    }
    return render(request, "credits/purchase.html", context)


@login_required
@require_safe
def receipt(request: SignedInRequest, purchase_id: UUID) -> HttpResponse:
    found = get_object_or_404(Purchase, pk=purchase_id, user=request.user, status=Purchase.Status.PAID)
    try:
        return redirect(buying.receipt(found))
    except AppError as problem:
        messages.error(request, problem.message)
        return redirect("web:credits")


@login_required
@require_safe
def portal(request: SignedInRequest) -> HttpResponse:
    """To the account's invoices and payment details at Stripe."""
    try:
        return redirect(buying.portal(request.user, return_url=request.build_absolute_uri(reverse("web:credits"))))
    except AppError as problem:
        messages.error(request, problem.message)
        return redirect("web:credits")


@login_required
@require_POST
def threshold(request: SignedInRequest) -> HttpResponse:
    form = ThresholdForm(request.POST)
    if form.is_valid():
        form.save(open_wallet(request.user))
        messages.success(request, "Saved.")
    else:
        messages.error(request, " ".join(str(error) for error in form.errors["threshold"]))
    return redirect("web:credits")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
