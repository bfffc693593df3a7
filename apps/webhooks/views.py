"""The page on being told: the secret that your deliveries are signed with."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.requests import SignedInRequest
from apps.webhooks import signing


@login_required
@never_cache
@require_safe
def secret(request: SignedInRequest) -> HttpResponse:
    return render(request, "webhooks/secret.html", {"secret": signing.of_account(request.user).secret})
