"""Tell the sender that something is due. The row is the truth: a ring that is lost is rung again by the reconciler."""

from __future__ import annotations

import contextlib
import logging
import time
from functools import partial

import django_rq
from django.db import transaction
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError

from apps.webhooks.models import Delivery

log = logging.getLogger(__name__)

QUEUE = "webhooks"
"""Its own, so that neither a long import nor a job stands before a delivery, nor the other way round."""

FAILURE_SECONDS = 60
"""How long RQ keeps the trace of a crash. Short, because its id blocks the same ring."""

AGAIN_SECONDS = 30


def ring_on_commit(delivery: Delivery) -> None:
    """Ring once the caller's transaction is through. Robust: with the queue down the row still stands."""
    transaction.on_commit(partial(ring, f"delivery-{delivery.pk}-{delivery.attempts}"), robust=True)


def ring_again() -> bool:
    """For whatever is due; many times in a row leave one task."""
    # With the time in it, for a task that was lost with its worker keeps its id for minutes.
    return ring(f"deliveries-{int(time.time() // AGAIN_SECONDS)}")


def ring(name: str) -> bool:
    """True when a task of this name is in the queue. Every task sends all that is due, so a name means nothing else."""
    try:
        with contextlib.suppress(DuplicateJobError):
            django_rq.get_queue(QUEUE, commit_mode="auto").enqueue(
                "apps.webhooks.tasks.send_due",
                job_id=name,
                unique=True,
                job_timeout=-1,
                result_ttl=0,
                failure_ttl=FAILURE_SECONDS,
            )
    except (RedisError, OSError) as error:
        log.warning("deliveries cannot be rung for now: %s", error)
        return False
    return True
