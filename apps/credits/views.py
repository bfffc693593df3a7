"""Pages about money: what things cost, what you have, what was moved, and buying more."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.requests import SignedInRequest
from apps.credits import prices, stripe
from apps.credits.models import Hold, Purchase
from apps.credits.services import open_wallet
from apps.errors import AppError

PAGE = 25


@login_required
@require_safe
def credits(request: SignedInRequest) -> HttpResponse:
    """Balance, what is set aside, packs to buy, and every entry of the ledger."""
    wallet = open_wallet(request.user)
    context = {
        "wallet": wallet,
        "holds": wallet.holds.filter(state=Hold.State.OPEN),
        "page": Paginator(wallet.entries.all(), PAGE).get_page(request.GET.get("page")),
        "packs": prices.current().packs,
        "query": "",
    }
    return render(request, "credits/credits.html", context)


@login_required
@require_POST
def buy(request: SignedInRequest) -> HttpResponse:
    paid = request.build_absolute_uri(reverse("web:paid"))
    unpaid = request.build_absolute_uri(reverse("web:unpaid"))
    try:
        purchase = stripe.checkout(
            request.user,
            request.POST.get("pack", ""),
            success_url=f"{paid}?session={{CHECKOUT_SESSION_ID}}",
            cancel_url=unpaid,
        )
    except AppError as problem:
        messages.error(request, problem.message)
        return redirect("web:credits")
    # Not straight to Stripe: the content security policy lets forms end on this site only.
    return render(request, "credits/leaving.html", {"purchase": purchase})


@login_required
@never_cache
@require_safe
def paid(request: SignedInRequest) -> HttpResponse:
    """Where Stripe sends the buyer back to; the purchase it names is looked up, not believed."""
    session = request.GET.get("session", "")
    purchase = get_object_or_404(Purchase, user=request.user, session_id=session) if session else None
    return redirect("web:purchase", purchase.pk) if purchase else redirect("web:credits")


@login_required
@require_safe
def unpaid(request: SignedInRequest) -> HttpResponse:
    messages.info(request, "You left the payment page. Nothing was bought and nothing was charged.")
    return redirect("web:credits")


@login_required
@never_cache
@require_safe
def purchase(request: SignedInRequest, purchase_id: UUID) -> HttpResponse:
    """How a purchase stands, asked of Stripe while it is open; the page asks again by itself."""
    found = get_object_or_404(Purchase, pk=purchase_id, user=request.user)
    problem = None
    if found.status == Purchase.Status.OPEN:
        try:
            stripe.converge(found.pk)
        except AppError as refusal:
            problem = refusal
    found.refresh_from_db()
    context = {"purchase": found, "problem": problem, "wallet": open_wallet(request.user)}
    return render(request, "credits/purchase.html", context)
