"""The small pictures that stand for jobs and projects in lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, Subquery
from django.utils import timezone

from apps.jobs.models import Job, JobQuerySet, Output
from apps.jobs.representation import output_url
from apps.projects.models import Project
from apps.projects.templatetags.clips import here


@dataclass(frozen=True, slots=True)
class Poster:
    url: str
    width: int
    height: int
    is_opaque: bool


KEPT = Output.objects.filter(kind=Output.Kind.POSTER).exclude(file="")


def with_media(jobs: JobQuerySet) -> JobQuerySet:
    """Jobs whose results are kept, by the clock alone: the few of so many that are worth a look at their files."""
    return jobs.filter(expires_at__gt=timezone.now())


def with_posters(rows: JobQuerySet) -> JobQuerySet:
    """One query more for all of a list's jobs."""
    return rows.prefetch_related(Prefetch("outputs", queryset=KEPT.all(), to_attr="posters"))


def of_job(job: Any) -> Poster | None:
    """For a job out of `with_posters`; None where there is none (any more)."""
    return _shown(job, job.posters[0]) if job.posters else None


def of_projects(projects: Iterable[Project]) -> dict[UUID, Poster]:
    """Of each project that has one the newest, in two queries."""
    newest = with_media(Job.objects.filter(Exists(KEPT.filter(job=OuterRef("pk"))), project=OuterRef("pk")))
    chosen = Project.objects.filter(pk__in=[project.pk for project in projects]).values_list(
        Subquery(newest.order_by("-expires_at").values("pk")[:1])
    )
    found = KEPT.filter(job__in=[pk for (pk,) in chosen if pk]).select_related("job__asset")
    posters = ((output.job, _shown(output.job, output)) for output in found)
    return {job.project_id: poster for job, poster in posters if job.project_id and poster}


def _shown(job: Job, output: Output) -> Poster | None:
    url = here(output_url(job, output))
    facts = output.facts
    return Poster(url, facts["width"], facts["height"], facts["alpha_mode"] == "none") if url else None
