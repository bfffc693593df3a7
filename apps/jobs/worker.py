"""The RQ worker: forks one process per task, which dies with it and hears when it has to stop."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import rq
from django.conf import settings
from django.db import DatabaseError, connections
from redis.exceptions import RedisError
from rq import worker_registration
from rq.serializers import JSONSerializer

from apps.jobs import attempts, bare, diary, fleet, needs, retention, watch
from apps.webhooks import sending

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


def close_connections() -> None:
    """Before each fork: a connection would be shared by two, and a pool's helper threads do not come along."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]


def horse_killed(task: Any, pid: int, status: int, usage: Any) -> None:
    """In the worker, after its horse was killed: RQ's failure callbacks do not run then. Frees the job at once."""
    log.warning("horse %s ended with status %s in %s", pid, status, task.id)
    try:
        worker = attempts.worker_name(pid)
        diary.worker_died(worker, os.waitstatus_to_exitcode(status))
        for job_id, lease in attempts.expire_claims(worker):
            # The reconciler may be on another machine.
            retention.discard_scratch(job_id, lease)
    except DatabaseError:
        log.exception("the lease of %s has to run out by itself", pid)
    finally:
        close_connections()


def show_life() -> None:
    """For whoever watches this process from outside and cannot ask it: a container's health check."""
    if settings.ALIVE_FILE:
        Path(settings.ALIVE_FILE).touch()


def ask_to_stop() -> None:
    watch.stop_sign.put_up()
    sending.stop_sign.set()


class Worker(rq.Worker):
    """Numbers are here because the commands that start workers have no options for all of them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options |= {
            "job_monitoring_interval": 10,
            "maintenance_interval": 60,
            "worker_ttl": 90,
            "serializer": JSONSerializer,  # no pickle, so that access to the queue is not execution of code
            "work_horse_killed_handler": horse_killed,
        }
        super().__init__(*args, **options)

    def heartbeat(self, *args: Any, **options: Any) -> None:
        """Sent while waiting and while working, at least every 75 s."""
        super().heartbeat(*args, **options)
        self.be_known()
        self.tell_scratch()
        show_life()

    def be_known(self) -> None:
        """To a queue server that came back empty, or had given us up while this machine slept, we are nobody.

        RQ signs in once, at the start: the worker would go on working, and no monitor would ever see it again.
        """
        if self.birth_date is None or self.connection.hexists(self.key, "birth"):
            return
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipeline)
            pipeline.expire(self.key, self.worker_ttl + 60)
            pipeline.execute()
        log.info("signed in again: the queue server had forgotten this worker")

    def tell_scratch(self) -> None:
        """Beside what RQ itself keeps of this worker."""
        try:
            for name, size in fleet.describe().items():
                self.connection.hset(self.key, name, size)
        except OSError as error:
            log.warning("scratch cannot be looked at: %s", error)

    def maintain_heartbeats(self, *args: Any, **options: Any) -> None:
        """While a horse works. A queue server that is away ends no job: we would quit, and the horse with us."""
        try:
            super().maintain_heartbeats(*args, **options)
        except (RedisError, OSError) as error:
            log.warning("the queue server does not answer: %s", error)
            show_life()

    def run_maintenance_tasks(self) -> None:
        """Once a minute: also our own scratch, which no other machine reaches."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        try:
            retention.sweep_scratch()
        except DatabaseError:
            bare.log_trouble(log, "scratch is swept another time")
        finally:
            close_connections()

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        close_connections()
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        if sys.platform == "linux":
            # An orphan would go on working beside the worker that replaces it.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.pid:
                os._exit(1)
        needs.listen(self.queue_names())
        super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGTERM, lambda *_: ask_to_stop())
        watch.stop_sign.listen()

    def handle_warm_shutdown_request(self) -> None:
        """The first SIGTERM: a job is given back within seconds; a short task is let finish."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        if self.horse_pid:
            os.kill(self.horse_pid, signal.SIGTERM)
