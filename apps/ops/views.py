"""/health and its two short forms, for monitors and load balancers; no key needed."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.ops import checks
from apps.ops.checks import Check


def answer(found: dict[str, Check]) -> JsonResponse:
    is_ok = all(check.ok for check in found.values())
    body = {
        "status": "ok" if is_ok else "unavailable",
        "version": settings.VERSION,
        "checks": {name: check.as_dict() for name, check in found.items()},
    }
    response = JsonResponse(body, status=200 if is_ok else 503)
    # The checks logged what is wrong; Django would add an error line for every question asked.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Everything a job needs, workers and models included."""
    return answer(checks.all_checks())


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """This process answers; nothing else is asked, so a restart is the right reaction to silence."""
    return answer({})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Requests can be served here: what a load balancer asks before sending any."""
    return answer({"database": checks.database(), "queue": checks.queue(), "storage": checks.storage()})
