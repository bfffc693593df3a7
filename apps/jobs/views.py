"""The pages about jobs: watch one, compare and download, look back; and the two that everybody may read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, retarget

from apps.accounts.requests import SignedInRequest, caller_of
from apps.api import request_id
from apps.api.pagination import NarrowPaginator
from apps.credits import prices
from apps.engine.formats import FORMATS
from apps.errors import AppError
from apps.jobs import newest, services
from apps.jobs.chart import chart
from apps.jobs.choices import format_cards, model_cards
from apps.jobs.forms import HistoryFilter, address_of, more_of
from apps.jobs.models import Job, JobQuerySet
from apps.jobs.player import PLAYED, place_of_original, playing, snippet
from apps.jobs.posters import with_posters
from apps.jobs.representation import as_json, download_name, options_of
from apps.projects.services import asset_url, content_type
from apps.projects.templatetags.clips import here

PAGE = 20


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/home.html", {"models": model_cards(), "prices": prices.current()})


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    context = {
        "models": model_cards(),
        "prices": prices.current(),
        "limits": prices.limits(),
        "formats": format_cards(),
    }
    return render(request, "jobs/pricing.html", context)


@login_required
@never_cache
@require_safe
def job(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    return render(request, "jobs/job.html", _shown(_own(request, job_id)))


@login_required
@never_cache
@require_safe
def status(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """What ticks on the job's page; all of the job when it is no longer in the state that the page shows."""
    job = _own(request, job_id)
    if request.GET.get("seen") == _state(job):
        return render(request, "jobs/_progress.html", _shown(job))
    return reswap(retarget(render(request, "jobs/_changed.html", _shown(job)), "#job"), "outerHTML")


@login_required
@never_cache
@require_safe
def newest_frame(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """A small picture of what was just cut out, while the work goes on."""
    job = get_object_or_404(Job.objects.for_user(request.user), pk=job_id, status=Job.Status.PROCESSING)
    picture = newest.get(job.pk)
    if picture is None:
        raise Http404
    return HttpResponse(picture, content_type="image/webp")


@login_required
@require_POST
def start(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    return _act(request, job_id, services.start)


@login_required
@require_POST
def cancel(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    return _act(request, job_id, services.cancel)


@login_required
@require_POST
def retry(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    return _act(request, job_id, lambda job: services.retry(job, request_id.of(request), caller=caller_of(request)))


@login_required
@require_POST
def delete_media(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    job = _own(request, job_id)
    services.delete_media(job)
    messages.success(request, "The media of this job are deleted. Its record stays in your history.")
    return redirect("web:job", job.pk)


def _act(request: SignedInRequest, job_id: UUID, act: Callable[[Job], Job]) -> HttpResponse:
    job = _own(request, job_id)
    try:
        after = act(job)
    except AppError as refusal:
        return render(request, "jobs/job.html", {**_shown(_own(request, job_id)), "problem": refusal})
    return redirect("web:job", after.pk)


def _own(request: SignedInRequest, job_id: UUID) -> Job:
    return get_object_or_404(Job.objects.for_user(request.user).with_details(), pk=job_id)


def _shown(job: Job) -> dict[str, Any]:
    """The job as the API tells it, and what only a page needs: the original to compare with."""
    said = as_json(job)
    kept = job.asset if job.asset and job.asset.file else None
    options = options_of(job)
    offset = options.trim[0] if options.trim else 0
    original = asset_url(kept) if kept and content_type(kept).startswith("video/") else ""
    outputs = {output["kind"]: output for output in said["outputs"]}
    return {
        "job": job,
        "said": said,
        "is_preview": options.is_preview,
        "result": outputs.get("result"),
        "matte": outputs.get("matte"),
        **_player(job, outputs),
        "original_url": original,
        "original_place": place_of_original(options, kept.facts) if kept and original else "",
        "source_kept": kept is not None,
        "again": _again(job, said["background"]),
        "has_newest": job.status == Job.Status.PROCESSING and newest.get(job.pk) is not None,
        "offset": offset,
        "fps": _mean_rate(outputs.get("result")),
        **_quality(job, said["output_url"], original, offset),
        "seen": _state(job),
        "steps": _steps(job),
        "format": next((card for card in format_cards() if card.name == job.output_format), None),
    }


def _quality(job: Job, result: str | None, original: str, offset: float) -> dict[str, Any]:
    """The report's rows, and the video in which its moments can be looked at: the result where a browser plays it."""
    if job.status != Job.Status.COMPLETED or job.quality is None:
        return {}
    plays = result if result and job.output_format in PLAYED else ""
    rows = chart(job.quality, offset=0 if plays else offset)
    return {
        "quality": rows,
        "is_calm": any(row["score"] is not None for row in rows) and not any(row["flags"] for row in rows),
        "quality_seconds": job.quality["duration"],
        "seek_url": here(plays or original),
    }


def _player(job: Job, outputs: dict[str, Any]) -> dict[str, Any]:
    shown = playing(outputs.get("result"), outputs.get("preview"))
    row = FORMATS[job.output_format]
    if shown is None or not row.stacked:
        return {"playing": shown}
    return {"playing": shown, "snippet": snippet(download_name(job, row.suffix), shown.width, shown.height)}


def _mean_rate(result: dict[str, Any] | None) -> str:
    """Frames a second of a result, for the script that steps through it; written so that no locale changes it."""
    return f"{result['frames'] / result['duration']:.6f}" if result and result["duration"] else ""


def _again(job: Job, background: dict[str, Any]) -> str:
    """The page for a new cutout of the same clip, opened with what this job was asked, and a preview beside it."""
    options = options_of(job)
    return address_of(
        {
            "asset": job.asset_id,
            "model": job.model,
            "output_format": job.output_format,
            "bg_type": background["type"],
            "bg_color": background["color"],
            "bg_image_id": job.background_asset_id,
            "fit": background["fit"],
            "project": job.project_id,
            "tried": job.pk if options.is_preview else None,
            **more_of(options),
        }
    )


def _state(job: Job) -> str:
    """All that decides which parts the page has."""
    return f"{job.status}-{job.asset.status if job.asset else ''}"


def _steps(job: Job) -> list[tuple[str, str]]:
    """The way a job goes, each stage with the class that says whether it is behind, now or ahead."""
    way = ("waiting", "processing", "verifying", "storing")
    now = way.index(job.stage) if job.stage in way else -1
    names = ("Waiting", "Cutting out", "Checking", "Storing")
    marks = ["is-done" if place < now else "is-now" if place == now else "" for place in range(len(way))]
    return list(zip(names, marks, strict=True))


@login_required
@require_safe
def jobs(request: SignedInRequest) -> HttpResponse:
    history = HistoryFilter(request.GET, user=request.user)
    page = page_of(request, Job.objects.for_user(request.user).filter(**history.asked))
    moving = [job for job in page if not job.is_final and job.status != Job.Status.CREATED]
    return render(
        request, "jobs/jobs.html", {"history": history, "page": page, "query": history.query, "moving": moving}
    )


def page_of(request: SignedInRequest, rows: JobQuerySet) -> Page[Job]:
    shown = with_posters(rows.without_quality().select_related("asset", "project", "hold"))
    return NarrowPaginator(shown, PAGE).get_page(request.GET.get("page"))
