"""For support: the proofs of files that went."""

from __future__ import annotations

from django.contrib import admin

from apps.projects.admin import ReadOnlyAdmin
from apps.projects.models import Deletion


@admin.register(Deletion)
class DeletionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "rule", "kind", "size", "detail", "job_id", "asset_id", "request_id")
    list_filter = ("rule", "kind", "created_at")
    search_fields = ("=job_id", "=asset_id", "=project_id", "=sha256", "=name", "=request_id")
    search_help_text = "Job, asset, project or request id, sha256, or the file's name in the storage."
    show_full_result_count = False
