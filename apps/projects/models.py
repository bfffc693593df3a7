"""What you bring: projects, and the files in them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.files.storage import storages
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper

if TYPE_CHECKING:
    from django.core.files.storage import Storage

    from apps.accounts.models import User


def media_storage() -> Storage:
    return storages["media"]


def asset_path(asset: Asset, _filename: str) -> str:
    """Our own name with no user extension: nothing a user typed reaches a path."""
    return f"assets/{asset.id}/source"


class ProjectQuerySet(models.QuerySet["Project"]):
    def for_user(self, user: User | None) -> ProjectQuerySet:
        """The account's own, without those it deleted."""
        return self.filter(owner=user, deleted_at=None)


class Project(models.Model):
    """A container of work; `external_id` is the caller's own name for it.

    The row outlives its deletion, because the records of its jobs name it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="projects")
    name = models.CharField(max_length=120)
    external_id = models.CharField(max_length=200, null=True, blank=True, db_index=True)
    is_default = models.BooleanField(default=False)
    result_days = models.FloatField(null=True, blank=True, help_text="How long results are kept; empty: as the site.")
    source_hours = models.FloatField(null=True, blank=True, help_text="How long sources are kept; empty: as the site.")
    defaults = models.JSONField(default=dict, blank=True, help_text="Fields of a job that are taken when left out.")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("owner", "external_id"), condition=Q(deleted_at=None), name="one_project_per_external_id"
            ),
            models.UniqueConstraint(fields=("owner",), condition=Q(is_default=True), name="one_default_project"),
        )
        indexes = (
            # Support is told a name, and in whatever case.
            models.Index(Upper("name"), name="project_by_name"),
            models.Index(fields=("-created_at",), name="project_by_age"),
            models.Index(fields=("-created_at",), name="project_deleted", condition=Q(deleted_at__isnull=False)),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def results_kept(self) -> timedelta:
        """The site's own time, or the project's where that is shorter."""
        return timedelta(days=min(settings.RESULT_DAYS, self.result_days or settings.RESULT_DAYS))

    @property
    def sources_kept(self) -> timedelta:
        return timedelta(hours=min(settings.SOURCE_HOURS, self.source_hours or settings.SOURCE_HOURS))


class AssetQuerySet(models.QuerySet["Asset"]):
    def for_user(self, user: User) -> AssetQuerySet:
        return self.filter(owner=user)


class Asset(models.Model):
    """One file you brought: a video to cut out, or a picture to lay it over.

    The row, with its facts and sha256, outlives the file.
    """

    class Kind(models.TextChoices):
        VIDEO = "video"
        BACKGROUND = "background"

    class Status(models.TextChoices):
        PENDING = "pending"
        READY = "ready"
        FAILED = "failed"
        DELETED = "deleted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="assets")
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="assets")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.VIDEO)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    file = models.FileField(storage=media_storage, upload_to=asset_path, max_length=300, blank=True)
    filename = models.CharField(
        max_length=255, blank=True, help_text="As the user called it; shown, never used as a path."
    )
    source_url = models.URLField(max_length=2000, blank=True)
    size = models.BigIntegerField(default=0, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    facts = models.JSONField(default=dict, help_text="engine.probe: duration, width, height, fps, has_audio, rotation…")
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    delete_request = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="By which it was to go, with many others."
    )

    objects = AssetQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("-created_at",), name="asset_by_age"),
            models.Index(fields=("kind", "size"), name="asset_stored", condition=~Q(file="")),
            models.Index(fields=("owner", "-created_at"), name="asset_by_owner"),
            # The few among the many: what is not deleted yet, and the pictures.
            models.Index(fields=("status", "-created_at"), name="asset_by_status", condition=~Q(status="deleted")),
            models.Index(fields=("-created_at",), name="asset_pictures", condition=Q(kind="background")),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Deletion(models.Model):
    """The proof that one stored file went: what it was, when, and by which rule. Written with it, never changed.

    It names no person, so that it may outlive them; by the ids, support finds what the file belonged to.
    """

    class Rule(models.TextChoices):
        EXPIRED = "expired", "its time was over"
        NOW = "now", "its owner or support deleted it"
        PROJECT = "project", "its project was deleted"
        ACCOUNT = "account", "its account was deleted"
        ORPHAN = "orphan", "no record named it"
        MISSING = "missing", "its file was found gone"

    rule = models.CharField(max_length=8, choices=Rule.choices)
    detail = models.CharField(max_length=200, blank=True, help_text="The clock that ran out, or who asked.")
    kind = models.CharField(max_length=12, help_text="result, matte, preview, poster, video, background")
    name = models.CharField(max_length=300, help_text="In the media storage.")
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    job_id = models.UUIDField(null=True, blank=True, db_index=True)
    asset_id = models.UUIDField(null=True, blank=True, db_index=True)
    project_id = models.UUIDField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True, help_text="Of the request that asked; empty: a sweep.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        # By their time, and so narrowed to a month: by their ids, all that came after it would have to be passed.
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("rule", "-created_at"), name="deletion_of_rule"),
            models.Index(fields=("kind", "-created_at"), name="deletion_of_kind"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Upload(models.Model):
    """A file on its way in. It becomes the asset of the same id, or everything of it goes again.

    Most come in parts (`part_size` says how large); one that came whole has a row only while it is being stored,
    so that a process that dies there leaves no file that nobody knows of.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        COMPLETING = "completing"
        COMPLETED = "completed"
        FAILED = "failed"
        GOING = "going", "being removed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="uploads")
    project_ref = models.CharField(max_length=200, blank=True, help_text="As named; made when the upload is complete.")
    kind = models.CharField(max_length=10, choices=Asset.Kind.choices, default=Asset.Kind.VIDEO)
    filename = models.CharField(max_length=255, blank=True)
    size = models.BigIntegerField(help_text="Bytes, as promised.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="As promised; empty when nothing was.")
    part_size = models.BigIntegerField(default=0, help_text="Bytes of each part but the last; 0: came whole.")
    store_id = models.CharField(max_length=1024, blank=True, help_text="The store's own name for it.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    lease = models.UUIDField(null=True, blank=True, help_text="Fencing token of the request that completes it.")
    lease_until = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("owner", "status"), name="upload_by_owner"),)

    def __str__(self) -> str:
        return f"upload {self.id}"

    @property
    def key(self) -> str:
        """The name in the media storage that its asset will have."""
        return f"assets/{self.pk}/source"

    @property
    def part_count(self) -> int:
        return -(-self.size // self.part_size)

    def size_of(self, number: int) -> int:
        """Bytes of one part; the last one takes what is left."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)
