"""What an instance consists of: its processes, their commands and environment, in the order of the house."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from apps.engine.matting import weights
from apps.engine.options import MODELS
from apps.ops.instance import free_port
from apps.ops.processes import Child

FIRST_MODEL = "light"
"""The smallest download, so the first model that works."""
JOB_GIVE_BACK_SECONDS = 20


@dataclass(slots=True)
class Site:
    """One instance about to run: where it lives and what its processes are told."""

    data_dir: Path
    address: str
    health_url: str
    listener: int
    """Descriptor of the bound socket that the web server will listen on."""
    embeds_queue: bool
    installs_models: bool
    directory: Path = field(default_factory=lambda: Path(settings.BASE_DIR))
    environment: dict[str, str] = field(default_factory=dict)

    def log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def manage(self, name: str, *arguments: str, log: str = "", **fields: object) -> Child:
        command = [sys.executable, "manage.py", *arguments]
        return Child(name, command, self.log(log or name), **fields)  # type: ignore[arg-type]

    def migrate(self) -> Child:
        return self.manage("migrate", "migrate", "--noinput", log="prepare")

    def collect_static(self) -> Child:
        # The second viewer of API schemas that a package brings along; we show one.
        options = ("--noinput", "--verbosity=0", "--ignore=redoc")
        return self.manage("collectstatic", "collectstatic", *options, log="prepare")

    def children(self) -> list[Child]:
        rows = [self.web(), *self.workers(), self.manage("reconciler", "reconcile")]
        if settings.STRIPE_IS_FAKE:
            rows.append(self.payments())
        if self.installs_models:
            rows.append(self.installer())
        return rows

    def installer(self) -> Child:
        """Told to end rather than killed when we die: pip and npm lead sessions of their own, and it ends them."""
        command = ("models", "install", "--keep-trying")
        return self.manage("installer", *command, log="models", is_kept=False, death_signal=signal.SIGTERM)

    def web(self) -> Child:
        command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
        command += ["--config", "python:apps.ops.gunicorn_settings", "--bind", f"fd://{self.listener}"]
        return Child("web", command, self.log("web"), stop_seconds=10, pass_fds=(self.listener,))

    def workers(self) -> list[Child]:
        """For jobs as many as asked for, and some for previews alone, which no film delays; for the short work one."""
        names = [(f"worker-jobs-{number + 1}", settings.WORKER_QUEUES) for number in range(settings.WORKERS)]
        names += [(f"worker-preview-{number + 1}", ["preview"]) for number in range(settings.PREVIEW_WORKERS)]
        return [
            self.manage(
                name,
                "rqworker",
                *queues,
                "--worker-class=apps.jobs.worker.Worker",
                "--serializer=rq.serializers.JSONSerializer",
                stop_seconds=JOB_GIVE_BACK_SECONDS,
            )
            for name, queues in [*names, ("worker-default", ["default"]), ("worker-webhooks", ["webhooks"])]
        ]

    def payments(self) -> Child:
        """The sandbox's Stripe, on loopback, which knows the secret from the settings."""
        return Child(
            "payments",
            [
                sys.executable,
                "-m",
                "apps.credits.fakestripe",
                f"--port={self.environment['STRIPE_FAKE_PORT']}",
                f"--webhook={self.health_url.removesuffix('/health')}/stripe/webhook",
            ],
            self.log("payments"),
        )

    def static_stamp(self) -> str:
        try:
            return self._stamp_file().read_text(encoding="ascii")
        except OSError:
            return ""

    def keep_static_stamp(self, stamp: str) -> None:
        self._stamp_file().write_text(stamp, encoding="ascii")

    def _stamp_file(self) -> Path:
        return Path(settings.STATIC_ROOT) / "stamp"


def rank(child: Child) -> str:
    """When it is stopped: with the `worker`s, then `web`, then `queue`."""
    return child.name if child.name in ("web", "queue") else "worker"


def environment() -> dict[str, str]:
    """Ours, with what the processes must agree on spelled out."""
    told = {
        "DATA_DIR": str(settings.DATA_DIR),
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings"),
        "SITE_URL": settings.SITE_URL,
        "PYTHONUNBUFFERED": "1",
    }
    if settings.STRIPE_IS_FAKE:
        told["STRIPE_FAKE_PORT"] = str(free_port(settings.STRIPE_FAKE_PORT))
    return {**os.environ, **told}


def static_stamp() -> str:
    """Changes when any static file does: collecting and compressing them anew takes seconds."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def installed_models() -> set[str]:
    status = weights.model_status(settings.MODELS_DIR, permissive=settings.MODEL_LICENCES == "permissive")
    return {name for name in MODELS if status[name].installed}
