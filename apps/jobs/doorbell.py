"""Call workers when jobs wait. The rows are the truth: a call that is lost is made again by the reconciler.

A call says that there is work, not which: the worker that hears it takes the
job whose turn it is then.
"""

from __future__ import annotations

import logging
from functools import cache, partial
from uuid import uuid4

import django_rq
from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from apps.jobs import fleet, turns
from apps.jobs.needs import CPU, NEEDS, PREVIEW

log = logging.getLogger(__name__)

FAILURE_SECONDS = 60
"""How long RQ keeps the trace of a crash, for whoever looks just then; nobody waits for a call's outcome."""

FETCHES_CALLED_FOR = 2
"""At once, because short tasks stand in the same queue: they must not come after a hundred downloads."""


def ring_on_commit(line: turns.Line) -> None:
    """Ring once the caller's transaction is through. Robust: with the queue down the request succeeds all the same."""
    transaction.on_commit(partial(ring, line), robust=True)


def ring(line: turns.Line) -> int:
    """Have as many calls in the queue as jobs could be taken; how many were added. Safe to call at any time."""
    try:
        return _ring_for_fetches() if line is turns.FETCHES else _ring_for_work(line)
    except (RedisError, OSError) as error:
        log.warning("workers cannot be called now: %s", error)
        return 0


def listeners() -> list[fleet.Member]:
    """The living workers that take jobs; none while the queue cannot tell."""
    try:
        return [member for member in fleet.members(_queue(CPU).connection) if member.needs]
    except (RedisError, OSError):
        return []


def workers() -> int:
    """How many of them take the long work."""
    return sum(set(member.needs) != {PREVIEW} for member in listeners())


def largest_budgets() -> dict[str, int]:
    """By need, the most scratch that a living worker may fill; not in it: without a limit, or nobody listens."""
    heard = listeners()
    budgets = {need: [member.budget for member in heard if need in member.needs] for need in NEEDS}
    return {need: max(sizes) for need, sizes in budgets.items() if sizes and all(sizes)}


def _ring_for_work(line: turns.Line) -> int:
    """In the queue of each need; calls beyond an account's limit find nothing to take."""
    wanted = turns.count_ready(line)
    return sum(_call(need, "apps.jobs.tasks.run_next", wanted=wanted[need]) for need in line.needs)


def _ring_for_fetches() -> int:
    wanted = min(turns.count_ready(turns.FETCHES).total(), FETCHES_CALLED_FOR)
    return _call("default", "apps.jobs.tasks.prepare_next", wanted=wanted)


def _call(queue: str, task: str, *, wanted: int) -> int:
    if not wanted:
        return 0
    line = _queue(queue)
    name = task.rpartition(".")[2]
    missing = wanted - sum(key.startswith(name) for key in line.get_job_ids())
    for _ in range(missing):
        key = f"{name}-{uuid4()}"
        line.enqueue(task, job_id=key, job_timeout=-1, result_ttl=0, failure_ttl=FAILURE_SECONDS, description=task)
    return max(0, missing)


def _queue(name: str) -> Queue:
    return django_rq.get_queue(name, commit_mode="auto", connection=_connection(settings.RQ_QUEUES[name]["URL"]))


@cache
def _connection(url: str) -> Redis:
    """Kept: each new one costs milliseconds, and every job that is made or waits asks here."""
    return Redis.from_url(url)
