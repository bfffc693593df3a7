"""First answers, kept so that a request sent twice takes effect once."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one account: who works on it, or what was answered."""

    class State(models.TextChoices):
        RUNNING = "running"
        ANSWERED = "answered"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 over method, address and body, hex.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    lease = models.UUIDField(default=uuid.uuid4, help_text="Changes hands when a crashed request is taken over.")
    lease_until = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True, help_text="The first answer, as it was sent.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.UniqueConstraint(fields=("user", "key"), name="one_answer_per_key"),)

    def __str__(self) -> str:
        return f"{self.state} {self.fingerprint[:8]} of {self.user_id}"
