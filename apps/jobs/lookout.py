"""Waiting for a job to end, for callers who asked to: one thread of a process looks for all who wait in it.

Fifty waiting clients cost two queries a second, and no connection each.
"""

from __future__ import annotations

import logging
import threading
import time
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection

from apps.api import turnstile
from apps.jobs import closing
from apps.jobs.models import Job

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.5


class Lookout:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[UUID, set[threading.Event]] = {}
        self._looks = False

    def wait(self, job_id: UUID, seconds: float) -> bool:
        """Return when the job is final, or after so many seconds; at once, with False, when too many wait already.

        Each who waits holds a thread of the web server, and some must stay free.
        """
        event = threading.Event()
        with self._lock:
            if sum(map(len, self._awaited.values())) >= settings.LONG_POLLS:
                return False
            self._awaited.setdefault(job_id, set()).add(event)
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look, name="lookout", daemon=True).start()
        if not connection.in_atomic_block:
            # For others to use meanwhile; the next query opens another.
            connection.close()
        with turnstile.outside():
            event.wait(seconds)
        with self._lock:
            self._awaited[job_id].discard(event)
            if not self._awaited[job_id]:
                del self._awaited[job_id]
        return True

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            with self._lock:
                awaited = list(self._awaited)
                if not awaited:
                    self._looks = False
                    break
            # When the process has to go, everybody is answered with what is known.
            over = awaited if closing.is_closing() else self._final(awaited)
            with self._lock:
                for event in [event for job_id in over for event in self._awaited.get(job_id, ())]:
                    event.set()
        connection.close()

    def _final(self, job_ids: list[UUID]) -> list[UUID]:
        try:
            # One that is gone altogether has nothing left to wait for either.
            going_on = Job.objects.filter(pk__in=job_ids).exclude(status__in=Job.FINAL)
            return list(set(job_ids) - set(going_on.values_list("pk", flat=True)))
        except DatabaseError:
            log.warning("nobody could be told whether jobs are over", exc_info=True)
            connection.close()
            return []


lookout = Lookout()
