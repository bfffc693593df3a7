"""For support: projects and the files in them, found by id, by the customer's own id, by name, or by e-mail."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html

from apps.accounts.admin import OfAccountAdmin
from apps.accounts.records import link, listing, page
from apps.accounts.sought import Sought, among, keys
from apps.projects.models import Asset, Project, Upload
from apps.projects.services import asset_url


def projects_called(text: str) -> list[Any]:
    """By the customer's own id, else by name in whatever case; deleted ones too."""
    by_external_id = keys(Project.objects.filter(external_id=text))
    return by_external_id or keys(Project.objects.filter(name__iexact=text))


@admin.register(Project)
class ProjectAdmin(OfAccountAdmin):
    """Their rows outlive them, so that the records of their jobs can be found by them."""

    belongs_to = "owner"
    rank = 1
    list_display = ("name", "external_id", "owner", "is_default", "created_at", "deleted_at")
    list_filter = ("is_default", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("owner",)
    search_help_text = "Project id, external id, name, or the owner's e-mail or id."
    fields = (
        "id", "name", "external_id", "of", "is_default", "result_days", "source_hours", "defaults", "created_at",
        "deleted_at",
    )  # fmt: skip
    readonly_fields = ("of",)

    def condition(self, sought: Sought) -> Q | None:
        return self.of_account(sought) or among(projects_called(sought.text)) or sought.ids()

    def detail(self, record: Project) -> str:
        parts = (record.external_id, f"of {record.owner}", "deleted" if record.deleted_at else "")
        return " · ".join(filter(None, parts))

    def ways(self, record: Project) -> list[tuple[str, str]]:
        account = [("Account", page("accounts_user", record.owner_id))] if record.owner_id else []
        found = {"Jobs": "jobs_job", "Files": "projects_asset"}
        return [*account, *((words, listing(kind, record.pk)) for words, kind in found.items())]


@admin.register(Asset)
class AssetAdmin(OfAccountAdmin):
    belongs_to = "owner"
    rank = 3
    list_display = ("created_at", "kind", "status", "filename", "size", "owner", "project")
    list_filter = ("kind", "status", "created_at")
    list_select_related = ("owner", "project")
    date_hierarchy = "created_at"
    search_help_text = "File id, SHA-256, project id, external id or name, e-mail or account id."
    fields = readonly_fields = (
        "id", "created_at", "of", "in_project", "kind", "status", "filename", "source_url", "size", "sha256",
        "facts", "error_code", "error", "expires_at", "open",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if sought.sha256:
            return among(keys(Asset.objects.filter(sha256=sought.sha256)))
        if theirs := self.of_account(sought):
            return theirs
        if sought.id and Project.objects.filter(pk=sought.id).exists():
            return Q(project=sought.id)
        return sought.ids()

    def title(self, record: Asset) -> str:
        return record.filename or str(record.pk)

    def detail(self, record: Asset) -> str:
        return f"{record.kind}, {record.status} · of {record.owner}"

    def ways(self, record: Asset) -> list[tuple[str, str]]:
        return [
            ("Jobs with it", listing("jobs_job", record.sha256 or record.pk)),
            ("Deletions", listing("projects_deletion", record.pk)),
        ]

    @admin.display(description="project")
    def in_project(self, asset: Asset) -> str:
        return link("projects_project", asset.project_id, asset.project)

    @admin.display(description="file")
    def open(self, asset: Asset) -> str:
        url = asset_url(asset)
        return format_html('<a href="{}">Open (good for an hour)</a>', url) if url else "deleted"


@admin.register(Upload)
class UploadAdmin(OfAccountAdmin):
    """Files on their way in; what became an asset is found there, under the same id."""

    belongs_to = "owner"

    list_display = ("created_at", "status", "kind", "filename", "size", "owner", "expires_at")
    list_filter = ("status", "kind", "created_at")
    list_select_related = ("owner",)
    search_help_text = "Upload id, e-mail or account id."
    fields = (
        "id", "created_at", "owner", "project_ref", "kind", "status", "filename", "size", "sha256", "part_size",
        "lease_until", "error_code", "error", "expires_at",
    )  # fmt: skip
