"""Pages on being told: endpoints, their secrets, and a log of every delivery and attempt."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.requests import SignedInRequest
from apps.api.pagination import NarrowPaginator
from apps.errors import AppError
from apps.webhooks import services, signing
from apps.webhooks.forms import EndpointForm, LogFilter, RotateForm
from apps.webhooks.models import ALL_EVENTS, Delivery, Endpoint, SigningSecret

PAGE = 20


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: SignedInRequest) -> HttpResponse:
    """The endpoints; a POST makes one."""
    form = EndpointForm(request.POST if request.method == "POST" else None, initial={"events": [ALL_EVENTS]})
    if request.method == "POST" and form.is_valid():
        try:
            endpoint, _ = services.create_endpoint(request.user, **form.cleaned_data)
        except AppError as refusal:
            form.add_error("url", refusal.message)
        else:
            messages.success(request, "The endpoint is made. Give its secret to your program, then send it a test.")
            return redirect("web:webhook", endpoint.pk)
    return _list(request, form)


@login_required
@never_cache
@require_POST
def account_secret(request: SignedInRequest) -> HttpResponse:
    """The list again, with the secret for receivers of single jobs in this one answer."""
    secret = signing.of_account(request.user).secret
    return _list(request, EndpointForm(initial={"events": [ALL_EVENTS]}), secret=secret)


@login_required
@require_POST
def rotate_account_secret(request: SignedInRequest) -> HttpResponse:
    _rotate(request, signing.of_account(request.user))
    return redirect("web:webhooks")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    """One endpoint with its log; a POST changes it."""
    endpoint = _own(request, endpoint_id)
    form = EndpointForm.of(endpoint, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        services.change_endpoint(endpoint, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("web:webhook", endpoint.pk)
    return _one(request, endpoint, form)


@login_required
@never_cache
@require_POST
def secret(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    """The endpoint's page, with its secret in this one answer."""
    endpoint = _own(request, endpoint_id)
    return _one(request, endpoint, EndpointForm.of(endpoint), secret=endpoint.signing.secret)


@login_required
@require_POST
def rotate(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _own(request, endpoint_id)
    _rotate(request, endpoint.signing)
    return redirect("web:webhook", endpoint.pk)


@login_required
@require_POST
def enable(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _own(request, endpoint_id)
    services.enable_endpoint(endpoint)
    messages.success(request, "Enabled. What was on its way to it can be sent again from its log.")
    return redirect("web:webhook", endpoint.pk)


@login_required
@require_POST
def disable(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _own(request, endpoint_id)
    services.disable_endpoint(endpoint)
    messages.success(request, "Disabled. It is told nothing more until you enable it.")
    return redirect("web:webhook", endpoint.pk)


@login_required
@require_POST
def test(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _own(request, endpoint_id)
    return redirect("web:webhook-delivery", services.send_test(endpoint).pk)


@login_required
@require_POST
def delete(request: SignedInRequest, endpoint_id: UUID) -> HttpResponse:
    services.delete_endpoint(_own(request, endpoint_id))
    messages.success(request, "The endpoint is deleted.")
    return redirect("web:webhooks")


@login_required
@require_safe
def deliveries(request: SignedInRequest) -> HttpResponse:
    """Everything that was sent for the account, to endpoints and to receivers of single jobs."""
    return render(request, "webhooks/deliveries.html", _log(request, _deliveries(request)))


@login_required
@require_safe
def delivery(request: SignedInRequest, delivery_id: UUID) -> HttpResponse:
    row = get_object_or_404(_deliveries(request).prefetch_related("attempt_set"), pk=delivery_id)
    body = json.dumps(json.loads(row.body), ensure_ascii=False, indent=2)
    return render(request, "webhooks/delivery.html", {"delivery": row, "body": body})


@login_required
@require_POST
def replay(request: SignedInRequest, delivery_id: UUID) -> HttpResponse:
    row = get_object_or_404(_deliveries(request), pk=delivery_id)
    try:
        services.replay(row)
    except AppError as refusal:
        messages.error(request, refusal.message, extra_tags="bad")
    return redirect("web:webhook-delivery", row.pk)


def _own(request: SignedInRequest, endpoint_id: UUID) -> Endpoint:
    return get_object_or_404(Endpoint.objects.for_user(request.user).select_related("signing", "user"), pk=endpoint_id)


def _deliveries(request: SignedInRequest) -> QuerySet[Delivery]:
    return Delivery.objects.for_user(request.user).select_related("endpoint")


def _list(request: SignedInRequest, form: EndpointForm, **context: Any) -> HttpResponse:
    newest = Delivery.objects.filter(endpoint=OuterRef("pk")).order_by("-created_at")
    own = Endpoint.objects.for_user(request.user)
    endpoints = own.annotate(last_at=Subquery(newest.values("created_at")[:1]))
    account = signing.of_account(request.user)
    said = {"endpoints": endpoints, "form": form, "signing": account, "rotation": RotateForm(), **context}
    return render(request, "webhooks/webhooks.html", said)


def _one(request: SignedInRequest, endpoint: Endpoint, form: EndpointForm, **context: Any) -> HttpResponse:
    log = _log(request, endpoint.deliveries.select_related("endpoint"))
    said = {"endpoint": endpoint, "words": services.words(endpoint), "signing": endpoint.signing}
    return render(request, "webhooks/webhook.html", {**log, **said, "form": form, "rotation": RotateForm(), **context})


def _log(request: SignedInRequest, rows: QuerySet[Delivery]) -> dict[str, Any]:
    log = LogFilter(request.GET)
    page = NarrowPaginator(rows.filter(**log.asked).order_by("-created_at", "id"), PAGE).get_page(
        request.GET.get("page")
    )
    query = "".join(f"{name}={value}&" for name, value in log.asked.items())
    # Worth asking again soon: something waits that no attempt has been made of, or is being sent just now.
    moves = any(row.state == Delivery.State.PENDING and (row.sending_until or not row.attempts) for row in page)
    return {"log": log, "page": page, "query": query, "moves": moves}


def _rotate(request: SignedInRequest, kept: SigningSecret) -> None:
    form = RotateForm(request.POST)
    if form.is_valid():
        signing.rotate(kept, overlap=form.hours)
        messages.success(request, "There is a new secret. Give it to your program before the old one ends.")
