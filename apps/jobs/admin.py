"""For support: a job with all that happened to it. Read here; the buttons go through the services."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.accounts.admin import owner
from apps.accounts.models import ApiKey
from apps.accounts.records import RecordAdmin, listing, one_of, page
from apps.accounts.sought import MOST_RECORDS, Sought, among, keys
from apps.credits.amounts import to_credits
from apps.engine.formats import FORMATS
from apps.engine.options import MODELS
from apps.jobs import story, story_page, support
from apps.jobs.models import Job, MetadataWord, Output
from apps.jobs.runner import JOB_CODES
from apps.projects.admin import projects_called
from apps.projects.models import Asset, Project

LARGE = ("quality", "result", "options", "requested", "metadata", "warnings")
"""Of a row, and of no use to a list."""


@admin.register(Job)
class JobAdmin(RecordAdmin):
    rank = 2
    list_display = (
        "created_at", "short_id", "status", "error_code", "owner", "project", "film", "model", "output_format",
        "charge",
    )  # fmt: skip
    list_filter = (
        "status",
        one_of("error_code", JOB_CODES),
        one_of("model", MODELS),
        one_of("output_format", FORMATS),
        "created_at",
    )
    list_select_related = ("owner", "project", "asset")
    search_help_text = (
        "Job id (whole or its first eight characters), request id, project id, external id or name, e-mail or account "
        "id, id of an API key, SHA-256 of source or result, or a value of its metadata."
    )
    date_hierarchy = "created_at"
    buttons = support.BUTTONS

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer(*LARGE)

    def condition(self, sought: Sought) -> Q | None:
        """One index for each way to name a job: asked for several at once, a database may read all of the table."""
        if sought.sha256:
            return _with_hash(sought.sha256)
        if found := owner(sought):
            return Q(owner=found.pk)
        if sought.id and (belongs := _belonging(sought.id)):
            return belongs
        by_id = among(keys(Job.objects.filter(ids))) if (ids := sought.ids()) else None
        return by_id or among(keys(Job.objects.filter(request_id=sought.text))) or _called(sought.text)

    def title(self, record: Job) -> str:
        return f"{str(record.pk)[:8]} {record.status}"

    def detail(self, record: Job) -> str:
        whose = record.owner.email if record.owner else "closed account"
        project = f"{record.project} · " if record.project else ""
        error = f" · {record.error_code}" if record.error_code else ""
        made = f"{record.model} → {record.output_format}"
        return f"{project}{self.film(record)} · {whose} · {made} · charged {to_credits(record.charged)}{error}"

    def account_of(self, record: Job) -> Any:
        return record.owner_id or (record.hold.wallet.user_id if record.hold else None)

    def ways(self, record: Job) -> list[tuple[str, str]]:
        whose = self.account_of(record)
        theirs = {"Their ledger": "credits_ledgerentry", "Their purchases": "credits_purchase"}
        found = [
            ("Account", page("accounts_user", whose)),
            *((words, listing(kind, whose)) for words, kind in theirs.items()),
        ]
        if record.project_id:
            found += [("Project", page("projects_project", record.project_id))]
            found += [("Jobs of the project", listing("jobs_job", record.project_id))]
        if record.asset_id:
            found += [("Source", page("projects_asset", record.asset_id))]
        of_job = {"Ledger lines": "credits_ledgerentry", "Deliveries": "webhooks_delivery", "Mail": "accounts_mail"}
        return [
            *(found if whose else found[1 + len(theirs) :]),
            *((words, listing(kind, record.pk)) for words, kind in of_job.items()),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its story, instead of a form in which nothing can be changed."""
        if request.method != "GET" or not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            missing: HttpResponse = super().change_view(request, object_id)
            return missing
        related = ("asset", "background_asset", "project", "hold__wallet__user", "owner", "api_key", "retried_from")
        job = Job.objects.select_related(*related).prefetch_related("outputs").get(pk=found.pk)
        told = story.Story(job)
        context = {
            **self.admin_site.each_context(request),
            **story_page.context(told),
            "title": f"Job {job.pk}",
            "opts": self.opts,
            "story": told,
            "ways": self.ways(job),
            "buttons": self.pressable(request, job),
            "acts": told.acts if request.user.has_perm("accounts.view_act") else (),
        }
        return TemplateResponse(request, "admin/job.html", context)

    @admin.display(description="id", ordering="pk")
    def short_id(self, job: Job) -> str:
        return str(job.pk)[:8]

    @admin.display(description="source")
    def film(self, job: Job) -> str:
        return (job.asset.filename if job.asset else "") or "no file name"

    @admin.display(description="charged", ordering="charged")
    def charge(self, job: Job) -> float:
        return to_credits(job.charged)


def _with_hash(sha256: str) -> Q | None:
    sources = keys(Asset.objects.filter(sha256=sha256))
    made = [*Output.objects.filter(sha256=sha256).order_by().values_list("job_id", flat=True)[:MOST_RECORDS]]
    return among([*made, *keys(Job.objects.filter(asset__in=sources))])


def _belonging(pk: UUID) -> Q | None:
    """What the id is of: each kind is looked up in its own table, so that jobs are read by the right index."""
    if Project.objects.filter(pk=pk).exists():
        return Q(project=pk)
    if Asset.objects.filter(pk=pk).exists():
        return among(keys(Job.objects.filter(asset=pk)))
    if ApiKey.objects.filter(pk=pk).exists():
        # The newest by the index of what a key spent: a program may have asked for most of all jobs.
        return among(_first(Job.objects.filter(api_key=pk).order_by("-queued_at")))
    output = Output.objects.filter(pk=pk).first()
    return Q(pk=output.job_id) if output else None


def _called(text: str) -> Q | None:
    """By what a customer calls it: the project, or a value of its metadata."""
    projects = projects_called(text)
    if len(projects) == 1:
        return Q(project=projects[0])
    newest = [pk for project in projects[:10] for pk in _newest(project)]
    words = MetadataWord.objects.filter(text=text).order_by().values_list("job_id", flat=True)
    return among([*newest, *words[:MOST_RECORDS]])


def _newest(project: UUID) -> list[UUID]:
    return _first(Job.objects.filter(project=project).order_by("-created_at"))


def _first(rows: QuerySet[Job]) -> list[UUID]:
    return list(rows.values_list("pk", flat=True)[:MOST_RECORDS])
