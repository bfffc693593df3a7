"""For monitors and load balancers: /health and its two short forms, without a key, and /metrics, with a token.

And the page for what fell out of any other view.
"""

from __future__ import annotations

import sys

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.defaults import server_error
from prometheus_client.exposition import choose_encoder

from apps.api.errors import UNREACHABLE
from apps.ops import checks
from apps.ops.checks import Check
from apps.ops.metrics import registry

AGAIN_SECONDS = 5
"""After which whoever met a part that is away may ask again; a restart takes about as long."""


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
    """Requests can be served here, and somebody works on them: what a load balancer asks before sending any."""
    found = {"database": checks.database(), "queue": checks.queue(), "storage": checks.storage()}
    return answer({**found, "workers": checks.workers()})


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus. Without METRICS_TOKEN there is no such page."""
    if not settings.METRICS_TOKEN:
        raise Http404
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not constant_time_compare(token.strip(), settings.METRICS_TOKEN):
        refused = HttpResponse("Give METRICS_TOKEN as bearer token.", status=401, content_type="text/plain")
        refused["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return refused
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry()), content_type=content_type)


def fault(request: HttpRequest) -> HttpResponse:
    """Django's handler500. A database or cache that is away is no fault: trying again helps, and a monitor may know."""
    if isinstance(sys.exc_info()[1], UNREACHABLE):
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": AGAIN_SECONDS})
    return server_error(request)
