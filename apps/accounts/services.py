"""Keys: how a program is let in and shut out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from apps.accounts.models import SCOPES, ApiKey, User
from apps.errors import AppError

KEY_PREFIX = "cm_"
SHOWN_CHARACTERS = 10
"""Of the secret, kept in clear so that its owner can tell keys apart: 42 random bits of 258, useless to a thief."""


def digest(secret: str) -> str:
    """A plain hash is enough: the secret is 258 random bits, so there is nothing to guess or to salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    user: User,
    *,
    name: str,
    scopes: Iterable[str] = SCOPES,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The new key and its secret, which nobody can read again."""
    name = name.strip()
    if not name or len(name) > 100:
        raise AppError("invalid_request", "Give the key a name of 1 to 100 characters.", param="name")
    wanted = list(dict.fromkeys(scopes))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        message = f"There is no scope {unknown[0]!r}; choose from {', '.join(SCOPES)}."
        raise AppError("invalid_request", message, param="scopes")
    if not wanted:
        raise AppError("invalid_request", f"Choose at least one scope of {', '.join(SCOPES)}.", param="scopes")
    if expires_at is not None and expires_at <= timezone.now():
        raise AppError("invalid_request", "The expiry date has passed; choose a later one.", param="expires_at")
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=secret[:SHOWN_CHARACTERS],
        digest=digest(secret),
        scopes=wanted,
        expires_at=expires_at,
    )
    return key, secret


def disable_key(key: ApiKey) -> bool:
    """Shut the key out for good; True only for the call that did it."""
    now = timezone.now()
    done = ApiKey.objects.filter(pk=key.pk, disabled_at=None).update(disabled_at=now)
    if done:
        key.disabled_at = now
    return bool(done)


def choose_notices(user: User, *, mails_finished_jobs: bool, mails_low_credits: bool) -> None:
    User.objects.filter(pk=user.pk).update(mails_finished_jobs=mails_finished_jobs, mails_low_credits=mails_low_credits)
