"""`kill -9` between any two statements of a job's way from one state to the next: all of it happened, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.credits.models import LedgerEntry
from apps.jobs import services
from apps.jobs.models import Job, JobEvent
from apps.webhooks.models import Delivery
from tests.factories import make_job
from tests.forks import killed_at
from tests.jobs.conftest import a_result
from tests.jobs.steps import HOOK, purse, stored

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

MOST_STATEMENTS = 80

CALLS: dict[str, Callable[[Job], Any]] = {
    "completed": lambda job: services.complete(job, a_result(), [stored("result"), stored("matte")]),
    "failed": lambda job: services.fail(job, "timeout", "Too slow."),
    "canceled": lambda job: services.cancel(job),
    "queued": lambda job: services.give_back(job),
}


def seen(job: Job) -> tuple[Any, ...]:
    now = Job.objects.get(pk=job.pk)
    told = list(Delivery.objects.filter(subject=job.pk).values_list("event", flat=True))
    lines = list(JobEvent.objects.filter(job=job, name__in=(*CALLS, "given_back")).values_list("name", flat=True))
    captured = LedgerEntry.objects.filter(kind="capture").count()
    assert now.hold is not None
    return (now.status, now.hold.state, now.lease is None, now.outputs.count(), captured, purse(job.owner), told, lines)


@pytest.mark.parametrize("to", CALLS)
def test_a_worker_killed_anywhere_leaves_all_or_nothing(alice: User, to: str) -> None:
    job = make_job(alice, status="processing", webhook_url=HOOK)
    JobEvent.objects.filter(job=job).delete()
    before = seen(job)

    states = []
    for statement in range(1, MOST_STATEMENTS):
        was_killed = killed_at(lambda: CALLS[to](job), statement)
        states.append(seen(job))
        if not was_killed:
            break

    after = states[-1]
    assert all(state in (before, after) for state in states)
    assert states.count(before) >= 4
    ends = {"completed": ("captured", 2, 1, (92_50, 0)), "queued": ("open", 0, 0, (100_00, 7_50))}
    hold, outputs, captured, money = ends.get(to, ("released", 0, 0, (100_00, 0)))
    told = [] if to == "queued" else [f"job.{to}"]
    line = "given_back" if to == "queued" else to
    assert after == (to, hold, True, outputs, captured, money, told, [line])
