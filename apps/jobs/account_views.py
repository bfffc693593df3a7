"""The two pages about all that is held about you: take a copy of it, or have it deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q, Sum
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.accounts import closing
from apps.accounts.forms import LeaveForm
from apps.accounts.models import DataRequest, User
from apps.accounts.requests import SignedInRequest
from apps.credits.models import Wallet
from apps.errors import AppError
from apps.jobs import takeout
from apps.jobs.models import Job, Output
from apps.jobs.retention import UNFINISHED
from apps.projects import archive
from apps.projects.models import Asset

COPIES = 5
COPIES_WITHIN = timedelta(hours=1)
"""Each copy reads all that an account has ever done."""


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def export(request: SignedInRequest) -> HttpResponseBase:
    """Says what is in it; a POST sends it."""
    user = request.user
    taken = DataRequest.objects.filter(user=user, kind=DataRequest.Kind.EXPORT)
    if request.method == "POST":
        if taken.filter(created_at__gt=timezone.now() - COPIES_WITHIN).count() >= COPIES:
            messages.error(request, f"You took {COPIES} copies within an hour. Try again later.")
            return redirect("web:account-export")
        DataRequest.objects.create(user=user, kind=DataRequest.Kind.EXPORT, done_at=timezone.now())
        return archive.answer(takeout.entries(user), filename=f"clearmatte-{timezone.now():%Y-%m-%d}.zip")
    return render(request, "jobs/account_export.html", {"last": taken.first()})


@sensitive_post_parameters("password", "code")
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: SignedInRequest) -> HttpResponse:
    """Says what goes and what stays; a POST with the password, and the code where there is one, shuts the account."""
    user = request.user
    data = request.POST if request.method == "POST" else None
    asked = [LeaveForm(data, request=request)]
    is_them = asked[0].is_valid()
    if is_mfa_enabled(user):
        # Not even looked at beside a wrong password: to look at a recovery code uses it up.
        asked.append(AuthenticateForm(data if is_them else None, user=user))
    if is_them and all(form.is_valid() for form in asked):
        try:
            closing.close(user)
        except AppError as refusal:
            asked[0].add_error(None, refusal.message)
        else:
            logout(request)
            messages.success(request, "Your account is deleted. Its files go within the next minutes.")
            response = redirect("web:home")
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
            return response
    return render(request, "jobs/account_delete.html", {"forms": asked, **_going(user)})


def _going(user: User) -> dict[str, Any]:
    wallet = Wallet.objects.filter(user=user).first()
    is_result = Q(kind=Output.Kind.RESULT)
    files = Output.objects.filter(job__owner=user).exclude(file="")
    outputs = files.aggregate(bytes=Sum("size", default=0), results=Count("pk", filter=is_result))
    sources = (
        Asset.objects.filter(owner=user).exclude(file="").aggregate(bytes=Sum("size", default=0), count=Count("pk"))
    )
    return {
        "is_staff": user.is_staff or user.is_superuser,
        "credits": max(0, wallet.balance) if wallet else 0,
        "running": Job.objects.filter(owner=user, status__in=UNFINISHED).count(),
        "results": outputs["results"],
        "sources": sources["count"],
        "bytes": outputs["bytes"] + sources["bytes"],
        "keys": user.api_keys.count(),
        "webhooks": user.webhook_endpoints.filter(deleted_at=None).count(),
    }
