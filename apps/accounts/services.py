"""Keys: how a program is let in and shut out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import closing, mail
from apps.accounts.models import SCOPES, ApiKey, User
from apps.errors import AppError

KEY_PREFIX = "cm_"
SHOWN_CHARACTERS = 10
"""Of the secret, kept in clear so that its owner can tell keys apart: 42 random bits of 258, useless to a thief."""


def digest(secret: str) -> str:
    """A plain hash is enough: the secret is 258 random bits, so there is nothing to guess or to salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_key(secret: str) -> ApiKey | None:
    """The key that a secret opens, also one that was rotated a short while ago; one query, its owner included."""
    told = digest(secret)
    current = Q(digest=told) | Q(previous_digest=told, previous_until__gt=timezone.now())
    return ApiKey.objects.select_related("user").filter(current).first()


def issue_key(
    user: User,
    *,
    name: str,
    scopes: Iterable[str] = SCOPES,
    expires_at: datetime | None = None,
    monthly_cap: int | None = None,
) -> tuple[ApiKey, str]:
    """The new key and its secret, which nobody can read again. `monthly_cap` in 1/100 credits."""
    fields = _checked(name=name, scopes=scopes, expires_at=expires_at, monthly_cap=monthly_cap)
    secret = _new_secret()
    key = ApiKey.objects.create(user=user, prefix=secret[:SHOWN_CHARACTERS], digest=digest(secret), **fields)
    return key, secret


def change_key(
    key: ApiKey, *, name: str, scopes: Iterable[str], expires_at: datetime | None, monthly_cap: int | None
) -> None:
    """What a key may do from now on; its secret stays."""
    fields = _checked(name=name, scopes=scopes, expires_at=expires_at, monthly_cap=monthly_cap)
    ApiKey.objects.filter(pk=key.pk).update(**fields)
    key.refresh_from_db()


def disable_key(key: ApiKey) -> bool:
    """Shut the key out; True only for the call that did it."""
    now = timezone.now()
    done = ApiKey.objects.filter(pk=key.pk, disabled_at=None).update(disabled_at=now)
    if done:
        key.disabled_at = now
    return bool(done)


def enable_key(key: ApiKey) -> bool:
    """Let a disabled key in again; True only for the call that did it."""
    done = ApiKey.objects.filter(pk=key.pk, disabled_at__isnull=False).update(disabled_at=None)
    if done:
        key.disabled_at = None
    return bool(done)


def rotate_key(key: ApiKey, *, grace: timedelta) -> str:
    """A new secret for the same key, which keeps its name, scopes, cap and history; the old one opens for `grace` more.

    A secret from an earlier rotation stops at once: there are never more than two.
    """
    secret = _new_secret()
    is_kept = grace > timedelta(0)
    fields = {
        "previous_digest": key.digest if is_kept else None,
        "previous_until": timezone.now() + grace if is_kept else None,
        "digest": digest(secret),
        "prefix": secret[:SHOWN_CHARACTERS],
    }
    if not ApiKey.objects.filter(pk=key.pk, digest=key.digest).update(**fields):
        raise AppError("conflict", "This key was rotated just now by somebody else.")
    key.refresh_from_db()
    return secret


def _new_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def _checked(
    *, name: str, scopes: Iterable[str], expires_at: datetime | None, monthly_cap: int | None
) -> dict[str, Any]:
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
    if monthly_cap is not None and monthly_cap < 0:
        raise AppError("invalid_request", "A cap is 0 credits or more.", param="monthly_cap")
    return {"name": name, "scopes": wanted, "expires_at": expires_at, "monthly_cap": monthly_cap}


def rename(user: User, name: str) -> None:
    User.objects.filter(pk=user.pk).update(name=name.strip())
    user.name = name.strip()


def choose_notices(user: User, *, mails_finished_jobs: bool, mails_low_credits: bool) -> None:
    User.objects.filter(pk=user.pk).update(mails_finished_jobs=mails_finished_jobs, mails_low_credits=mails_low_credits)


def disable_account(user: User) -> bool:
    """Let nobody in, neither person nor program; jobs at work go on. True only for the call that did it."""
    done = User.objects.filter(pk=user.pk, is_active=True).update(is_active=False)
    if done:
        user.is_active = False
        # They would open again with the account.
        for session in UserSession.objects.filter(user=user):
            session.end()
    return bool(done)


def enable_account(user: User) -> bool:
    """Let a disabled account in again, never a deleted one; True only for the call that did it."""
    disabled = User.objects.filter(pk=user.pk, is_active=False).exclude(email__endswith=f"@{closing.NO_ADDRESS}")
    done = disabled.update(is_active=True)
    if done:
        user.is_active = True
    return bool(done)


def remove_second_factor(user: User) -> None:
    """For somebody who has lost it, recovery codes included; the owner is told. Idempotent."""
    with transaction.atomic():
        factors = Authenticator.objects.select_for_update().filter(user=user)
        if last := max((factor.pk for factor in factors), default=None):
            factors.delete()
            mail.second_factor_removed(user, key=f"second-factor:{last}")
