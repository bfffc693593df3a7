"""Pages about you: your programs' keys, and in the sandbox the mail you would have got."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.signing import BadSignature
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.forms import KeyForm, NoticesForm, RotateForm
from apps.accounts.letterbox import letters
from apps.accounts.models import ApiKey
from apps.accounts.requests import SignedInRequest
from apps.accounts.services import change_key, choose_notices, disable_key, enable_key, issue_key, rotate_key
from apps.errors import AppError

SHOWN_ONCE = "shown_once"
"""The cookie that carries a new secret over the redirect: it lies nowhere on the server, and a reload makes no key."""
SHOWN_WITHIN_SECONDS = 60


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: SignedInRequest) -> HttpResponse:
    """The list, once with a secret that was just made; a POST makes a key."""
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = issue_key(request.user, **form.wanted())
        except AppError as refusal:
            _note(form, refusal)
        else:
            return _show_once(request, key, secret)
    context: dict[str, object] = {"form": form, "keys": request.user.api_keys.all()}
    made, context["secret"] = _to_be_shown(request)
    context["made"] = request.user.api_keys.filter(pk=made).first() if made else None
    response = render(request, "accounts/keys.html", context)
    if request.method == "GET" and SHOWN_ONCE in request.COOKIES:
        response.delete_cookie(SHOWN_ONCE, path=request.path)
    return response


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def key(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """One key: what it may do, and its secret's renewal."""
    key = get_object_or_404(ApiKey, pk=key_id, user=request.user)
    form = KeyForm.of(key, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change_key(key, **form.wanted())
        except AppError as refusal:
            _note(form, refusal)
        else:
            messages.success(request, f"{key.name} is changed.")
            return redirect("web:keys")
    return render(request, "accounts/key.html", {"form": form, "key": key, "rotation": RotateForm()})


@login_required
@require_POST
def disable(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, user=request.user)
    if disable_key(key):
        messages.success(request, f"{key.name} is disabled: programs that use it are refused from now on.")
    return redirect("web:keys")


@login_required
@require_POST
def enable(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, user=request.user)
    if enable_key(key):
        messages.success(request, f"{key.name} is enabled: programs that use it are let in again.")
    return redirect("web:keys")


@login_required
@require_POST
def rotate(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, user=request.user)
    form = RotateForm(request.POST)
    if not form.is_valid():
        return render(request, "accounts/key.html", {"form": KeyForm.of(key), "key": key, "rotation": form})
    try:
        secret = rotate_key(key, grace=timedelta(hours=form.cleaned_data["hours"]))
    except AppError as refusal:
        messages.error(request, refusal.message)
        return redirect("web:key", key.pk)
    return _show_once(request, key, secret)


@require_safe
def mail(request: HttpRequest) -> HttpResponse:
    """Registered in the sandbox only, see config/urls.py."""
    folder = Path(settings.EMAIL_FILE_PATH)
    return render(request, "accounts/mail.html", {"letters": letters(folder)})


LETTERS_POLICY = {
    "default-src": "'none'",
    "style-src": "'unsafe-inline'",
    "script-src": "'none'",
    "img-src": "data:",
    "sandbox": True,
}
NO_ICON = '<link rel="icon" href="data:,"></head>'
"""Browsers ask for one of their own accord, and complain that they may not."""


@csp_replace(LETTERS_POLICY)  # type: ignore[arg-type]  # its types know no view with arguments
@require_safe
def mail_html(request: HttpRequest, letter_id: str) -> HttpResponse:
    """A mail as its reader's program shows it: styles of its own, and nothing else, whatever was written into it."""
    html = next((letter.html for letter in letters(Path(settings.EMAIL_FILE_PATH)) if letter.id == letter_id), "")
    if not html:
        raise Http404
    return HttpResponse(html.replace("</head>", NO_ICON, 1))


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
        messages.success(request, "Saved.")
        return redirect("web:notices")
    return render(request, "accounts/notices.html", {"form": form})


def _note(form: KeyForm, refusal: AppError) -> None:
    field = "expires_on" if refusal.param == "expires_at" else refusal.param
    form.add_error(field if field in form.fields else None, refusal.message)


def _show_once(request: SignedInRequest, key: ApiKey, secret: str) -> HttpResponse:
    page = reverse("web:keys")
    response = redirect(page)
    response.set_signed_cookie(
        SHOWN_ONCE,
        f"{key.pk} {secret}",
        salt=_salt(request),
        max_age=SHOWN_WITHIN_SECONDS,
        path=page,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return response


def _to_be_shown(request: SignedInRequest) -> tuple[str, str]:
    try:
        value = request.get_signed_cookie(SHOWN_ONCE, "", salt=_salt(request), max_age=SHOWN_WITHIN_SECONDS) or ""
    except BadSignature:
        value = ""
    key_id, _, secret = value.partition(" ")
    return key_id, secret


def _salt(request: SignedInRequest) -> str:
    """Of this account, so that nobody can be shown a key that is not theirs."""
    return f"key-of-{request.user.pk}"
