"""Whom you want told: receivers, what they are told, and every attempt to reach them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.accounts.models import User

EVENTS = ("job.started", "job.completed", "job.failed", "job.canceled", "credits.low")
ALL_EVENTS = "*"
"""In an endpoint's list: these, and those that come later."""
TEST_EVENT = "webhook.test"
"""Sent on request only, so no endpoint can ask for it."""

MOST_ATTEMPTS = 10
UNDER_WAY = "It is being sent now."


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def for_user(self, user: User) -> EndpointQuerySet:
        """Theirs, but for the deleted ones, which stay only as long as their log does."""
        return self.filter(user=user, deleted_at=None)


class Endpoint(models.Model):
    """An address of the account that is told of every event it asked for, whatever job it belongs to."""

    class Because(models.TextChoices):
        """Why it is disabled."""

        OWNER = "owner", "disabled by its owner"
        GONE = "gone", "it answered 410 Gone"
        FAILING = "failing", "it took nothing for days"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list, help_text='Names of events, or ["*"] for all.')
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_because = models.CharField(max_length=8, choices=Because.choices, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="First failure after the last success.")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ("created_at",)
        permissions = (("disable_endpoint", "Can disable and enable endpoints"),)

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None

    def wants(self, event: str) -> bool:
        return ALL_EVENTS in self.events or event in self.events


class SigningSecret(models.Model):
    """What deliveries are signed with. Each endpoint has its own; the one without is for receivers of single jobs."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    endpoint = models.OneToOneField(Endpoint, null=True, on_delete=models.CASCADE, related_name="signing")
    secret = models.CharField(max_length=80)
    previous_secret = models.CharField(max_length=80, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True, help_text="Until then both sign.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(endpoint=None), name="one_secret_for_receivers_of_jobs"
            ),
        )

    def __str__(self) -> str:
        return f"signing secret of {self.endpoint_id or self.user_id}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def for_user(self, user: User) -> DeliveryQuerySet:
        """Theirs, to endpoints and to receivers of single jobs; those of deleted endpoints are gone for their owner."""
        # Looked up first: mostly there are none, and then a log is counted without reading it.
        gone = list(Endpoint.objects.filter(user=user).exclude(deleted_at=None).values_list("pk", flat=True))
        rows = self.filter(user=user)
        return rows.exclude(endpoint__in=gone) if gone else rows


class Delivery(models.Model):
    """One event for one receiver; retried on the contract's schedule until it is final."""

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Both are found by indexes that begin with them, below.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    endpoint = models.ForeignKey(
        Endpoint,
        null=True,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,
        help_text="None: of one job.",
    )
    event = models.CharField(max_length=40)
    url = models.URLField(max_length=2000)
    host = models.CharField(max_length=300, blank=True, help_text="Of the URL; a slow one is waited for by few.")
    body = models.TextField(help_text="The exact bytes that are signed and sent.")
    subject = models.UUIDField(null=True, db_index=True, help_text="The job it is about.")
    request_id = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_attempt = models.PositiveSmallIntegerField(default=MOST_ATTEMPTS, help_text="Number of the last one to make.")
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_index=True)
    sending_until = models.DateTimeField(null=True, blank=True, db_index=True, help_text="A sender has it until then.")
    note = models.CharField(max_length=200, blank=True, help_text="Why it ended, where no attempt says so.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        verbose_name_plural = "deliveries"
        permissions = (("replay_delivery", "Can send again"),)
        indexes = (
            models.Index(fields=("state", "finished_at"), name="delivery_by_end"),
            models.Index(fields=("-created_at",), name="delivery_by_age"),
            # With the key, so that whatever a long list skips is not read.
            models.Index(fields=("user", "-created_at", "id"), name="delivery_list_of_owner"),
            models.Index(fields=("user", "state", "-created_at", "id"), name="delivery_list_by_state"),
            models.Index(fields=("endpoint", "-created_at", "id"), name="delivery_list_of_endpoint"),
            models.Index(fields=("event", "-created_at"), name="delivery_by_event"),
        )

    def __str__(self) -> str:
        return f"{self.event} {self.id}"

    @property
    def exchanges(self) -> list[Attempt]:
        """Its attempts, in order. The row of one under way says how it ends should its sender never return."""
        rows = list(self.attempt_set.all())
        if rows and self.sending_until and self.sending_until > timezone.now():
            rows[-1].error = UNDER_WAY
        return rows


class Attempt(models.Model):
    """One HTTP exchange of a delivery; kept whatever came of it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempt_set")
    number = models.PositiveSmallIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)
    response_excerpt = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("number",)
        constraints = (models.UniqueConstraint(fields=("delivery", "number"), name="one_row_per_attempt"),)

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}"
