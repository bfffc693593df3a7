"""Files that go while their records stay: past their time, on "delete now", or left by a dead attempt."""

from __future__ import annotations

import logging
import math
import re
import shutil
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.errors import AppError
from apps.jobs import newest
from apps.jobs.models import Job, JobQuerySet, Output
from apps.projects import media, resumable
from apps.projects import services as projects
from apps.projects.models import Asset, Deletion, Project, media_storage

log = logging.getLogger(__name__)

Rule = Deletion.Rule

BATCH = 100
"""Files per sweep, so that a large clean-up does not keep the reconciler from its other work."""

SCRATCH_SECONDS = 3600
"""A folder untouched so long belongs to a process that is gone, unless a lease says otherwise."""

CLAIM_SECONDS = 60
"""The same for the folder of a claim, which nobody may go on with once its lease has gone, and for one whose maker
the kernel knows to be gone; a young one may only just be being made."""

CLAIMED = re.compile(r"[0-9a-f-]{36}-[0-9a-f-]{36}")

UNFINISHED = (Job.Status.QUEUED, Job.Status.PROCESSING)


def delete_media(job: Job) -> Job:
    """Delete a finished job's results now, and its source unless another job still has a use for it. Idempotent."""
    if not job.is_final:
        raise AppError("conflict", f"The job is still {job.status}: cancel it first.")
    newest.forget(job.pk)
    _delete_outputs(Output.objects.filter(job=job), rule=Rule.NOW)
    for asset in (job.asset, job.background_asset):
        if asset is not None and not _jobs_with_use_for(asset).exclude(pk=job.pk).exists():
            _delete_source(asset, rule=Rule.NOW)
    return Job.objects.with_details().get(pk=job.pk)


def delete_expired(project: Project | None = None) -> int:
    """Delete results and sources past their time, or of deleted projects; how many files went. Safe to run twice."""
    now = timezone.now()
    outputs = Output.objects.filter(Q(job__expires_at__lt=now) | Q(job__project__deleted_at__isnull=False))
    is_over = Q(expires_at__lt=now) | Q(status=Asset.Status.DELETED) | Q(project__deleted_at__isnull=False)
    sources = Asset.objects.filter(is_over).exclude(jobs__status__in=UNFINISHED)
    if project is not None:
        outputs, sources = outputs.filter(job__project=project), sources.filter(project=project)
    return delete_batch(outputs, sources)


def delete_batch(outputs: QuerySet[Output], sources: QuerySet[Asset], *, rule: str = "") -> int:
    """Delete some of these files, but no source that an unfinished job needs; how many. 0: there is nothing left.

    Without a rule it is each file's clock's, or its project's.
    """
    count = _delete_outputs(outputs.exclude(file="").select_related("job__project")[:BATCH], rule=rule)
    # One that no job came to fetch has no file, but it goes as well: nobody waits for it any more. Asked for apart and
    # in no order, or a database looks for the few of either kind through all that there ever were.
    for rows in (sources.exclude(file=""), sources.filter(file="", status=Asset.Status.PENDING)):
        for asset in rows.order_by().select_related("project")[:BATCH]:
            count += _delete_source(asset, rule=rule)
    return count


def rule_for(
    project: Project | None, expires_at: datetime | None, *, is_result: bool, asked_by: str = ""
) -> tuple[str, str]:
    """Why a sweep takes a file: the request that asked for it, or which clock said so."""
    if asked_by:
        return Rule.NOW, "with many others, of which this was left for later"
    if project and project.deleted_at:
        return Rule.PROJECT, ""
    if expires_at is None or expires_at > timezone.now():
        return Rule.NOW, "a deletion that was interrupted"
    own = (project.result_days if is_result else project.source_hours) if project else None
    if is_result:
        kept, whose = f"{min(own or math.inf, settings.RESULT_DAYS):g} days", "results"
    else:
        kept, whose = f"{min(own or math.inf, settings.SOURCE_HOURS):g} hours", "sources"
    return (
        Rule.EXPIRED,
        f"{'the project' if own else 'the site'} keeps {whose} {kept}; until {expires_at:%Y-%m-%d %H:%M} UTC",
    )


def discard_attempt(job_id: UUID, attempt: int) -> int:
    """Delete what a lost attempt had stored; how many files. Delivered files are never touched."""
    storage, folder = media_storage(), f"jobs/{job_id}/{attempt}"
    try:
        _, files = storage.listdir(folder)
    except FileNotFoundError:
        return 0
    kept = set(Output.objects.filter(job_id=job_id).values_list("file", flat=True))
    names = [name for name in (f"{folder}/{file}" for file in files) if name not in kept]
    for name in names:
        storage.delete(name)
    return len(names)


def discard_scratch(job_id: UUID, lease: UUID | None) -> None:
    """Remove what a lost attempt had on this machine's disk; the next one works in a folder of its own."""
    shutil.rmtree(Path(settings.SCRATCH_DIR) / f"{job_id}-{lease}", ignore_errors=True)


def sweep_scratch() -> int:
    """Remove folders and half-received uploads of processes that are gone; how many."""
    leases = Job.objects.filter(lease__isnull=False).values_list("pk", "lease")
    in_use = {f"{job_id}-{lease}" for job_id, lease in leases}
    removed = 0
    for path in Path(settings.SCRATCH_DIR).iterdir():
        is_ingest = path.name.startswith(projects.INGEST)
        spared = CLAIM_SECONDS if is_ingest or CLAIMED.fullmatch(path.name) else SCRATCH_SECONDS
        try:
            is_old = time.time() - path.stat().st_mtime > spared
        except FileNotFoundError:
            continue
        if path.name in in_use or not is_old or (is_ingest and not projects.is_abandoned(path)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def sweep_uploads() -> int:
    """Remove unfinished uploads whose time is over, with their parts, wherever those lie; how many."""
    return resumable.sweep()


def _delete_outputs(outputs: Iterable[Output], *, rule: str = "") -> int:
    """Without a rule it is the clock's, or the project's."""
    return sum(_delete_output(output, rule) for output in outputs if output.file)


def _delete_output(output: Output, rule: str) -> bool:
    name, job = str(output.file.name), output.job
    asked_by = "" if rule else job.delete_request
    because = (rule, "") if rule else rule_for(job.project, job.expires_at, is_result=True, asked_by=asked_by)
    media.remove(name)
    with transaction.atomic():
        if not Output.objects.filter(pk=output.pk).exclude(file="").update(file="", deleted_at=timezone.now()):
            return False
        about: dict[str, Any] = {"kind": output.kind, "name": name, "size": output.size, "sha256": output.sha256}
        projects.prove(*because, asked_by=asked_by, job_id=job.pk, project_id=job.project_id, **about)
    log.info("job=%s kind=%s bytes=%s file deleted rule=%s", job.pk, output.kind, output.size, because[0])
    return True


def _delete_source(asset: Asset, *, rule: str = "") -> bool:
    """Under the asset's lock, which a job that is just being queued takes too: none is queued for a file that goes."""
    with transaction.atomic():
        locked = Asset.objects.select_for_update().get(pk=asset.pk)
        if locked.jobs.filter(status__in=UNFINISHED).exists() or _is_background_in_use(locked):
            return False
        is_there = Q(status__in=(Asset.Status.READY, Asset.Status.PENDING))
        Asset.objects.filter(is_there, pk=asset.pk).update(status=Asset.Status.DELETED)
    asked_by = "" if rule else asset.delete_request
    because = (rule, "") if rule else rule_for(asset.project, asset.expires_at, is_result=False, asked_by=asked_by)
    gone = projects.delete_file(locked, rule=because[0], detail=because[1], asked_by=asked_by)
    if gone:
        log.info("asset=%s bytes=%s file deleted rule=%s", asset.pk, asset.size, because[0])
    return gone


def _is_background_in_use(asset: Asset) -> bool:
    return Job.objects.filter(background_asset=asset, status__in=UNFINISHED).exists()


def _jobs_with_use_for(asset: Asset) -> JobQuerySet:
    """Jobs that are not over, or whose results are still there: their owner may want to retry one of them."""
    related = Job.objects.filter(Q(asset=asset) | Q(background_asset=asset))
    has_results = Q(outputs__isnull=False, outputs__deleted_at=None)
    return related.filter(Q(status__in=(Job.Status.CREATED, *UNFINISHED)) | has_results).distinct()
