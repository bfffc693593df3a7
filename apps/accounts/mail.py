"""Mail to people: written down in the transaction of what it tells of, sent by a worker as text and HTML.

Signing up and passwords are allauth's, which mails at once because somebody waits for it.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import django_rq
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError

from apps.accounts.models import Mail, User

log = logging.getLogger(__name__)

WAITS = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 10, 60, 360, 1440))
"""How long after the one before each attempt is made; then the mail is given up."""

CLAIM = timedelta(minutes=2)
"""How long a sender has an attempt to itself, well over EMAIL_TIMEOUT."""

KEPT = timedelta(days=30)


def job_finished(user: User, *, job_id: UUID, name: str, is_completed: bool, error: str) -> Mail | None:
    """For those who asked for it."""
    if not user.mails_finished_jobs:
        return None
    link = f"{settings.SITE_URL}/jobs/{job_id}"
    return write(
        user, "job_finished", key=f"job:{job_id}", name=name, is_completed=is_completed, error=error, link=link
    )


def low_credits(user: User, *, available: str, key: str) -> Mail | None:
    """`available` as people read it; `key` names the occasion, so that one occasion is one mail."""
    if not user.mails_low_credits:
        return None
    return write(user, "low_credits", key=key, available=available, link=f"{settings.SITE_URL}/credits")


def webhook_disabled(user: User, *, endpoint_id: UUID, url: str, because: str, key: str) -> Mail | None:
    link = f"{settings.SITE_URL}/webhooks/{endpoint_id}"
    return write(user, "webhook_disabled", key=key, url=url, because=because, link=link)


def second_factor_removed(user: User, *, key: str) -> Mail | None:
    return write(user, "second_factor_removed", key=key, link=f"{settings.SITE_URL}/account")


def write(user: User, kind: str, *, key: str, **context: Any) -> Mail | None:
    """Note, in the caller's transaction, that the user is to get this mail; None where the key has written before."""
    made, is_new = Mail.objects.get_or_create(
        key=key, defaults={"user": user, "kind": kind, "context": context, "next_attempt_at": timezone.now()}
    )
    if not is_new:
        return None
    # Robust: with the queue down the row still stands, and the reconciler rings for it.
    transaction.on_commit(partial(_ring, made.pk), robust=True)
    return made


def ring_for_due() -> int:
    """Ring for every mail whose time has come; how many. Safe to run twice."""
    return sum(
        _ring(pk) for pk in Mail.objects.filter(next_attempt_at__lte=timezone.now()).values_list("pk", flat=True)
    )


def send(mail_id: UUID) -> bool:
    """Make one attempt; False where none is due or another sender has it."""
    now = timezone.now()
    due = Mail.objects.filter(pk=mail_id, next_attempt_at__lte=now)
    mail = due.select_related("user").first()
    if mail is None or not due.filter(attempts=mail.attempts).update(
        attempts=F("attempts") + 1, next_attempt_at=now + CLAIM
    ):
        return False
    number = mail.attempts + 1
    try:
        message(mail).send()
    except OSError as error:
        # smtplib's errors are OSErrors too.
        wait = WAITS[number] if number < len(WAITS) else None
        _settle(mail, number, next_attempt_at=now + wait if wait else None)
        log.warning("mail=%s kind=%s attempt=%s failed: %s", mail.pk, mail.kind, number, type(error).__name__)
        return True
    _settle(mail, number, next_attempt_at=None, sent_at=timezone.now())
    log.info("mail=%s kind=%s sent", mail.pk, mail.kind)
    return True


def message(mail: Mail) -> EmailMultiAlternatives:
    context = {**mail.context, "site_url": settings.SITE_URL}
    subject = render_to_string(f"mail/{mail.kind}_subject.txt", context)
    text = render_to_string(f"mail/{mail.kind}.txt", context)
    made = EmailMultiAlternatives(" ".join(subject.split()), text, to=[mail.user.email])
    made.attach_alternative(render_to_string(f"mail/{mail.kind}.html", context), "text/html")
    return made


def sweep() -> int:
    """Delete what was sent or given up long ago."""
    return Mail.objects.filter(created_at__lt=timezone.now() - KEPT, next_attempt_at=None).delete()[0]


def _settle(mail: Mail, number: int, **change: Any) -> None:
    Mail.objects.filter(pk=mail.pk, attempts=number).update(**change)


def _ring(mail_id: UUID) -> bool:
    try:
        with contextlib.suppress(DuplicateJobError):
            django_rq.get_queue("default", commit_mode="auto").enqueue(
                "apps.accounts.tasks.send_mail",
                str(mail_id),
                job_id=f"mail-{mail_id}",
                unique=True,
                job_timeout=int(CLAIM.total_seconds()),
                result_ttl=0,
                failure_ttl=int(CLAIM.total_seconds()),
            )
    except (RedisError, OSError) as error:
        log.warning("mail=%s cannot be rung for now: %s", mail_id, error)
        return False
    return True
