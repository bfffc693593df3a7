"""What jobs have to do with the project they are in: its defaults for them, how long it keeps them, and its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import User
from apps.errors import AppError
from apps.jobs import endings, retention
from apps.jobs.models import Job
from apps.jobs.options import FIELDS, merge, parse_request, refusal
from apps.projects import services as projects
from apps.projects.models import Asset, Project

log = logging.getLogger(__name__)

OF_ONE_JOB = ("video_url", "video_id", "project", "auto_start", "metadata", "trim", "preview_duration")
"""Fields that belong to one clip or one call, so that a project has no default for them."""


def with_defaults(user: User, given: Mapping[str, Any]) -> dict[str, Any]:
    """A request with its project's defaults under it; what the caller says of a background replaces all of one."""
    ref = given.get("project")
    if ref is not None and not isinstance(ref, str):
        return dict(given)  # will be refused by its name
    defaults = projects.named_project(user, ref).defaults
    return merge(defaults, {name: value for name, value in given.items() if value is not None})


def check_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what no job could take; the refusal names the field within `defaults`."""
    for name in defaults:
        if name not in FIELDS or name in OF_ONE_JOB:
            raise refusal(f"defaults.{name} is nothing that a project can decide for its jobs.", f"defaults.{name}")
    try:
        parse_request(defaults, needs_video=False)
    except AppError as error:
        raise AppError(error.code, f"defaults: {error.message}", param=f"defaults.{error.param}") from error
    return dict(defaults)


def change(project: Project, **changes: Any) -> Project:
    """Change a project; a shorter time to keep things holds for what is there already, too."""
    with transaction.atomic():
        project = projects.change_project(project, **changes)
        if project.result_days:
            end = F("completed_at") + project.results_kept
            Job.objects.filter(project=project, expires_at__gt=end).update(expires_at=end)
        if project.source_hours:
            end = F("created_at") + project.sources_kept
            Asset.objects.filter(project=project, expires_at__gt=end).update(expires_at=end)
    return project


def delete(project: Project) -> None:
    """Cancel what is unfinished, delete the media, hide the project; the records of its jobs stay. Idempotent."""
    if project.is_default:
        raise AppError("conflict", "The default project cannot be deleted: it takes what names no other.")
    for job in Job.objects.filter(project=project, status__in=(Job.Status.CREATED, *retention.UNFINISHED)):
        # One that ended just now needs no cancel.
        with suppress(AppError):
            endings.cancel(job, detail={"by": "project deleted"})
    now = timezone.now()
    with transaction.atomic():
        Project.objects.filter(pk=project.pk, deleted_at=None).update(deleted_at=now)
        Job.objects.filter(project=project, expires_at__gt=now).update(expires_at=now)
        Asset.objects.filter(project=project, expires_at__gt=now).update(expires_at=now)
    # What is many, or in a store that is away just now, goes with the next sweeps.
    retention.delete_expired(project)
    log.info("project=%s deleted", project.pk)
