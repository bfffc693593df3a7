"""The workers' door: ids in, nothing out. Running one twice is harmless, because the second finds nothing to claim."""

from __future__ import annotations

import os
import socket
from uuid import UUID

from apps.jobs import paid, runner, services


def run_job(job_id: str, attempt: int) -> None:
    if job := services.claim(UUID(job_id), attempt, _me()):
        runner.run(job)


def prepare_job(job_id: str, attempt: int) -> None:
    if job := services.claim_preparation(UUID(job_id), attempt, _me()):
        runner.prepare(job)


def start_paid(purchase_id: str) -> None:
    paid.start(UUID(purchase_id))


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
