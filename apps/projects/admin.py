"""For support: projects and the files in them, found by id, by the customer's own id, or by e-mail."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.projects.models import Asset, Project, Upload
from apps.projects.services import asset_url


class ReadOnlyAdmin(admin.ModelAdmin):
    """Searched and read; nobody adds, changes or deletes, superusers included."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ("name", "external_id", "owner", "is_default", "created_at")
    list_filter = ("is_default", "created_at")
    list_select_related = ("owner",)
    search_fields = ("=id", "=external_id", "name", "owner__email", "=owner__id")
    search_help_text = "Project id, external id, name, or the owner's e-mail or id."
    fields = (
        "id", "name", "external_id", "owner", "is_default", "result_days", "source_hours", "defaults", "created_at",
        "deleted_at", "jobs_of_it",
    )  # fmt: skip

    @admin.display(description="jobs")
    def jobs_of_it(self, project: Project) -> str:
        return format_html(
            '<a href="{}?project__id__exact={}">Show</a>', reverse("admin:jobs_job_changelist"), project.pk
        )


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "status", "filename", "size", "owner", "project")
    list_filter = ("kind", "status", "created_at")
    list_select_related = ("owner", "project")
    search_fields = (
        "=id",
        "=sha256",
        "source_url",
        "filename",
        "owner__email",
        "=project__id",
        "=project__external_id",
    )
    search_help_text = "Asset id, sha256, address, file name, project id or external id, or e-mail."
    fields = (
        "id", "created_at", "owner", "project", "kind", "status", "filename", "source_url", "size", "sha256",
        "facts", "error_code", "error", "expires_at", "open",
    )  # fmt: skip

    @admin.display(description="file")
    def open(self, asset: Asset) -> str:
        url = asset_url(asset)
        return format_html('<a href="{}">Open (good for an hour)</a>', url) if url else "deleted"


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Files on their way in; what became an asset is found there, under the same id."""

    list_display = ("created_at", "status", "kind", "filename", "size", "owner", "expires_at")
    list_filter = ("status", "kind", "created_at")
    list_select_related = ("owner",)
    search_fields = ("=id", "filename", "owner__email")
    search_help_text = "Upload id, file name, or e-mail."
    fields = (
        "id", "created_at", "owner", "project_ref", "kind", "status", "filename", "size", "sha256", "part_size",
        "lease_until", "error_code", "error", "expires_at",
    )  # fmt: skip
