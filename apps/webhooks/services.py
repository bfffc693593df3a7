"""Tell people's programs what happened: written down with the event itself, sent by a worker, tried again for days."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import django_rq
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from rq.exceptions import DuplicateJobError
from standardwebhooks import Webhook

from apps import egress
from apps.accounts.models import User
from apps.errors import AppError
from apps.webhooks.models import Attempt, Delivery, SigningSecret

logger = logging.getLogger(__name__)

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""How long after the one before each attempt is made; about three days in all, as Standard Webhooks advises."""

JITTER = 0.1
"""Each wait is stretched or shrunk by up to this part, so that a receiver that was down is not met by all at once."""

ANSWER_SECONDS = 15

CLAIM = timedelta(seconds=60)
"""How long a sender has an attempt to itself, well over ANSWER_SECONDS; then that one is lost and the next is due."""

LOST = "The sender was stopped before an answer came."
GONE = 410


def signing_secret(user: User) -> str:
    """The account's `whsec_…` secret; made on first use, the same ever after."""
    made = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    kept, _ = SigningSecret.objects.get_or_create(user=user, defaults={"secret": made})
    return kept.secret


def emit(
    user: User | None, event: str, *, url: str, body: dict[str, Any], subject: UUID, request_id: str = ""
) -> Delivery | None:
    """Note that `url` is to be told of `event`, in the caller's transaction; None where nobody asked to be told.

    The body is fixed here: every attempt sends, and signs, the same bytes.
    """
    if not url or user is None:
        return None
    delivery_id, now = uuid4(), timezone.now()
    message = {"event": event, "id": delivery_id, "created_at": now, "data": body}
    delivery = Delivery.objects.create(
        id=delivery_id,
        user=user,
        event=event,
        url=url,
        secret=signing_secret(user),
        body=json.dumps(message, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":")),
        subject=subject,
        request_id=request_id,
        next_attempt_at=now,
    )
    _ring_on_commit(delivery)
    return delivery


def replay(delivery: Delivery) -> None:
    """Send again, now, whatever came of it before; the receiver can tell by the unchanged delivery id."""
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.PENDING, next_attempt_at=timezone.now(), finished_at=None
    )
    delivery.refresh_from_db()
    _ring_on_commit(delivery)


def due() -> int:
    """Ring for every delivery whose time has come; how many those were. Safe to run twice."""
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING, next_attempt_at__lte=timezone.now())
    count = 0
    for delivery in waiting.only("pk", "attempts").iterator():
        _ring(delivery)
        count += 1
    return count


def send(delivery_id: UUID) -> bool:
    """Make one attempt; False where none is due or another sender has it."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    started = time.monotonic()
    status, said, error = None, "", ""
    try:
        status, said = egress.post(
            delivery.url, delivery.body.encode(), _headers(delivery, timezone.now()), seconds=ANSWER_SECONDS
        )
    except AppError as refusal:
        error = refusal.message
    Attempt.objects.filter(delivery=delivery, number=delivery.attempts).update(
        status_code=status,
        response_excerpt=said,
        error=error[:300],
        duration_ms=round((time.monotonic() - started) * 1000),
    )
    _settle(delivery, status)
    logger.info(
        "webhook delivery=%s job=%s attempt=%s status=%s", delivery.pk, delivery.subject, delivery.attempts, status
    )
    return True


def _ring_on_commit(delivery: Delivery) -> None:
    # Robust: with the queue down the row still stands, and due() finds it.
    transaction.on_commit(lambda: _ring(delivery), robust=True)


def _ring(delivery: Delivery) -> None:
    # The id carries the attempt: ringing twice for one attempt leaves one task, and a lost one does not block the next.
    with contextlib.suppress(DuplicateJobError):
        django_rq.get_queue("default").enqueue(
            "apps.webhooks.tasks.send_delivery",
            str(delivery.pk),
            job_id=f"delivery-{delivery.pk}-{delivery.attempts}",
            unique=True,
            job_timeout=int(CLAIM.total_seconds()),
            result_ttl=0,
            failure_ttl=int(CLAIM.total_seconds()),
        )


def _claim(delivery_id: UUID) -> Delivery | None:
    """The delivery with its next attempt begun, for the one caller that gets it."""
    now = timezone.now()
    with transaction.atomic():
        found = Delivery.objects.filter(pk=delivery_id, state=Delivery.State.PENDING, next_attempt_at__lte=now)
        delivery = found.first()
        if delivery is None:
            return None
        mine = found.filter(attempts=delivery.attempts).update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM)
        if not mine:
            return None
        delivery.attempts += 1
        Attempt.objects.create(delivery=delivery, number=delivery.attempts, error=LOST)
    return delivery


def _settle(delivery: Delivery, status: int | None) -> None:
    """Final, or due again on the schedule; nothing if another attempt has begun meanwhile."""
    now = timezone.now()
    if status is not None and 200 <= status < 300:
        change: dict[str, Any] = {"state": Delivery.State.SENT, "finished_at": now, "next_attempt_at": None}
    elif status == GONE or delivery.attempts >= len(SCHEDULE):
        change = {"state": Delivery.State.FAILED, "finished_at": now, "next_attempt_at": None}
    else:
        wait = SCHEDULE[delivery.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
        change = {"next_attempt_at": now + wait}
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.PENDING, attempts=delivery.attempts).update(**change)


def _headers(delivery: Delivery, now: datetime) -> dict[str, str]:
    """Both families: the ones that clients of the API users know verify, and Standard Webhooks'."""
    now = now.astimezone(UTC).replace(microsecond=0)
    stamp = now.isoformat().replace("+00:00", "Z")
    signed = hmac.new(delivery.secret.encode(), f"{stamp}.{delivery.body}".encode(), hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "X-Webhook-Event": delivery.event,
        "X-Webhook-Delivery-Id": str(delivery.pk),
        "X-Webhook-Timestamp": stamp,
        "X-Webhook-Signature": f"sha256={signed.hexdigest()}",
        "webhook-id": str(delivery.pk),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(delivery.secret).sign(str(delivery.pk), now, delivery.body),
    }
