"""Whom to tell, and what: endpoints, and the rows that say who is to hear of an event. Sending them is sending.py's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from apps import egress
from apps.accounts import mail
from apps.accounts.models import User
from apps.errors import AppError
from apps.webhooks import doorbell, signing
from apps.webhooks.models import ALL_EVENTS, EVENTS, TEST_EVENT, Attempt, Delivery, Endpoint, SigningSecret

log = logging.getLogger(__name__)

MOST_ENDPOINTS = 20
"""An account's; each event is a row and an exchange for every one of them."""

GONE = 410
SWEPT_AT_ONCE = 500


def create_endpoint(
    user: User, *, url: str, events: Iterable[str] = (ALL_EVENTS,), description: str = ""
) -> tuple[Endpoint, str]:
    """The new endpoint and its secret."""
    check_url(url)
    wanted = checked_events(events)
    with transaction.atomic():
        # Two racing calls queue here, so that the second counts what the first made.
        User.objects.select_for_update().get(pk=user.pk)
        if Endpoint.objects.for_user(user).count() >= MOST_ENDPOINTS:
            message = f"An account has at most {MOST_ENDPOINTS} webhook endpoints: delete one first."
            raise AppError("limit_exceeded", message)
        endpoint = Endpoint.objects.create(user=user, url=url, events=wanted, description=description)
        secret = SigningSecret.objects.create(user=user, endpoint=endpoint, secret=signing.made()).secret
    log.info("endpoint=%s made", endpoint.pk)
    return endpoint, secret


def change_endpoint(
    endpoint: Endpoint, *, url: str | None = None, events: Iterable[str] | None = None, description: str | None = None
) -> Endpoint:
    """What is given is changed. Deliveries that are still on their way go to the new address."""
    change: dict[str, Any] = {}
    if url is not None and url != endpoint.url:
        check_url(url)
        change |= {"url": url, "failing_since": None}
    if events is not None:
        change["events"] = checked_events(events)
    if description is not None:
        change["description"] = description
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(**change)
        if "url" in change:
            pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING)
            pending.update(url=url, host=host_of(str(url)))
    endpoint.refresh_from_db()
    return endpoint


def enable_endpoint(endpoint: Endpoint) -> bool:
    """True only for the call that did it. Events that came in between are not made up for."""
    off = Endpoint.objects.filter(pk=endpoint.pk, deleted_at=None).exclude(disabled_at=None)
    done = off.update(disabled_at=None, disabled_because="", failing_since=None)
    endpoint.refresh_from_db()
    return bool(done)


def disable_endpoint(endpoint: Endpoint, because: str = Endpoint.Because.OWNER) -> bool:
    """Tell it nothing more, what is on its way included; True only for the call that did it."""
    now = timezone.now()
    with transaction.atomic():
        on = Endpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
        if not on.update(disabled_at=now, disabled_because=because):
            return False
        endpoint.refresh_from_db()
        end(Delivery.objects.filter(endpoint=endpoint), note=f"The endpoint was {words(endpoint)}.")
        if because != Endpoint.Because.OWNER:
            _tell_owner(endpoint)
    log.info("endpoint=%s disabled because=%s", endpoint.pk, because)
    return True


def delete_endpoint(endpoint: Endpoint) -> None:
    """Gone for its owner; support can read its log until that is swept, and then the row goes too. Idempotent."""
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk, deleted_at=None).update(deleted_at=timezone.now())
        end(Delivery.objects.filter(endpoint=endpoint), note="The endpoint was deleted.")


def emit(
    user: User | None,
    event: str,
    *,
    body: dict[str, Any],
    url: str = "",
    subject: UUID | None = None,
    request_id: str = "",
) -> list[Delivery]:
    """Note, in the caller's transaction, who is to be told of `event`: the account's endpoints that asked for it,
    and `url`, the receiver of the one job.

    The body is fixed here: every attempt sends, and signs, the same bytes.
    """
    if event not in EVENTS:
        raise ValueError(f"no such event: {event}")
    if user is None:
        return []
    enabled = Endpoint.objects.for_user(user).filter(disabled_at=None)
    # A job's own receiver that is an endpoint too is told once, as the endpoint it is.
    endpoints = [endpoint for endpoint in enabled if endpoint.wants(event) or endpoint.url == url]
    receivers: list[tuple[Endpoint | None, str]] = [(endpoint, endpoint.url) for endpoint in endpoints]
    if url and url not in [endpoint.url for endpoint in endpoints] and not _is_gone(subject, url):
        receivers.append((None, url))
    about = {"user": user, "event": event, "subject": subject, "request_id": request_id}
    rows = [_written(endpoint, address, body, **about) for endpoint, address in receivers]
    if rows:
        doorbell.ring_on_commit(rows[0])
    return rows


def send_test(endpoint: Endpoint) -> Delivery:
    """One attempt at once with an event that means nothing; also where the endpoint is disabled."""
    said = {"endpoint_id": str(endpoint.pk), "message": "This is a test. Nothing happened, and nothing has to be done."}
    about = {"user": endpoint.user, "event": TEST_EVENT, "subject": None, "request_id": ""}
    with transaction.atomic():
        delivery = _written(endpoint, endpoint.url, said, last_attempt=1, **about)
        doorbell.ring_on_commit(delivery)
    return delivery


def replay(delivery: Delivery) -> Delivery:
    """Send the same bytes under the same id once more, now, whatever came of it before.

    One that is still on its schedule keeps the rest of it; one that had ended gets this one attempt more.
    """
    if delivery.endpoint and not delivery.endpoint.is_enabled and delivery.event != TEST_EVENT:
        raise AppError("conflict", "The endpoint is disabled: enable it, then send again.")
    now, rows = timezone.now(), Delivery.objects.filter(pk=delivery.pk)
    with transaction.atomic():
        waiting = rows.filter(state=Delivery.State.PENDING, sending_until=None).update(next_attempt_at=now)
        if not waiting:
            kept = rows.select_for_update().get()
            rows.exclude(state=Delivery.State.PENDING).update(
                state=Delivery.State.PENDING,
                last_attempt=kept.attempts + 1,
                next_attempt_at=now,
                finished_at=None,
                note="",
            )
        doorbell.ring_on_commit(delivery)
    delivery.refresh_from_db()
    return delivery


def end(deliveries: Any, *, note: str) -> int:
    """Those that wait are sent no more; how many. One that is just being sent learns it when its answer is there."""
    waiting = deliveries.filter(state=Delivery.State.PENDING, sending_until=None)
    failed = {"state": Delivery.State.FAILED, "finished_at": timezone.now(), "next_attempt_at": None}
    return int(waiting.update(note=note, **failed))


def sweep() -> int:
    """Delete what is older than the log is kept, deleted endpoints without a log, and secrets out of use."""
    before = timezone.now() - timedelta(days=settings.WEBHOOK_LOG_DAYS)
    old = Delivery.objects.filter(created_at__lt=before, sending_until=None).order_by("created_at")
    Delivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:SWEPT_AT_ONCE])).delete()
    signing.forget_previous()
    gone = Endpoint.objects.exclude(deleted_at=None).filter(deliveries=None)
    return gone.delete()[0]


def words(endpoint: Endpoint) -> str:
    """How it stands, for people: `disabled because it answered 410 Gone`."""
    if endpoint.disabled_at is None:
        return "enabled"
    because = Endpoint.Because(endpoint.disabled_because or Endpoint.Because.OWNER)
    return because.label if because == Endpoint.Because.OWNER else f"disabled because {because.label}"


def check_url(url: str, *, param: str = "url") -> None:
    """Refuse an address that could never be told. Where it leads is judged when it is dialled: names change."""
    try:
        egress.check(url)
    except AppError as refusal:
        raise AppError("invalid_request", f"{param}: {refusal.message}", param=param) from None


def checked_events(events: Iterable[str]) -> list[str]:
    """Without repetitions, in our order; `["*"]` where all are meant."""
    asked = set(events)
    if unknown := sorted(asked - {*EVENTS, ALL_EVENTS}):
        message = f"events: there is no event {unknown[0]!r}; choose from {', '.join(EVENTS)}, or * for all."
        raise AppError("invalid_request", message, param="events")
    if not asked:
        raise AppError("invalid_request", f"events: choose at least one of {', '.join(EVENTS)}, or *.", param="events")
    return [ALL_EVENTS] if ALL_EVENTS in asked else [event for event in EVENTS if event in asked]


def host_of(url: str) -> str:
    return urlsplit(url).netloc.lower()[:300]


def _tell_owner(endpoint: Endpoint) -> None:
    because = Endpoint.Because(endpoint.disabled_because).label
    key = f"endpoint:{endpoint.pk}:{endpoint.disabled_at}"
    mail.webhook_disabled(endpoint.user, endpoint_id=endpoint.pk, url=endpoint.url, because=because, key=key)


def _written(endpoint: Endpoint | None, url: str, data: dict[str, Any], **fields: Any) -> Delivery:
    delivery_id, now = uuid4(), timezone.now()
    message = {"event": fields["event"], "id": delivery_id, "created_at": now, "data": data}
    return Delivery.objects.create(
        id=delivery_id,
        endpoint=endpoint,
        url=url,
        host=host_of(url),
        body=json.dumps(message, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":")),
        next_attempt_at=now,
        **fields,
    )


def _is_gone(subject: UUID | None, url: str) -> bool:
    """This job's own receiver has said that it wants to hear nothing more."""
    told = Attempt.objects.filter(delivery__subject=subject, delivery__endpoint=None, delivery__url=url)
    return subject is not None and told.filter(status_code=GONE).exists()
