"""Who you are: people, and the keys their programs carry."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.utils import timezone

SCOPES = ("jobs:read", "jobs:write", "uploads", "credits:read", "webhooks")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """An account: one person, one wallet; e-mail is the login name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now)
    mails_finished_jobs = models.BooleanField(default=False)
    mails_low_credits = models.BooleanField(default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name or self.email.split("@")[0]


class ApiKey(models.Model):
    """A program's credential; only a digest is stored, the secret is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=16, db_index=True, help_text="First characters of the key, to recognise it by."
    )
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the key, hex.")
    previous_digest = models.CharField(
        max_length=64, unique=True, null=True, blank=True, help_text="Of the secret before the last rotation."
    )
    previous_until = models.DateTimeField(null=True, blank=True, help_text="How long that one still opens.")
    scopes = models.JSONField(default=list)
    monthly_cap = models.BigIntegerField(
        null=True, blank=True, help_text="1/100 credits that it may spend in a calendar month (UTC); none: no cap."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        permissions = (("disable_apikey", "Can disable, enable and rotate API keys"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_usable(self) -> bool:
        return self.disabled_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def old_secret_until(self) -> datetime | None:
        """How long the secret before the last rotation opens too; None once it does not."""
        return self.previous_until if self.previous_until and self.previous_until > timezone.now() else None


class Mail(models.Model):
    """A mail to an account's owner: written down with what it tells of, sent by a worker, tried again if need be."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=40, help_text="Names its templates.")
    context = models.JSONField(default=dict)
    key = models.CharField(max_length=200, unique=True, help_text="Same key, same mail, once.")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("-created_at",), name="mail_by_age"),
            models.Index(fields=("user", "-created_at"), name="mail_by_owner"),
            models.Index(fields=("kind", "-created_at"), name="mail_by_kind"),
            models.Index(fields=("-created_at",), name="mail_unsent", condition=models.Q(sent_at=None)),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Act(models.Model):
    """What staff did by hand, with a button of the admin: who, when, why, and what it changed. Outlives all of them."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="Made with the page: same number, one act.")
    action = models.CharField(max_length=40)
    what = models.CharField(max_length=60, help_text="The kind of record: jobs.job.")
    subject = models.CharField(max_length=64, db_index=True, help_text="Its id.")
    account = models.UUIDField(null=True, db_index=True, help_text="Whose it was.")
    staff = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    staff_name = models.CharField(max_length=254, help_text="E-mail at the time; outlives the account.")
    reason = models.CharField(max_length=500)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict, help_text="Empty: it was begun, and nobody knows how it ended.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "act of staff"
        verbose_name_plural = "acts of staff"

    def __str__(self) -> str:
        return f"{self.action} of {self.what} {self.subject}"


class DataRequest(models.Model):
    """What owners did with all that is held about them: took a copy, or had it deleted. Outlives the account."""

    class Kind(models.TextChoices):
        EXPORT = "export"
        DELETION = "deletion"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="data_requests")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    mark = models.CharField(
        max_length=64, blank=True, db_index=True, help_text="Keyed digest of a deleted account's e-mail address."
    )
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    cleared_at = models.DateTimeField(null=True, blank=True, help_text="When nothing was left for the first time.")
    done_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was looked through once more, for what was under way at the time."
    )

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(kind="deletion"), name="one_deletion_per_account"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.user_id}"
