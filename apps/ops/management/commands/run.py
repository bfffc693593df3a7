"""`manage.py run`: the whole site in one process group, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.ops import hosts, instance, plan, processes
from apps.ops.supervisor import Supervisor, say


class Command(BaseCommand):
    help = "Run the whole site: queue server, web server, workers, reconciler, installer of networks."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--no-models", action="store_true", help="Install no networks; use what is there.")
        parser.add_argument("--with-parent", action="store_true", help="Stop when the process that started this ends.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["with_parent"]:
            processes.die_with_parent(os.getppid(), signal.SIGTERM)
        if why := hosts.refusal():
            raise CommandError(why)
        data_dir = Path(settings.DATA_DIR)
        lock = instance.RunLock(data_dir)
        try:
            lock.take(address=settings.SITE_URL)
            listener = instance.bind(settings.HOST, settings.PORT)
        except instance.CannotStart as error:
            lock.release()
            raise CommandError(str(error)) from None
        with listener:
            say(f"Clearmatte {settings.VERSION} · data in {data_dir}")
            site = plan.Site(
                data_dir=data_dir,
                address=settings.SITE_URL,
                health_url=health_url(settings.HOST, settings.PORT),
                listener=listener.fileno(),
                embeds_queue=not settings.REDIS_URL_GIVEN,
                installs_models=not options["no_models"],
                environment=plan.environment(),
            )
            status = Supervisor(site, say=say).run()
        lock.release()
        sys.exit(status)


def health_url(host: str, port: int) -> str:
    """Where we ask ourselves: through loopback when the server listens on every address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/health" if ":" in host else f"http://{host}:{port}/health"
