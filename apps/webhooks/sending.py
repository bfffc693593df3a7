"""The sender: makes the attempts that are due, many receivers at once and few exchanges with each.

One task sends whatever is due. The database is asked and written by its one thread; the pool's threads only talk to
receivers, so a receiver that keeps fifteen of them waiting keeps nobody else's.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from apps import egress
from apps.api import request_id
from apps.errors import AppError
from apps.webhooks import doorbell, services, signing
from apps.webhooks.models import MOST_ATTEMPTS, TEST_EVENT, Attempt, Delivery, Endpoint

log = logging.getLogger(__name__)

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""How long after the one before each attempt is made; about 75 hours in all, as Standard Webhooks advises."""

JITTER = 0.1
"""Each wait is stretched or shrunk by up to this part, so that a receiver that was down is not met by all at once."""

ANSWER_SECONDS = 15

CLAIM = timedelta(seconds=60)
"""How long a sender has an attempt to itself, well over ANSWER_SECONDS; then that one is lost and the next is due."""

LOST = "The sender was stopped before an answer came."

AT_ONCE = 16
"""Exchanges of one sender."""
AT_ONCE_PER_HOST = 2
"""Of one account with one host: a dead one keeps two threads for fifteen seconds, not all."""
AT_ONCE_PER_ACCOUNT = 6

LOOK_EVERY = 0.25
"""Seconds between two looks at what else is due, while exchanges are under way."""

SHIFT_SECONDS = 300
"""Then a sender takes nothing more and rings for the next one: a process that lives for days collects dust."""

FAILING_FOR = timedelta(days=5)
"""An endpoint that took nothing for so long is disabled, when a delivery has used up its attempts."""

stop_sign = threading.Event()
"""Put up when the worker is told to end: what is under way is finished, nothing more is taken."""

State = Delivery.State
Begun = tuple[Delivery, dict[str, str]]
"""A delivery whose attempt is under way, and that attempt's headers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one exchange."""

    status: int | None
    excerpt: str = ""
    error: str = ""
    duration_ms: int = 0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def send_due() -> int:
    """Make every attempt that is due, and those that fall due meanwhile; how many. Safe to run beside itself."""
    count, ends_at = 0, time.monotonic() + SHIFT_SECONDS
    running: dict[Future[Outcome], Delivery] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
        while True:
            is_open = not stop_sign.is_set() and time.monotonic() < ends_at
            for delivery, headers in claim(AT_ONCE - len(running)) if is_open else ():
                running[pool.submit(exchange, delivery, headers)] = delivery
            if not running:
                break
            for future in wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED).done:
                settle(running.pop(future), future.result())
                count += 1
    if due().exists():
        doorbell.ring_again()
    return count


def ring_for_due() -> int:
    """Ring if anything is due and nobody has it: the rings that were lost, and the retries. Safe to run twice."""
    return int(due().exists() and doorbell.ring_again())


def due() -> QuerySet[Delivery]:
    """Waiting, its time has come, and no sender has it.

    The events of one job reach a receiver in their order, as far as first attempts go: one waits while an earlier one
    is untried or under way, and does not wait for its retries.
    """
    now = timezone.now()
    pending = Delivery.objects.filter(state=State.PENDING)
    earlier = pending.filter(
        subject=OuterRef("subject"), url=OuterRef("url"), user=OuterRef("user"), created_at__lt=OuterRef("created_at")
    ).filter(Q(attempts=0) | Q(sending_until__gt=now))
    free = Q(sending_until=None) | Q(sending_until__lte=now)
    return pending.filter(free, ~Exists(earlier), next_attempt_at__lte=now).exclude(user=None)


def claim(room: int) -> list[Begun]:
    """Up to `room` deliveries with their next attempt begun, each for the one caller that gets it, and their headers.

    Whoever has the least under way comes first, so a receiver's long backlog stands before nobody.
    """
    if room <= 0:
        return []
    place = Window(RowNumber(), partition_by=[F("user_id"), F("host")], order_by=F("next_attempt_at").asc())
    waiting = due().annotate(place=place).filter(place__lte=AT_ONCE_PER_HOST)
    waiting_rows = list(waiting.select_related("endpoint", "user").order_by("next_attempt_at"))
    if not waiting_rows:
        return []
    busy = Delivery.objects.filter(state=State.PENDING, sending_until__gt=timezone.now())
    lanes: Counter[tuple[UUID | None, str]] = Counter(busy.values_list("user_id", "host"))
    accounts: Counter[UUID | None] = Counter(user_id for user_id, _ in lanes.elements())
    taken: list[Begun] = []
    while waiting_rows and len(taken) < room:
        row = min(waiting_rows, key=lambda row: (accounts[row.user_id], lanes[row.user_id, row.host]))
        waiting_rows.remove(row)
        lane = (row.user_id, row.host)
        if accounts[row.user_id] >= AT_ONCE_PER_ACCOUNT or lanes[lane] >= AT_ONCE_PER_HOST:
            continue
        if claimed := begin(row):
            taken.append(claimed)
            lanes[lane] += 1
            accounts[row.user_id] += 1
    return taken


def begin(delivery: Delivery) -> Begun | None:
    """The delivery with its next attempt begun, and that attempt's headers; None when it is not to be sent."""
    now = timezone.now()
    same = Delivery.objects.filter(pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts)
    with transaction.atomic():
        if reason := _why_not(delivery):
            same.update(**_ended(State.FAILED, now), note=reason)
            return None
        until = now + CLAIM
        if not same.update(attempts=F("attempts") + 1, next_attempt_at=until, sending_until=until):
            return None
        delivery.attempts += 1
        Attempt.objects.create(delivery=delivery, number=delivery.attempts, error=LOST)
        secret = signing.of(delivery)
    return delivery, signing.headers(delivery, secret, now)


def exchange(delivery: Delivery, headers: dict[str, str]) -> Outcome:
    """Talk to the receiver; nothing here touches the database."""
    started = time.monotonic()
    status, excerpt, error = None, "", ""
    try:
        status, excerpt = egress.post(delivery.url, delivery.body.encode(), headers, seconds=ANSWER_SECONDS)
    except AppError as refusal:
        error = refusal.message
    except Exception:
        # A fault of ours with one receiver must not end the sender of all the others.
        with request_id.bound(delivery.request_id):
            log.exception("webhook delivery=%s", delivery.pk)
        error = "Something went wrong on our side and was noted."
    return Outcome(status, excerpt, error[:300], round((time.monotonic() - started) * 1000))


def settle(delivery: Delivery, outcome: Outcome) -> None:
    """Keep what was answered; then the delivery is final, or due again on the schedule.

    Nothing but the attempt's own row changes if the next attempt has begun meanwhile.
    """
    now = timezone.now()
    with transaction.atomic():
        Attempt.objects.filter(delivery=delivery, number=delivery.attempts).update(
            status_code=outcome.status,
            response_excerpt=outcome.excerpt,
            error=outcome.error,
            duration_ms=outcome.duration_ms,
        )
        mine = Delivery.objects.filter(pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts)
        if mine.update(**_next(delivery, outcome, now)):
            _judge_receiver(delivery, outcome, now)
    about = (delivery.pk, delivery.subject or "-", delivery.attempts, outcome.status)
    with request_id.bound(delivery.request_id):
        log.info("webhook delivery=%s job=%s attempt=%s status=%s", *about)


def _why_not(delivery: Delivery) -> str:
    """Why it is not to be sent although its time has come; almost always nothing."""
    endpoint = delivery.endpoint
    if endpoint and endpoint.deleted_at:
        return "The endpoint was deleted."
    if endpoint and not endpoint.is_enabled and delivery.event != TEST_EVENT:
        return f"The endpoint was {services.words(endpoint)}."
    # The last attempt's sender died: another one would be beyond the schedule.
    return "The sender was lost during the last attempt." if delivery.attempts >= delivery.last_attempt else ""


def _next(delivery: Delivery, outcome: Outcome, now: datetime) -> dict[str, Any]:
    if outcome.is_taken:
        return _ended(State.SENT, now)
    if outcome.status == services.GONE or delivery.attempts >= min(delivery.last_attempt, MOST_ATTEMPTS):
        return _ended(State.FAILED, now)
    delay = SCHEDULE[delivery.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
    return {"next_attempt_at": now + delay, "sending_until": None}


def _ended(state: State, now: datetime) -> dict[str, Any]:
    return {"state": state, "finished_at": now, "next_attempt_at": None, "sending_until": None}


def _judge_receiver(delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    """What one answer means for the receiver: well again, gone, or failing for too long."""
    if outcome.status == services.GONE:
        _gone(delivery)
        return
    if delivery.endpoint_id is None or delivery.event == TEST_EVENT:
        return
    rows = Endpoint.objects.filter(pk=delivery.endpoint_id)
    if outcome.is_taken:
        rows.exclude(failing_since=None).update(failing_since=None)
        return
    rows.filter(failing_since=None).update(failing_since=now)
    endpoint = rows.get()
    if not endpoint.is_enabled:
        services.end(Delivery.objects.filter(pk=delivery.pk), note=f"The endpoint was {services.words(endpoint)}.")
    elif delivery.attempts == MOST_ATTEMPTS and endpoint.failing_since and endpoint.failing_since <= now - FAILING_FOR:
        services.disable_endpoint(endpoint, Endpoint.Because.FAILING)


def _gone(delivery: Delivery) -> None:
    """410: whoever it was wants to hear nothing more."""
    if delivery.endpoint:
        services.disable_endpoint(delivery.endpoint, Endpoint.Because.GONE)
        return
    same = Delivery.objects.filter(user=delivery.user_id, subject=delivery.subject, url=delivery.url, endpoint=None)
    services.end(same, note="The receiver answered 410 Gone to an earlier event of this job.")
