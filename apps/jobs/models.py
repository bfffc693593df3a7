"""What we do for you: a job, what came of it, and everything that happened on the way."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.models import ApiKey
from apps.projects.models import Asset, Project, media_storage

if TYPE_CHECKING:
    from apps.accounts.models import User


def output_path(output: Output, filename: str) -> str:
    """Attempt-scoped, so two attempts at one job never write the same key."""
    return f"jobs/{output.job_id}/{output.attempt}/{filename}"


class JobQuerySet(models.QuerySet["Job"]):
    def for_user(self, user: User) -> JobQuerySet:
        return self.filter(owner=user)

    def with_details(self) -> JobQuerySet:
        """Everything a job's JSON or page shows, in a fixed number of queries."""
        related = self.select_related("asset", "background_asset", "project", "hold").prefetch_related("outputs")
        return related.without_quality()

    def without_quality(self) -> JobQuerySet:
        """Its report is the largest thing on a job, and only one page and one call look at it."""
        return self.defer("quality")


class Job(models.Model):
    """One request for one cutout. The row is the truth; the queue is only the doorbell."""

    class Status(models.TextChoices):
        CREATED = "created"
        QUEUED = "queued"
        PROCESSING = "processing"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELED = "canceled"

    FINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELED)

    class Stage(models.TextChoices):
        FETCHING = "fetching"
        PROBING = "probing"
        WAITING = "waiting"
        PROCESSING = "processing"
        VERIFYING = "verifying"
        STORING = "storing"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # These, and `api_key`, are found by indexes that begin with them, below.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="jobs", db_index=False
    )
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="jobs", db_index=False)
    asset = models.ForeignKey(Asset, null=True, on_delete=models.SET_NULL, related_name="jobs")
    background_asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    retried_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries")

    # What was asked, frozen with the job.
    video_url = models.CharField(max_length=2000, blank=True, help_text="As given.")
    model = models.CharField(max_length=20)
    output_format = models.CharField(max_length=20)
    need = models.CharField(
        max_length=10, default="cpu", db_default="cpu", help_text="Of its worker: preview, cpu or gpu."
    )
    options = models.JSONField(default=dict, help_text="Options.as_dict(): normalised, without model and format.")
    requested = models.JSONField(default=dict, help_text="The request's fields as the caller wrote them.")
    metadata = models.JSONField(default=dict)
    webhook_url = models.URLField(max_length=2000, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    client_address = models.GenericIPAddressField(null=True, blank=True, help_text="Who asked; goes with the account.")
    client_agent = models.CharField(
        max_length=300, blank=True, default="", db_default="", help_text="As the program or browser calls itself."
    )
    api_key = models.ForeignKey(
        ApiKey,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="jobs",
        db_index=False,
        verbose_name="API key",
        help_text="Whose call set the credits aside; none: done in the browser.",
    )

    # Where it stands. Written only through guarded updates.
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CREATED)
    stage = models.CharField(max_length=10, choices=Stage.choices, blank=True)
    progress = models.FloatField(default=0, help_text="0–100.")
    frames_done = models.PositiveIntegerField(default=0)
    frames_total = models.PositiveIntegerField(default=0)
    scratch_bytes = models.BigIntegerField(
        default=0, db_default=0, help_text="That a worker may need of its disk, about and at most; 0 is not known."
    )
    eta_seconds = models.FloatField(null=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    # The claim: who works on it, until when nobody else may.
    attempt = models.PositiveSmallIntegerField(default=1)
    lease = models.UUIDField(null=True, blank=True, help_text="Fencing token of the worker that holds the job.")
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True)

    # What it costs, in 1/100 credit.
    hold = models.OneToOneField("credits.Hold", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    estimated = models.BigIntegerField(default=0)
    charged = models.BigIntegerField(default=0)
    held_seconds = models.FloatField(default=0, help_text="Seconds of video the hold was priced for.")
    pricing_version = models.PositiveIntegerField(null=True)

    # What came of it.
    model_version = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=40, blank=True)
    result = models.JSONField(default=dict, help_text="The engine's closing report.")
    quality = models.JSONField(null=True, blank=True, help_text="The engine's report on the matte over time.")
    warnings = models.JSONField(default=list, help_text="[{code, message}]")
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=1000, blank=True)

    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the outputs are deleted.")

    delete_request = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="By which its media were to go, all at once."
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        # None has a column of a worker's tick (apps/jobs/attempts.py): a database that finds one of them changed writes
        # every index of the row anew, each second of each job.
        indexes = (
            # With the key and what lists are narrowed by, so that whatever a long one skips is not read.
            models.Index(fields=("owner", "-created_at", "id", "status", "model"), name="jobs_of_owner"),
            models.Index(fields=("project", "-created_at", "id", "status", "model"), name="jobs_of_project"),
            models.Index(fields=("request_id",), name="job_by_request"),
            models.Index(fields=("error_code", "-created_at"), name="job_by_error", condition=~Q(error_code="")),
            models.Index(fields=("model", "-completed_at"), name="job_by_pace", condition=Q(status="completed")),
            # Also for whoever looks for those of one status: workers, the reconciler, support.
            models.Index(fields=("status", "model", "error_code", "held_seconds"), name="job_by_outcome"),
            # Counts of an account and of a project read these and no row in vain.
            models.Index(fields=("owner", "status", "model", "-created_at"), name="job_of_owner"),
            models.Index(fields=("project", "status", "model", "-created_at"), name="job_of_project"),
            models.Index(fields=("project", "-expires_at"), name="job_with_media"),
            models.Index(fields=("output_format", "-created_at"), name="job_by_format"),
            # All that is counted of what an account used in some days; the rows themselves are not read.
            models.Index(
                fields=("owner", "completed_at", "status", "model", "project", "api_key", "held_seconds", "charged"),
                name="job_by_use",
            ),
            # What a key spent in a month, which is asked before each job of a key with a cap.
            models.Index(fields=("api_key", "queued_at", "charged"), name="job_by_key"),
        )
        permissions = (
            ("requeue_job", "Can queue again"),
            ("cancel_job", "Can cancel for its owner"),
            ("refund_job", "Can give its credits back"),
            ("extend_job", "Can keep its results longer"),
            ("delete_media_of_job", "Can delete its media"),
        )

    def __str__(self) -> str:
        return f"job {self.id}"

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL


class Output(models.Model):
    """One file we made and proved; the row outlives the file."""

    class Kind(models.TextChoices):
        RESULT = "result"
        MATTE = "matte"
        PREVIEW = "preview"
        POSTER = "poster"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="outputs")
    attempt = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    format = models.CharField(max_length=20)
    file = models.FileField(storage=media_storage, upload_to=output_path, max_length=300, blank=True)
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64, db_index=True)
    facts = models.JSONField(default=dict, help_text="width, height, frames, duration, alpha_mode, has_audio")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)
        indexes = (models.Index(fields=("kind", "size"), name="output_stored", condition=~Q(file="")),)

    def __str__(self) -> str:
        return f"{self.kind} of {self.job_id}"


class JobEvent(models.Model):
    """One line of a job's timeline; never changed."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    name = models.CharField(max_length=40, help_text="created, queued, started, fetched, verified, completed…")
    attempt = models.PositiveSmallIntegerField(default=1)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.name} {self.job_id}"


class Attempt(models.Model):
    """One claim of a job by a worker: when, how far it came, and how it ended. For support, not for the owner."""

    class Task(models.TextChoices):
        FETCH = "fetch"
        WORK = "work"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    lease = models.UUIDField(unique=True, help_text="Of this claim; a job given back keeps its number.")
    number = models.PositiveSmallIntegerField()
    task = models.CharField(max_length=5, choices=Task.choices)
    worker = models.CharField(max_length=120)
    stages = models.JSONField(default=list, help_text="[[stage, when it began]]")
    exit = models.CharField(max_length=60, blank=True, help_text="How the engine's process, or the worker's, ended.")
    outcome = models.CharField(max_length=20, blank=True, help_text="A final state, fetched, given_back, lost, taken.")
    log = models.TextField(blank=True, help_text="Tail of the engine's, as it was last seen.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    is_cleared = models.BooleanField(default=False, help_text="What it left in the storage was looked for.")

    class Meta:
        ordering = ("started_at",)
        indexes = (
            models.Index(fields=("worker",), name="attempt_at_work", condition=Q(ended_at=None)),
            models.Index(fields=("ended_at",), name="attempt_to_clear", condition=Q(is_cleared=False)),
        )

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id}"


class MetadataWord(models.Model):
    """A value of a job's metadata, so that support finds the job by it without reading all of them."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="metadata_words")
    text = models.CharField(max_length=200, db_index=True)

    def __str__(self) -> str:
        return self.text
