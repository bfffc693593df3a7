"""The staff's page of models: what is installed under which licence, what its self-test said, and its speed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.engine.options import MODELS
from apps.jobs.models import Job
from apps.ops.management.commands.models import description

RECENT_JOBS = 100
"""Of each model: enough to smooth out odd clips, few enough to follow a change of machine."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one model was on one host's device."""

    model: str
    host: str
    device: str
    jobs: int
    frames_per_second: float
    seconds_per_second: float
    """Of video."""


def paces() -> Iterator[Pace]:
    """From the newest finished jobs; a query a model, over an index."""
    for model in MODELS:
        done = Job.objects.filter(status=Job.Status.COMPLETED, model=model, completed_at__isnull=False)
        groups: defaultdict[tuple[str, str], list[tuple[float, int, float]]] = defaultdict(list)
        fields = ("worker", "device", "started_at", "completed_at", "frames_done", "result__decoded_seconds")
        newest = done.order_by("-completed_at").values_list(*fields)[:RECENT_JOBS]
        for worker, device, began, ended, frames, seconds in newest:
            if began and ended and ended > began:
                host = worker.rpartition(":")[0]
                groups[host, device].append(((ended - began).total_seconds(), frames, seconds or 0.0))
        for (host, device), jobs in sorted(groups.items()):
            worked, frames, seconds = (sum(column) for column in zip(*jobs, strict=True))
            yield Pace(model, host, device, len(jobs), frames / worked, seconds / worked)


@require_safe
def models_page(request: HttpRequest) -> HttpResponse:
    """The admin site lets only staff with their second factor in."""
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Models",
        "found": description(),
        "paces": list(paces()),
        "licences": settings.MODEL_LICENCES,
    }
    return render(request, "ops/models.html", context)
