"""How the web server runs: two processes of four threads, which die with their parent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from apps.ops.processes import die_with_parent

worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
timeout = 60
graceful_timeout = 8
keepalive = 5
errorlog = "-"
loglevel = "warning"
# Its interface would be a second door into the server, kept in the home folder.
control_socket_disable = True
# The heartbeat file must not sit on a slow disk: a late beat gets a worker killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None


def post_fork(server: Any, worker: Any) -> None:
    die_with_parent(worker.ppid)
