"""Rows to test with: plain functions, dull defaults."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import prices
from apps.credits import services as credits
from apps.engine.options import Background, Options
from apps.jobs import metadata
from apps.jobs.models import Job, JobEvent, Output
from apps.jobs.pricing import price
from apps.projects.models import Asset, Project

FACTS: dict[str, Any] = {
    "container": "mov,mp4,m4a,3gp,3g2,mj2",
    "video_codec": "h264",
    "pixel_format": "yuv420p",
    "width": 320,
    "height": 180,
    "fps": 25.0,
    "frames": 250,
    "duration": 10.0,
    "rotation": 0,
    "has_audio": True,
    "audio_codec": "aac",
    "audio_channels": 2,
    "audio_rate": 48000,
    "has_alpha": False,
    "is_hdr": False,
    "is_interlaced": False,
    "is_variable_rate": False,
}
"""Ten seconds, so `light` costs 7.5 credits."""


def make_project(owner: User, *, name: str = "Launch film", **fields: Any) -> Project:
    return Project.objects.create(owner=owner, name=name, **fields)


def make_asset(
    owner: User,
    *,
    project: Project | None = None,
    kind: str = "video",
    content: bytes = b"ten dull seconds",
    filename: str = "clip.mp4",
    **facts: Any,
) -> Asset:
    """A READY asset with a stored file; `facts` are laid over ten seconds of 320 × 180."""
    asset = Asset(
        owner=owner,
        project=project,
        kind=kind,
        status=Asset.Status.READY,
        filename=filename,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        facts={**FACTS, **facts},
        expires_at=timezone.now() + timedelta(hours=24),
    )
    asset.file.save("source", ContentFile(content), save=False)
    asset.save(force_insert=True)
    return asset


def make_job(
    owner: User,
    *,
    asset: Asset | None = None,
    project: Project | None = None,
    status: str = "queued",
    model: str = "light",
    output_format: str = "webm",
    background: Background | None = None,
    **fields: Any,
) -> Job:
    """A job in any state with the hold, result and event that belong to it; all but drafts need credits."""
    asset = asset or make_asset(owner, project=project)
    asked = Options(model=model, format=output_format, background=background or Background()).as_dict()
    del asked["model"], asked["format"]
    job = Job(
        id=uuid.uuid4(),
        owner=owner,
        project=project,
        asset=asset,
        video_url="https://example.org/clip.mp4",
        model=model,
        output_format=output_format,
        options=asked,
        requested={"model": model, "output_format": output_format},
        status=status,
        stage={"queued": "waiting", "processing": "processing"}.get(status, ""),
        pricing_version=prices.current().version,
        estimated=price(prices.current().rates[model], asset.facts["duration"]),
        held_seconds=asset.facts["duration"],
    )
    _bring_to(job, owner, fields)
    job.save(force_insert=True)
    metadata.index(job)
    JobEvent.objects.create(job=job, name=status)
    if status == Job.Status.COMPLETED:
        make_output(job)
    return Job.objects.with_details().get(pk=job.pk)


def _bring_to(job: Job, owner: User, fields: dict[str, Any]) -> None:
    """Give a job what its state needs; `fields` win."""
    now = timezone.now()
    if job.status != Job.Status.CREATED:
        job.queued_at = now
        job.hold = credits.hold(owner, job.estimated, key=f"job:{job.pk}", reference=str(job.pk))
    if job.status == Job.Status.PROCESSING:
        job.started_at, job.lease, job.lease_until = now, uuid.uuid4(), now + timedelta(seconds=30)
    if job.status in Job.FINAL:
        job.completed_at = now
    if job.status == Job.Status.COMPLETED:
        job.expires_at = now + timedelta(days=7)
    if job.status == Job.Status.FAILED:
        job.error_code, job.error = "internal_error", "Something went wrong on our side and was noted."
    for name, value in fields.items():
        setattr(job, name, value)
    if job.status == Job.Status.COMPLETED and job.hold:
        job.charged, job.progress, job.started_at = job.hold.amount, 100, now
        credits.capture(job.hold, job.hold.amount)
    elif job.status in Job.FINAL and job.hold:
        credits.release(job.hold)


def make_quality(*, flags: int = 1) -> dict[str, Any]:
    """A report on ten seconds; its edges flicker `flags` times, half a second from each full one."""
    steady = {"score": 100, "verdict": "good", "words": "All is well.", "flags": [], "more_flags": 0}
    moments = [
        {"start": n + 0.5, "end": n + 0.9, "kind": "edge_flicker", "words": "The edge flickers.", "severity": "clear"}
        for n in range(flags)
    ]
    return {
        "version": 1,
        "duration": 10.0,
        "edge_stability": {**steady, "score": 71, "verdict": "fair", "words": "Edges are restless.", "flags": moments},
        "foreground_integrity": steady,
        "temporal_consistency": steady,
        "timeline": [{"t": t, "edge": 100 - 40 * (t == 5), "integrity": 100, "consistency": 100} for t in range(10)],
    }


def make_output(
    job: Job, *, kind: str = "result", content: bytes = b"a cutout", format_: str = "", **facts: Any
) -> Output:
    output = Output(
        job=job,
        attempt=job.attempt,
        kind=kind,
        format=format_ or job.output_format,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        facts={
            "width": 320,
            "height": 180,
            "frames": 250,
            "duration": 10.0,
            "alpha_mode": "straight",
            "has_audio": True,
            **facts,
        },
    )
    output.file.save(f"{kind}.webm", ContentFile(content), save=False)
    output.save(force_insert=True)
    return output
