"""The workers' door: a call in, nothing out. A call too many is harmless, because it finds nothing to claim."""

from __future__ import annotations

from uuid import UUID

from apps.api import request_id
from apps.jobs import attempts, doorbell, paid, runner, turns


def run_next() -> None:
    if job := attempts.claim_next(attempts.worker_name()):
        with request_id.bound(job.request_id):
            runner.run(job)


def prepare_next() -> None:
    if job := attempts.claim_next_preparation(attempts.worker_name()):
        # The next one is called for now, because few calls are in the queue at once.
        doorbell.ring(turns.FETCHES)
        with request_id.bound(job.request_id):
            runner.prepare(job)


def start_paid(purchase_id: str) -> None:
    paid.start(UUID(purchase_id))
