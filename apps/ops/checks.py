"""Is each part of the house in order? Asked by /health and by `manage.py doctor`."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django_rq
import redis
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import DatabaseError, connection
from rq import Worker
from rq.worker.base import BaseWorker

from apps.engine.matting import weights
from apps.engine.options import MODELS
from apps.jobs import turns
from apps.jobs.models import Job
from apps.jobs.needs import NEEDS

logger = logging.getLogger(__name__)

WORKER_SILENCE = timedelta(seconds=90)
"""A worker that has not said a word for this long is not counted."""
LEAST_FREE_BYTES = 32 * 2**20
"""With less of a local disk neither an upload nor a job gets through, and SQLite on it writes no more."""
FULL = "the disk that holds the media is full"
STORAGE_ANSWER_SECONDS = 30
"""How long a good answer of a remote storage is believed: it costs a request, and /health is asked often."""
remote_storage = {"believed_until": 0.0}


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `detail` says what is wrong in words anybody may read; `facts` are numbers and names."""

    ok: bool
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **({"detail": self.detail} if self.detail else {}), **self.facts}


def database() -> Check:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError as error:
        logger.error("health database error=%s", type(error).__name__)
        return Check(ok=False, detail="the database does not answer")
    return Check(ok=True)


def queue() -> Check:
    try:
        waiting = {name: django_rq.get_queue(name).count for name in settings.RQ_QUEUES}
    except (redis.RedisError, OSError) as error:
        logger.error("health queue error=%s", type(error).__name__)
        return Check(ok=False, detail="the queue server does not answer")
    return Check(ok=True, facts={"waiting": waiting})


def workers() -> Check:
    """One living worker for each queue, or its work stands still. A need may go without while no job waits with it."""
    try:
        alive = living_workers()
    except (redis.RedisError, OSError):
        return Check(ok=False, detail="the queue server does not answer")
    counts = {name: sum(name in worker.queue_names() for worker in alive) for name in settings.RQ_QUEUES}
    idle = [name for name, count in counts.items() if not count]
    if set(NEEDS) - set(idle):
        idle = [name for name in idle if name not in NEEDS or is_waited_for(name)]
    return Check(ok=not idle, detail=f"no worker listens to: {', '.join(idle)}" if idle else "", facts=counts)


def is_waited_for(need: str) -> bool:
    """Whether a job waits that only a worker for this need would take."""
    try:
        return Job.objects.filter(turns.WORK.waiting | turns.PREVIEWS.waiting, need=need).exists()
    except DatabaseError:
        return False  # said by the database's own check


def living_workers() -> list[BaseWorker]:
    """Raises what the queue server's client raises."""
    return [worker for worker in Worker.all(connection=django_rq.get_connection(NEEDS[0])) if is_alive(worker)]


def last_word(worker: BaseWorker) -> datetime | None:
    beat: datetime | None = worker.last_heartbeat
    return beat.replace(tzinfo=beat.tzinfo or UTC) if beat else None


def is_alive(worker: BaseWorker) -> bool:
    """It spoke lately; and where the queue is our own, so that its workers run here, its process is there."""
    beat = last_word(worker)
    if beat is None:
        return False
    is_local = settings.REDIS_URL == settings.EMBEDDED_REDIS_URL and worker.hostname == socket.gethostname()
    if is_local and worker.pid and not Path(f"/proc/{worker.pid}").exists() and Path("/proc/self").exists():
        return False
    return datetime.now(UTC) - beat < WORKER_SILENCE


def storage() -> Check:
    """Local: the folder can be written, and has room. Remote: the store answers (believed for a while)."""
    media = storages["media"]
    if isinstance(media, FileSystemStorage):
        folder = Path(media.location)
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            return Check(ok=False, detail="the media folder cannot be written")
        is_full = shutil.disk_usage(nearest).free < LEAST_FREE_BYTES
        return Check(ok=False, detail=FULL) if is_full else Check(ok=True)
    if time.monotonic() < remote_storage["believed_until"]:
        return Check(ok=True)
    try:
        media.exists("health")
    except Exception as error:  # whatever the store's client library raises, it is the same answer
        logger.error("health storage error=%s", type(error).__name__)
        return Check(ok=False, detail="the media storage does not answer")
    remote_storage["believed_until"] = time.monotonic() + STORAGE_ANSWER_SECONDS
    return Check(ok=True)


def models() -> Check:
    """In order as soon as one model works; what is missing is said for each."""
    status = weights.model_status(Path(settings.MODELS_DIR), permissive=settings.MODEL_LICENCES == "permissive")
    words = {name: model_word(status[name]) for name in MODELS}
    if any(status[name].installed for name in MODELS):
        return Check(ok=True, facts=words)
    return Check(ok=False, detail="no model is installed yet", facts=words)


def model_word(status: weights.ModelStatus) -> str:
    if status.installed:
        return "installed"
    return "installing" if status.installing else "not installed"


def all_checks() -> dict[str, Check]:
    return {
        "database": database(),
        "queue": queue(),
        "storage": storage(),
        "workers": workers(),
        "models": models(),
    }
