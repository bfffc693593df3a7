"""Pages about you: your programs' keys, and in the sandbox the mail you would have got."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.forms import KeyForm, NoticesForm
from apps.accounts.letterbox import letters
from apps.accounts.models import ApiKey
from apps.accounts.requests import SignedInRequest
from apps.accounts.services import choose_notices, disable_key, issue_key
from apps.errors import AppError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: SignedInRequest) -> HttpResponse:
    """The list; a POST makes a key and is the only answer that ever shows its secret."""
    form = KeyForm(request.POST or None)
    context: dict[str, object] = {"form": form, "keys": request.user.api_keys.all()}
    if request.method == "POST" and form.is_valid():
        try:
            context["made"], context["secret"] = issue_key(request.user, name=form.cleaned_data["name"])
            context["form"] = KeyForm()
        except AppError as refusal:
            form.add_error("name", refusal.message)
    return render(request, "accounts/keys.html", context, status=201 if "secret" in context else 200)


@login_required
@require_POST
def disable(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, user=request.user)
    if disable_key(key):
        messages.success(request, f"{key.name} is disabled: programs that use it are refused from now on.")
    return redirect("web:keys")


@require_safe
def mail(request: HttpRequest) -> HttpResponse:
    """Registered in the sandbox only, see config/urls.py."""
    folder = Path(settings.EMAIL_FILE_PATH)
    return render(request, "accounts/mail.html", {"letters": letters(folder)})


LETTERS_POLICY = {"default-src": "'none'", "style-src": "'unsafe-inline'", "script-src": "'none'", "sandbox": True}


@csp_replace(LETTERS_POLICY)  # type: ignore[arg-type]  # its types know no view with arguments
@require_safe
def mail_html(request: HttpRequest, letter_id: str) -> HttpResponse:
    """A mail as its reader's program shows it: styles of its own, and nothing else, whatever was written into it."""
    html = next((letter.html for letter in letters(Path(settings.EMAIL_FILE_PATH)) if letter.id == letter_id), "")
    if not html:
        raise Http404
    return HttpResponse(html)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def notices(request: SignedInRequest) -> HttpResponse:
    """Which mails you want."""
    user = request.user
    now = {name: getattr(user, name) for name in NoticesForm.base_fields}
    form = NoticesForm(request.POST if request.method == "POST" else None, initial=now)
    if request.method == "POST" and form.is_valid():
        choose_notices(user, **form.cleaned_data)
        messages.success(request, "Kept.")
        return redirect("web:notices")
    return render(request, "accounts/notices.html", {"form": form})
