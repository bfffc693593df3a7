"""For support: the proofs of files that went."""

from __future__ import annotations

import re

from django.contrib import admin
from django.db.models import Q

from apps.accounts.records import RecordAdmin, link, one_of
from apps.accounts.sought import MOST_RECORDS, Sought, keys
from apps.jobs.models import Output
from apps.projects.models import Asset, Deletion
from apps.projects.services import as_uuid

NAME = re.compile(r"(assets|jobs)/([0-9a-f-]{36})/")
"""In the media storage, all files lie under the id of what they belong to."""
KINDS = ("result", "matte", "preview", "poster", "video", "background")


@admin.register(Deletion)
class DeletionAdmin(RecordAdmin):
    list_display = ("created_at", "rule", "kind", "size", "detail", "job_id", "asset_id", "request_id")
    list_filter = ("rule", one_of("kind", KINDS), "created_at")
    date_hierarchy = "created_at"
    fields = readonly_fields = (
        "created_at", "rule", "detail", "kind", "name", "size", "sha256", "job", "source", "project", "request_id",
    )  # fmt: skip
    search_help_text = "Job id, id or SHA-256 of the source, SHA-256 of a result, or the file's name in the storage."

    @admin.display(description="job")
    def job(self, proof: Deletion) -> str:
        return link("jobs_job", proof.job_id, proof.job_id)

    @admin.display(description="source")
    def source(self, proof: Deletion) -> str:
        return link("projects_asset", proof.asset_id, proof.asset_id)

    @admin.display(description="project")
    def project(self, proof: Deletion) -> str:
        return link("projects_project", proof.project_id, proof.project_id)

    def condition(self, sought: Sought) -> Q | None:
        """By the two ids that have an index; what else a file is called leads to one of them."""
        if sought.sha256:
            sources = keys(Asset.objects.filter(sha256=sought.sha256))
            results = Output.objects.filter(sha256=sought.sha256).order_by().values_list("job_id", flat=True)
            return Q(asset_id__in=sources) | Q(job_id__in=list(results[:MOST_RECORDS]), sha256=sought.sha256)
        named = NAME.match(sought.text)
        if named and (pk := as_uuid(named[2])):
            return Q(**{"asset_id" if named[1] == "assets" else "job_id": pk}, name=sought.text)
        return Q(job_id=sought.id) | Q(asset_id=sought.id) if sought.id else None
