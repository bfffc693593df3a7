"""`manage.py demo`: a running site with an account, a key and a finished job of each model to look at."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import User
from apps.engine.options import MODELS, Options
from apps.jobs import services as jobs
from apps.jobs.models import Job
from apps.ops import instance, plan, processes
from apps.ops.management.commands.create_account import create
from apps.ops.management.commands.run import health_url
from apps.ops.supervisor import health, say
from apps.projects import services as projects

CLIP = Path(settings.BASE_DIR) / "docs" / "demo" / "demo.mp4"
CREDITS = 100_00
"""1/100 credits: all four jobs cost about twenty, the rest is for playing."""
PATIENCE = 1800
"""Seconds for the networks to arrive and the jobs to finish; a slow line takes ten minutes for the networks."""


class Command(BaseCommand):
    help = "Start the site (or use the one that runs), with a demo account and one finished job of each model."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--with-parent", action="store_true", help="Stop when the process that started this ends.")
        parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="Default: all four.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["with_parent"]:
            processes.die_with_parent(os.getppid(), signal.SIGTERM)
        if instance.running(Path(settings.DATA_DIR)):
            fill(options["models"])
        else:
            sys.exit(start_and_fill(options["models"]))


def start_and_fill(models: list[str]) -> int:
    """Our own instance, filled from a second process: this one read the settings before there was a queue."""
    stops: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stops.append(number))
    site = started("run")
    filler = None
    while site.poll() is None:
        if stops:
            for child in (filler, site):
                if child and child.poll() is None:
                    child.send_signal(signal.SIGTERM)
            return site.wait()
        if filler is None and instance.running(Path(settings.DATA_DIR)) and is_serving():
            filler = started("demo", "--models", *models)
        time.sleep(0.2)
    return site.returncode


def started(*arguments: str) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        env={**os.environ, "LOG_LEVEL": "WARNING"},  # the terminal is for the address and the account
        start_new_session=True,
        preexec_fn=lambda: processes.die_with_parent(parent, signal.SIGTERM),
    )


def is_serving() -> bool:
    answer = health(health_url(settings.HOST, settings.PORT))
    return answer is not None and all(check["ok"] for check in answer["checks"].values())


def fill(models: list[str]) -> None:
    """The account and its jobs, through the same services as everybody's."""
    deadline = time.monotonic() + PATIENCE
    wait_for_networks(models, deadline)
    account = create(free_email(), CREDITS, key_name="demo")
    user = User.objects.get(email=account["email"])
    upload = SimpleUploadedFile(CLIP.name, CLIP.read_bytes(), content_type="video/mp4")
    asset = projects.create_asset(projects.default_project(user), upload, filename=CLIP.name)
    for name in models:
        wait_for(jobs.submit(user, asset=asset, options=Options(model=name)), deadline)
    say(
        f"\nThe demo account of {settings.SITE_URL}\n"
        f"  e-mail    {account['email']}\n  password  {account['password']}\n  API key   {account['api_key']}\n"
    )


def free_email() -> str:
    """A second demo gets an account of its own: the first one's password cannot be read again."""
    number = User.objects.filter(email__startswith="demo", email__endswith="@example.org").count() + 1
    return "demo@example.org" if number == 1 else f"demo{number}@example.org"


def wait_for_networks(models: list[str], deadline: float) -> None:
    said = 0.0
    while missing := [name for name in models if name not in plan.installed_models()]:
        if time.monotonic() > deadline:
            raise CommandError(f"Still not installed: {', '.join(missing)}. See manage.py models.")
        if time.monotonic() - said > 30:
            say(f"The demo waits for: {', '.join(missing)}")
            said = time.monotonic()
        time.sleep(1)


def wait_for(job: Job, deadline: float) -> None:
    while True:
        job.refresh_from_db()
        if job.status == Job.Status.COMPLETED:
            say(f"Demo job of model {job.model}: completed, {settings.SITE_URL}/jobs/{job.pk}")
            return
        if job.is_final:
            raise CommandError(f"The demo job of model {job.model} ended as {job.status}: {job.error}")
        if time.monotonic() > deadline:
            raise CommandError(f"The demo job of model {job.model} is still {job.status}. See manage.py doctor.")
        time.sleep(0.5)
