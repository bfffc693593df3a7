"""How the web server runs: few processes of many threads, which die with their parent.

Many, because most of them only wait for a job together with their client; it
is the processes that share out the work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from apps.jobs import closing
from apps.ops import hosts
from apps.ops.processes import die_with_parent, share_heaps

worker_class = "apps.ops.web_worker.Worker"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 8
# A client that asks again every half minute must not meet a connection that is just being closed.
keepalive = 60
errorlog = "-"
loglevel = "warning"
# Its own lines in the site's format.
logconfig_dict: dict[str, Any] = {
    **settings.LOGGING,
    "loggers": {
        **settings.LOGGING["loggers"],
        "gunicorn.error": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
# Its interface would be a second door into the server, kept in the home folder.
control_socket_disable = True
# The heartbeat file must not sit on a slow disk: a late beat gets a worker killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None


def on_starting(server: Any) -> None:
    if why := hosts.refusal():
        raise SystemExit(f"error: {why}")
    share_heaps()


def post_fork(server: Any, worker: Any) -> None:
    die_with_parent(worker.ppid)


def post_worker_init(worker: Any) -> None:
    """Whoever waits for a job is answered before the process ends, not cut off."""
    closing.signs.append(lambda: not worker.alive)
