"""What an account used, by day, model, project and key. Counted from jobs that ended, on the day they ended (UTC)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.accounts.models import ApiKey
from apps.credits.amounts import to_credits
from apps.jobs.models import Job
from apps.projects.models import Project

if TYPE_CHECKING:
    from apps.accounts.models import User

MAX_DAYS = 90
AT_ONCE = 7
"""Days of the CSV file: an account may have a thousand rows for each."""
DAY = TruncDate("completed_at", tzinfo=UTC)
FIGURES: dict[str, Any] = {
    "jobs": Count("status"),
    "completed": Count("status", filter=Q(status=Job.Status.COMPLETED)),
    "failed": Count("status", filter=Q(status=Job.Status.FAILED)),
    "canceled": Count("status", filter=Q(status=Job.Status.CANCELED)),
    "seconds": Sum("held_seconds", filter=Q(status=Job.Status.COMPLETED), default=0.0),
    "credits": Sum("charged", default=0),
}
"""What is said of each group of jobs; `seconds` are those of video that was delivered. Counted by a column that the
index job_by_use has: by the key, every row would have to be read."""
COLUMNS = ("date", "model", "project", "project_id", "api_key", "api_key_id", *FIGURES)
"""Of the CSV file."""


def ended(user: User, *, days: int, key: UUID | None = None) -> QuerySet[Job]:
    """The account's jobs that ended in the last `days` days, today included; of one API key, if named."""
    since = midnight(first_day(days))
    jobs = Job.objects.for_user(user).filter(status__in=Job.FINAL, completed_at__gte=since).order_by()
    return jobs.filter(api_key=key) if key else jobs


def first_day(days: int) -> date:
    return timezone.now().astimezone(UTC).date() - timedelta(days=days - 1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def summary(user: User, *, days: int, key: UUID | None = None) -> dict[str, Any]:
    """Totals, and one row for each day, model, project and key; a day without jobs has a row of zeros."""
    jobs = ended(user, days=days, key=key)
    by_day = {row["date"]: row for row in rows(jobs, date=DAY)}
    first, nothing = first_day(days), told(dict.fromkeys(FIGURES, 0))
    dates = [first + timedelta(days=number) for number in range(days)]
    return {
        "days": days,
        "from": first,
        "to": dates[-1],
        "totals": told(jobs.aggregate(**FIGURES)),
        "data": [by_day.get(day, {"date": day, **nothing}) for day in dates],
        "by_model": rows(jobs, model=F("model")),
        "by_project": _with_names(rows(jobs, project_id=F("project_id")), project=Project),
        "by_key": _with_names(rows(jobs, api_key_id=F("api_key_id")), api_key=ApiKey),
    }


def rows(jobs: QuerySet[Job], **by: Any) -> list[dict[str, Any]]:
    """The figures of each group, the dearest first."""
    named = {f"group_{name}": what for name, what in by.items()}
    found = jobs.annotate(**named).values(*named).annotate(**FIGURES).order_by("-credits", "-jobs", *named)
    return [{**{name: row[f"group_{name}"] for name in by}, **told(row)} for row in found]


def _with_names(found: list[dict[str, Any]], **kinds: type[Project] | type[ApiKey]) -> list[dict[str, Any]]:
    """Each row names what it has the id of. Asked once at the end: a join would read all projects of all accounts."""
    for name, kind in kinds.items():
        keys = {row[f"{name}_id"] for row in found} - {None}
        names = {pk: one.name for pk, one in kind._default_manager.only("name").in_bulk(list(keys)).items()}
        for row in found:
            row[name] = names.get(row[f"{name}_id"])
    return found


def told(row: dict[str, Any]) -> dict[str, Any]:
    """The figures as people and programs read them."""
    figures = {name: row[name] for name in FIGURES}
    return {**figures, "seconds": round(row["seconds"], 3), "credits": to_credits(row["credits"])}


def table(user: User, *, days: int) -> Iterator[list[dict[str, Any]]]:
    """The finest cut, for the CSV file: a row for each day, model, project and key together. Read as it is asked for,
    some days at a time."""
    jobs, start = ended(user, days=days), first_day(days)
    cut = {"model": F("model"), "project_id": F("project_id"), "api_key_id": F("api_key_id")}
    for passed in range(0, days, AT_ONCE):
        since, until = (midnight(start + timedelta(days=number)) for number in (passed, passed + AT_ONCE))
        if found := rows(jobs.filter(completed_at__gte=since, completed_at__lt=until), date=DAY, **cut):
            named = _with_names(found, project=Project, api_key=ApiKey)
            yield sorted(named, key=lambda row: (row["date"], row["model"], row["project"] or "", row["api_key"] or ""))


def events(user: User, *, limit: int, key: UUID | None = None) -> list[dict[str, Any]]:
    """The newest calls for a job, however they ended or still stand."""
    jobs = Job.objects.for_user(user).select_related("project", "api_key", "hold")
    jobs = jobs.without_quality().order_by("-created_at", "pk")
    return list(_events((jobs.filter(api_key=key) if key else jobs)[:limit]))


def _events(jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        is_held = job.hold is not None and job.status not in Job.FINAL
        yield {
            "id": job.pk,
            "job_id": job.pk,
            "status": job.status,
            "model": job.model,
            "output_format": job.output_format,
            "project_id": job.project_id,
            "project": job.project.name if job.project else None,
            "api_key_id": job.api_key_id,
            "api_key": job.api_key.name if job.api_key else None,
            "seconds": round(job.held_seconds, 3),
            "credits": to_credits(job.charged),
            "held": to_credits(job.hold.amount) if is_held and job.hold else 0,
            "error_code": job.error_code or None,
            "request_id": job.request_id or None,
            "created_at": job.created_at,
            "completed_at": job.completed_at,
        }
