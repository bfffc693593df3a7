"""Pages where jobs meet money: buying credits for a job that waits, and what was used."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.requests import SignedInRequest
from apps.credits.amounts import from_credits
from apps.credits.services import open_wallet
from apps.credits.views import packs_to_buy, to_payment
from apps.errors import AppError
from apps.jobs import paid, services, tables, usage
from apps.jobs.models import Job
from apps.jobs.representation import options_of
from apps.projects.models import Asset

PERIODS = (7, 30, 90)
"""Days that the usage page offers."""


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def buy_for(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """Packs for a job that waits for credits; once one is paid, the job starts."""
    job = get_object_or_404(Job.objects.for_user(request.user).with_details(), pk=job_id)
    if not paid.waits_for_credits(job):
        return redirect("web:job", job.pk)
    here = reverse("web:job-buy", args=[job.pk])
    if request.method == "POST":
        return to_payment(request, again=here, start_job=job.pk)
    return render(request, "jobs/buy.html", {"job": job, **_missing(request, job)})


def _missing(request: SignedInRequest, job: Job) -> dict[str, Any]:
    """What the job needs at today's prices, what is there, and the smallest pack that makes it enough."""
    wallet, packs = open_wallet(request.user), packs_to_buy()
    said: dict[str, Any] = {"wallet": wallet, "packs": packs}
    if job.asset is None or job.asset.status != Asset.Status.READY:
        return said
    try:
        price = from_credits(services.estimate(request.user, job.asset.facts, options_of(job))["credits"])
    except AppError as refusal:
        return {**said, "problem": refusal}
    needed = max(0, price - wallet.available)
    enough = [pack for pack in packs if pack["credits"] >= needed]
    best = min(enough, key=lambda pack: int(pack["amount"]), default=None)
    return {**said, "price": price, "needed": needed, "best": best["id"] if best else ""}


@login_required
@require_safe
def used(request: SignedInRequest) -> HttpResponse:
    days = _days(request)
    shown = usage.summary(request.user, days=days)
    most = max((row["credits"] for row in shown["data"]), default=0)
    bars = [{**row, "part": round(100 * row["credits"] / most) if most else 0} for row in shown["data"]]
    groups = (
        ("Model", "model", shown["by_model"]),
        ("Project", "project", shown["by_project"]),
        ("Key", "api_key", shown["by_key"]),
    )
    tables = [
        {"title": title, "rows": [{**row, "name": row[name] or NAMELESS[name]} for row in rows]}
        for title, name, rows in groups
    ]
    return render(
        request, "jobs/usage.html", {"usage": shown, "bars": bars, "tables": tables, "days": days, "periods": PERIODS}
    )


NAMELESS = {"model": "", "project": "A project that was deleted", "api_key": "In the browser"}


@login_required
@require_safe
def used_csv(request: SignedInRequest) -> StreamingHttpResponse:
    """A row for each day, model, project and key together."""
    days = _days(request)
    text = tables.as_csv(usage.COLUMNS, usage.table(request.user, days=days))
    response = StreamingHttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="clearmatte-usage-{days}-days.csv"'
    return response


def _days(request: SignedInRequest) -> int:
    try:
        return min(max(int(request.GET.get("days", 30)), 1), usage.MAX_DAYS)
    except ValueError:
        return 30
