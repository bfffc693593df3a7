"""`manage.py reconcile`: the reconciler, round after round."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, close_old_connections, connections

from apps.jobs import bare
from apps.jobs.reconcile import delete_media, reconcile
from apps.jobs.worker import show_life

log = logging.getLogger(__name__)

MEDIA_REST_SECONDS = 30
"""After a look that found no file to delete: it costs a database with a million jobs a fifth of a second."""


class Command(BaseCommand):
    media_at: float = 0
    """When files are looked at again, by this process's clock."""

    help = "Ring for forgotten jobs, free those of lost workers, send due webhooks, delete what has expired, audit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="One round, its counts on stdout.")
        parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self.stdout.write(" ".join(f"{step}={count}" for step, count in reconcile().items()))
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            self.round()
            show_life()
            stop.wait(options["interval"])

    def round(self) -> None:
        """One round that outlives a lost database: the next one connects anew."""
        close_old_connections()
        try:
            resting = (delete_media,) if time.monotonic() < self.media_at else ()
            done = reconcile(resting)
        except DatabaseError:
            bare.log_trouble(log, "no database in this round")
            connections.close_all()
            return
        if done.get(delete_media.__name__) == 0:
            self.media_at = time.monotonic() + MEDIA_REST_SECONDS
        if any(done.values()):
            log.info("reconciled %s", " ".join(f"{step}={count}" for step, count in done.items() if count))
