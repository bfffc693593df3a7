"""Who is calling the API: the key in the request, or a refusal."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts.models import ApiKey, User
from apps.accounts.services import find_key
from apps.errors import AppError

USE_IS_NOTED_EVERY = timedelta(minutes=1)
"""A write with every call would make readers queue for SQLite's one write lock."""


class ApiKeyAuthentication(BaseAuthentication):
    """`X-Api-Key: cm_…` or `Authorization: Bearer cm_…`.

    No key at all is no caller, so that open calls stay open; a key that does
    not work is refused even there, so that its owner hears of it.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        secret = presented_secret(request)
        if secret is None:
            return None
        key = find_key(secret)
        # One answer for unknown, disabled and expired: a thief learns nothing.
        if key is None or not key.is_usable or not key.user.is_active:
            message = "This API key does not exist, was disabled or has expired. Make a new one on the API keys page."
            raise AppError("invalid_api_key", message)
        note_use(key)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def presented_secret(request: Request) -> str | None:
    if (secret := request.headers.get("X-Api-Key")) is not None:
        return secret.strip()
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - USE_IS_NOTED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_IS_NOTED_EVERY)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
