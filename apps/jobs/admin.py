"""For support: a job with all that happened to it. Read here; the two actions go through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from apps.credits.amounts import to_credits
from apps.engine.report import in_short
from apps.errors import AppError
from apps.jobs import services
from apps.jobs.models import Job, JobEvent, Output
from apps.jobs.representation import output_url
from apps.projects.admin import ReadOnlyAdmin
from apps.projects.services import asset_url
from apps.webhooks.models import Delivery


class ReadOnlyInline(admin.TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EventInline(ReadOnlyInline):
    model = JobEvent
    fields = readonly_fields = ("created_at", "name", "attempt", "detail")


class OutputInline(ReadOnlyInline):
    model = Output
    fields = readonly_fields = ("kind", "format", "attempt", "size", "sha256", "facts", "link", "deleted_at")

    @admin.display(description="file")
    def link(self, output: Output) -> str:
        url = output_url(output.job, output)
        return format_html('<a href="{}">Open (good for an hour)</a>', url) if url else "deleted"


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "id", "status", "error_code", "model", "output_format", "owner", "project", "charge")
    list_filter = ("status", "error_code", "model", "output_format", "created_at")
    list_select_related = ("owner", "project")
    search_fields = (
        "=id", "=request_id", "=project__id", "=project__external_id", "owner__email", "=asset__sha256", "video_url",
        "metadata",
    )  # fmt: skip
    search_help_text = (
        "Job id, request id, project id or external id, e-mail, sha256 or address of the source, or metadata."
    )
    date_hierarchy = "created_at"
    inlines = (OutputInline, EventInline)
    actions = ("requeue", "cancel")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id",
                    "owner",
                    "project",
                    "external_id",
                    "request_id",
                    "api_key",
                    "status",
                    "stage",
                    "progress_now",
                )
            },
        ),
        ("Asked", {"fields": ("model", "output_format", "options", "requested", "metadata", "webhook_url")}),
        ("Source", {"fields": ("video_url", "source", "source_sha256", "background_asset")}),
        ("Credits", {"fields": ("estimate", "held", "charge", "held_seconds", "pricing_version", "ledger")}),
        ("Work", {"fields": ("attempt", "worker", "lease_until", "model_version", "device")}),
        ("End", {"fields": ("error_code", "error", "warnings", "quality_now", "result", "deliveries", "retried_from")}),
        ("Times", {"fields": ("created_at", "queued_at", "started_at", "completed_at", "expires_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return super().get_queryset(request).select_related("asset", "project", "hold", "owner", "api_key")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "project__id__exact" or super().lookup_allowed(lookup, value, request)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_job")

    @admin.action(description="Queue again: take from its worker, or ring for it once more", permissions=["operate"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        done = sum(
            services.requeue(job) for job in queryset.filter(status__in=(Job.Status.QUEUED, Job.Status.PROCESSING))
        )
        self.message_user(request, f"{done} of {len(queryset)} jobs queued again.", messages.SUCCESS)

    @admin.action(description="Cancel and give the credits back", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            try:
                services.cancel(job, detail={"by": "support"})
            except AppError as refusal:
                self.message_user(request, f"{job.pk}: {refusal.message}", messages.ERROR)
            else:
                self.message_user(request, f"{job.pk} canceled.", messages.SUCCESS)

    @admin.display(description="external id")
    def external_id(self, job: Job) -> str:
        return (job.project.external_id if job.project else None) or "–"

    @admin.display(description="progress")
    def progress_now(self, job: Job) -> str:
        return f"{job.progress:.0f} % · {job.frames_done} of {job.frames_total} frames"

    @admin.display(description="quality")
    def quality_now(self, job: Job) -> str:
        return in_short(job.quality) if job.quality else "–"

    @admin.display(description="file")
    def source(self, job: Job) -> str:
        if job.asset is None:
            return "–"
        page = reverse("admin:projects_asset_change", args=[job.asset.pk])
        link = format_html('<a href="{}">{}</a>', page, job.asset.filename or job.asset.pk)
        url = asset_url(job.asset)
        return format_html('{} · <a href="{}">open</a>', link, url) if url else format_html("{} · deleted", link)

    @admin.display(description="sha256")
    def source_sha256(self, job: Job) -> str:
        return (job.asset.sha256 if job.asset else "") or "–"

    @admin.display(description="estimated")
    def estimate(self, job: Job) -> float:
        return to_credits(job.estimated)

    @admin.display
    def held(self, job: Job) -> str:
        return f"{to_credits(job.hold.amount)} ({job.hold.state})" if job.hold else "–"

    @admin.display(description="charged", ordering="charged")
    def charge(self, job: Job) -> float:
        return to_credits(job.charged)

    @admin.display
    def ledger(self, job: Job) -> str:
        url = reverse("admin:credits_ledgerentry_changelist")
        return format_html('<a href="{}?q={}">Entries of this job</a>', url, job.pk)

    @admin.display(description="webhooks")
    def deliveries(self, job: Job) -> str:
        rows = Delivery.objects.filter(subject=job.pk).order_by("created_at").values_list("event", "state", "attempts")
        return format_html_join(" · ", "{} {} ({} attempts)", rows) or "–"
