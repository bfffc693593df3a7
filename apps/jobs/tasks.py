"""The workers' door: a call in, nothing out. A call too many is harmless, because it finds nothing to claim."""

from __future__ import annotations

import time
from uuid import UUID

from rq import get_current_job

from apps.api import request_id
from apps.jobs import attempts, doorbell, needs, paid, room, runner, turns
from apps.jobs.models import Job
from apps.jobs.watch import stop_sign

ROOM_SECONDS = 10
"""How long a call is kept where jobs wait for room: without it each would be heard in vain, over and over."""

LOOK_SECONDS = 1


def run_next() -> None:
    if job := _claimed():
        call = get_current_job()
        if call and call.origin != job.need:
            # We heard a call for another need, so whoever listens for that alone has to be called anew.
            for line in (turns.PREVIEWS, turns.WORK):
                doorbell.ring(line)
        with request_id.bound(job.request_id):
            runner.run(job)


def _claimed() -> Job | None:
    """The job whose turn it is. Where it has no room we wait a little, and another machine is called in our place."""
    ends_at = time.monotonic() + ROOM_SECONDS
    while True:
        try:
            return attempts.claim_next(attempts.worker_name(), needs.heard())
        except room.Full:
            for line in (turns.PREVIEWS, turns.WORK):
                doorbell.ring(line)
        if time.monotonic() > ends_at or stop_sign.is_up_within(LOOK_SECONDS):
            return None


def prepare_next() -> None:
    if job := attempts.claim_next_preparation(attempts.worker_name()):
        # The next one is called for now, because few calls are in the queue at once.
        doorbell.ring(turns.FETCHES)
        with request_id.bound(job.request_id):
            runner.prepare(job)


def start_paid(purchase_id: str) -> None:
    paid.start(UUID(purchase_id))
