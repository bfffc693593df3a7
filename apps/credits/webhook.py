"""The door for Stripe's events."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.credits import stripe
from apps.errors import AppError


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> JsonResponse:
    """Anything but 2xx makes Stripe send the event again, for three days."""
    try:
        stripe.receive_webhook(request.body, request.headers.get("Stripe-Signature", ""))
    except AppError as error:
        return JsonResponse({"error": {"code": error.code, "message": error.message}}, status=error.status)
    return JsonResponse({"received": True})
