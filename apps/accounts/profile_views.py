"""Your account on one page, and the browsers that are signed in to it. Passwords and second factors are allauth's."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.forms import NameForm
from apps.accounts.requests import SignedInRequest
from apps.accounts.services import rename


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: SignedInRequest) -> HttpResponse:
    """The way to everything; a POST changes the name."""
    user = request.user
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": user.name})
    if request.method == "POST" and form.is_valid():
        rename(user, form.cleaned_data["name"])
        messages.success(request, "Saved.")
        return redirect("web:account")
    context = {
        "form": form,
        "changing_to": EmailAddress.objects.filter(user=user, verified=False).exclude(email__iexact=user.email).first(),
        "has_second_factor": is_mfa_enabled(user),
        "sessions": len(UserSession.objects.purge_and_list(user)),
        "keys": user.api_keys.filter(disabled_at=None).count(),
    }
    return render(request, "accounts/account.html", context)


@login_required
@require_POST
def end_session(request: SignedInRequest) -> HttpResponse:
    """Sign one other browser out."""
    number = request.POST.get("session", "")
    found = UserSession.objects.filter(user=request.user, pk=number).first() if number.isdecimal() else None
    if found is None:
        raise Http404
    if not found.is_current():
        found.end()
        messages.success(request, "That browser is signed out.")
    return redirect("usersessions_list")
