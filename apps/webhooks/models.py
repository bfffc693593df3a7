"""Whom you want told: receivers, and every attempt to reach them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Delivery(models.Model):
    """One event for one receiver; retried on the contract's schedule until it is final."""

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    event = models.CharField(max_length=40)
    url = models.URLField(max_length=2000)
    secret = models.CharField(max_length=80, help_text="whsec_…; signs this delivery.")
    body = models.TextField(help_text="The exact bytes that are signed and sent.")
    subject = models.UUIDField(null=True, db_index=True, help_text="The job it is about.")
    request_id = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


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


class SigningSecret(models.Model):
    """The account's secret for per-job receivers; made when first needed."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="signing_secret")
    secret = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"signing secret of {self.user_id}"
