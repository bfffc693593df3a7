"""The secrets that deliveries are signed with, and both families of headers made with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone
from standardwebhooks import Webhook

from apps.accounts.models import User
from apps.api import request_id
from apps.errors import AppError
from apps.webhooks.models import Delivery, Endpoint, SigningSecret

PREFIX = "whsec_"
DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=7)


def made() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def of_account(user: User) -> SigningSecret:
    """What the receivers of single jobs are sent is signed with; made on first use."""
    return SigningSecret.objects.get_or_create(user=user, endpoint=None, defaults={"secret": made()})[0]


def of_endpoint(endpoint: Endpoint) -> SigningSecret:
    return SigningSecret.objects.get(endpoint=endpoint)


def of(delivery: Delivery) -> SigningSecret:
    if delivery.endpoint:
        return of_endpoint(delivery.endpoint)
    if delivery.user is None:
        raise ValueError(f"delivery {delivery.pk} is nobody's")
    return of_account(delivery.user)


def rotate(signing: SigningSecret, *, overlap: timedelta = DEFAULT_OVERLAP) -> SigningSecret:
    """A new secret at once; for `overlap` the one before it signs too. Rotated twice, the older one is forgotten."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        message = f"overlap_hours: between 0 and {LONGEST_OVERLAP // timedelta(hours=1)}."
        raise AppError("invalid_request", message, param="overlap_hours")
    with transaction.atomic():
        kept = SigningSecret.objects.select_for_update().get(pk=signing.pk)
        kept.previous_secret = kept.secret if overlap else ""
        kept.previous_until = timezone.now() + overlap if overlap else None
        kept.secret = made()
        kept.save(update_fields=["secret", "previous_secret", "previous_until"])
    return kept


def end_overlap(signing: SigningSecret) -> bool:
    """Forget the secret before now; True only for the call that did it."""
    still = SigningSecret.objects.filter(pk=signing.pk).exclude(previous_secret="")
    return bool(still.update(previous_secret="", previous_until=None))


def forget_previous() -> int:
    """Erase secrets whose overlap is over; how many. Safe to run twice."""
    over = SigningSecret.objects.filter(previous_until__lt=timezone.now())
    return over.update(previous_secret="", previous_until=None)


def headers(delivery: Delivery, signing: SigningSecret, now: datetime) -> dict[str, str]:
    """Both families: the ones that clients of the API users know verify, and Standard Webhooks'.

    During a rotation Standard Webhooks' header has room for two signatures. The other has room for one, and that is
    the old secret's: its receivers know no other yet, and have until the end of the overlap to learn the new one.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    stamp = now.isoformat().replace("+00:00", "Z")
    in_force = [signing.secret]
    if signing.previous_secret and signing.previous_until and now < signing.previous_until:
        in_force.append(signing.previous_secret)
    signed = hmac.new(in_force[-1].encode(), f"{stamp}.{delivery.body}".encode(), hashlib.sha256)
    standard = [Webhook(secret).sign(str(delivery.pk), now, delivery.body) for secret in in_force]
    return {
        "Content-Type": "application/json",
        "X-Webhook-Event": delivery.event,
        "X-Webhook-Delivery-Id": str(delivery.pk),
        "X-Webhook-Timestamp": stamp,
        "X-Webhook-Signature": f"sha256={signed.hexdigest()}",
        "webhook-id": str(delivery.pk),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(standard),
        # Of the request that it came of, so that receiver and support can name the same thing.
        **({request_id.HEADER: delivery.request_id} if delivery.request_id else {}),
    }
