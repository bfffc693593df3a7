"""A job as the world sees it: the one JSON that the API answers and webhooks send."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.credits.amounts import to_credits
from apps.credits.models import Hold
from apps.engine.formats import FORMATS
from apps.engine.options import Background, Options
from apps.errors import AppError
from apps.jobs import waiting
from apps.jobs.models import Job, Output
from apps.projects import media
from apps.projects.services import asset_url
from apps.webhooks.models import Delivery

MATTE_TYPE = "video/x-matroska"
SUFFIXES: dict[str, str] = {Output.Kind.PREVIEW: "-preview.mp4", Output.Kind.POSTER: "-poster.webp"}
"""Of what is made for pages; a result's is its format's."""
MOMENTS = ("created_at", "started_at", "completed_at", "expires_at")


def as_json(job: Job) -> dict[str, Any]:
    """One job; see `many` for lists."""
    return many([job])[0]


def many(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Several jobs in a fixed number of queries; give it `Job.objects.with_details()`."""
    queued = [job.pk for job in jobs if job.status == Job.Status.QUEUED and job.stage == Job.Stage.WAITING]
    outlooks = waiting.outlook(queued)
    told = _webhook_events([job.pk for job in jobs])
    return [_one(job, outlook=outlooks.get(job.pk), webhook_events=told[job.pk]) for job in jobs]


def quality(job: Job) -> dict[str, Any]:
    """The report on the job's matte over time; refused, with the reason, while or where there is none."""
    if not job.is_final:
        raise AppError("conflict", f"The job is still {job.status}: its quality is known once it is completed.")
    if job.status != Job.Status.COMPLETED:
        raise AppError("not_found", f"The job was {job.status}: without a result there is no quality to report.")
    if job.quality is None:
        raise AppError("not_found", "This job is older than quality reports. Retry it to get one.")
    return dict(job.quality)


def options_of(job: Job) -> Options:
    """What was asked of the engine, as frozen with the job."""
    return Options.from_dict({**job.options, "model": job.model, "format": job.output_format})


def download_name(job: Job, suffix: str) -> str:
    """What a result is called on the user's disk: their name for the source, then ours."""
    source = job.asset.filename.rsplit(".", 1)[0] if job.asset and job.asset.filename else str(job.pk)
    return f"{source}-cutout{suffix}"


def output_url(job: Job, output: Output) -> str | None:
    """A fresh signed address; None when the file has been deleted."""
    if not output.file:
        return None
    if output.kind == Output.Kind.MATTE:
        filename, content_type = download_name(job, "-matte.mkv"), MATTE_TYPE
    else:
        row = FORMATS[output.format]
        suffix = SUFFIXES.get(output.kind, row.suffix)
        filename, content_type = download_name(job, suffix), row.content_type
    return media.url(str(output.file.name), filename=filename, content_type=content_type)


def _one(job: Job, *, outlook: waiting.Outlook | None, webhook_events: dict[str, str]) -> dict[str, Any]:
    outputs = [_output(job, output) for output in job.outputs.all() if output.kind != Output.Kind.POSTER]
    result = next((output for output in outputs if output["kind"] == Output.Kind.RESULT), None)
    options = options_of(job)
    is_failed = job.status == Job.Status.FAILED
    return {
        "id": str(job.pk),
        "job_id": str(job.pk),
        "status": job.status,
        "progress": round(job.progress, 1),
        "stage": job.stage or None,
        "queue_position": outlook.position if outlook else None,
        "eta_seconds": outlook.seconds if outlook else job.eta_seconds,
        "frames_done": job.frames_done,
        "frames_total": job.frames_total,
        "model": job.model,
        "model_version": job.model_version or None,
        "device": job.device or None,
        "output_format": job.output_format,
        "bg_type": options.background.type,
        "background": _background(job, options.background),
        "preview_duration": options.preview_duration,
        "video_url": job.video_url or None,
        "input": _input(job),
        "output_url": result["url"] if result else None,
        "outputs": outputs,
        "error": (job.error or job.error_code) if is_failed else None,
        "error_code": job.error_code if is_failed else None,
        "credits": _credits(job),
        "warnings": job.warnings,
        "project": _project(job),
        "metadata": job.metadata,
        "webhook_url": job.webhook_url or None,
        "webhook_events": webhook_events,
        "pricing_version": job.pricing_version,
        "retried_from": str(job.retried_from_id) if job.retried_from_id else None,
        **{name: _moment(getattr(job, name)) for name in MOMENTS},
    }


def _credits(job: Job) -> dict[str, int | float]:
    held = job.hold.amount if job.hold and job.hold.state == Hold.State.OPEN else 0
    return {"estimated": to_credits(job.estimated), "held": to_credits(held), "charged": to_credits(job.charged)}


def _output(job: Job, output: Output) -> dict[str, Any]:
    facts = ("width", "height", "frames", "duration", "alpha_mode", "has_audio")
    return {
        "id": str(output.pk),
        "kind": output.kind,
        "format": output.format,
        "url": output_url(job, output),
        "bytes": output.size,
        "sha256": output.sha256,
        **{name: output.facts.get(name) for name in facts},
    }


def _background(job: Job, background: Background) -> dict[str, Any]:
    picture = job.background_asset
    return {
        "type": background.type,
        "color": "#{:02x}{:02x}{:02x}".format(*background.color) if background.color else None,
        "image_url": (picture.source_url or asset_url(picture) or None) if picture else None,
        "image_id": str(picture.pk) if picture else None,
        "fit": background.fit if background.type == "image" else None,
    }


def _input(job: Job) -> dict[str, Any] | None:
    """What was found in the source; null until it has been fetched and probed."""
    if job.asset is None or not job.asset.facts:
        return None
    return {**job.asset.facts, "bytes": job.asset.size, "sha256": job.asset.sha256}


def _project(job: Job) -> dict[str, Any] | None:
    if job.project is None:
        return None
    return {"id": str(job.project.pk), "name": job.project.name, "external_id": job.project.external_id}


def _webhook_events(job_ids: Sequence[UUID]) -> defaultdict[UUID, dict[str, str]]:
    """Per job, event → how it stands: `pending` until every receiver is settled, `sent` where all of them took it."""
    told: defaultdict[UUID, dict[str, str]] = defaultdict(dict)
    rows = Delivery.objects.filter(subject__in=job_ids).order_by("created_at")
    for subject, event, state in rows.values_list("subject", "event", "state"):
        if subject is not None:
            before = told[subject].get(event, state)
            told[subject][event] = min(before, state, key=("pending", "failed", "sent").index)
    return told


def _moment(when: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, as in every answer of the API."""
    return when.isoformat().replace("+00:00", "Z") if when else None
