"""A live house for the tests that go all the way: embedded queue, worker and reconciler processes, and an API client.

The web server is pytest-django's, in this process; everything behind it is
started by the commands that the supervisor uses.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django_rq
import pytest
import requests
from django.conf import settings
from django.db import connection

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.credits.models import Hold, LedgerEntry, PriceList, Wallet
from apps.jobs import options as job_options
from apps.ops import plan, queue_server
from apps.ops.processes import Child, child_ids

LEASE_SECONDS = 4
KEYER = "chroma"
KEYER_RATE = 600
"""1/100 credits a minute: one second costs a tenth of a credit."""


@dataclass
class House:
    """One queue server, and the processes that work from it. `environment` is what they are told."""

    data_dir: Path
    environment: dict[str, str]
    address: str = ""
    children: dict[str, Child] = field(default_factory=dict)

    @contextmanager
    def workers(self, *, directory: Path | None = None, **told: str) -> Iterator[None]:
        """Workers for both queues and the reconciler, with some settings, or even code, of their own."""
        self.start_workers(directory=directory, **told)
        try:
            yield
        finally:
            self.stop_workers()

    def start_workers(self, *, directory: Path | None = None, **told: str) -> None:
        site = plan.Site(self.data_dir, self.address, "", 0, embeds_queue=True, installs_models=False)
        rows = [*site.workers(), site.manage("reconciler", "reconcile", "--interval=0.5")]
        for child in rows:
            if child.name not in self.children:
                child.start({**self.environment, **told}, directory or site.directory)
                self.children[child.name] = child

    def stop_workers(self) -> None:
        for child in self.children.values():
            child.kill()
        self.children.clear()

    def kill_worker(self) -> None:
        """Power loss: the worker of the long queue, its horse and the engine, at once and without a word."""
        worker = self.children.pop("worker-jobs-1")
        assert worker.pid is not None
        family = [worker.pid, *descendants(worker.pid)]
        assert len(family) >= 3, "the worker is idle"
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.kill()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{child.tail(40)}" for name, child in self.children.items())


def descendants(pid: int) -> list[int]:
    """Children of children too; threads and processes that end while we look are passed over."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for child in (task / "children").read_text().split():
                    found += [int(child), *descendants(int(child))]
    return found


@contextmanager
def running_house(site_url: str, *, egress_allow: str = "") -> Iterator[House]:
    """The queue server is up; workers are started by the tests. Our own process rings into the same queue."""
    data_dir = Path(settings.DATA_DIR)
    before = child_ids()
    url = queue_server.choose_address(data_dir)
    server = queue_server.child(queue_server.find_binary(), url, data_dir)
    server.start(dict(os.environ), data_dir)
    house = House(data_dir, _environment(site_url, url, egress_allow))
    try:
        wait_for(lambda: queue_server.is_alive(url), seconds=20, told=server.tail)
        with pytest.MonkeyPatch.context() as patch:
            for queue in django_rq.settings.QUEUES.values():
                patch.setitem(queue, "URL", url)
            yield house
    finally:
        house.stop_workers()
        server.kill()
        queue_server.forget_address(data_dir)
        assert child_ids() <= before, "a process was left behind"


def _environment(site_url: str, queue_url: str, egress_allow: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")}
    models = Path(settings.DATA_DIR) / "models"
    if not models.exists():
        models.symlink_to(settings.MODELS_DIR)
    return {
        **kept,
        "DATA_DIR": str(settings.DATA_DIR),
        "DATABASE_URL": _database_url(),
        "REDIS_URL": queue_url,
        "SANDBOX": "1",
        "SITE_URL": site_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "EGRESS_ALLOW": egress_allow,
        "PYTHONUNBUFFERED": "1",
    }


def _database_url() -> str:
    """The test database, as the other processes have to be told of it."""
    row = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{row['NAME']}"
    host = str(row["HOST"] or row["OPTIONS"].get("host", ""))
    place = f"/{host}" if host.startswith("/") else f"{host}:{row['PORT']}"
    return f"postgres://{row['USER']}:{row['PASSWORD']}@{place}/{row['NAME']}"


def open_keyer_door(patch: pytest.MonkeyPatch) -> None:
    """Let this process's API take the weights-free keyer, at a price. No setting and no request can do that."""
    patch.setattr(job_options, "MODELS", (*job_options.MODELS, KEYER))
    prices = PriceList.objects.order_by("-version")[0]
    # Not save(): a list that has started is history.
    PriceList.objects.filter(pk=prices.pk).update(rates={**prices.rates, KEYER: KEYER_RATE})


@dataclass
class Caller:
    """A program that uses the API with a key of `user`."""

    site_url: str
    user: User
    session: requests.Session

    def call(self, method: str, path: str, *, expect: int, **how: Any) -> dict[str, Any]:
        answer = self.session.request(method, f"{self.site_url}{path}", timeout=60, **how)
        assert answer.status_code == expect, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def upload(self, clip: Path, *, expect: int = 201) -> dict[str, Any]:
        with clip.open("rb") as file:
            return self.call("POST", "/v1/uploads", expect=expect, files={"file": (clip.name, file, "video/mp4")})

    def submit(self, *, expect: int = 201, **fields: Any) -> dict[str, Any]:
        return self.call("POST", "/v1/jobs", expect=expect, json={"model": KEYER, **fields})

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call("GET", f"/v1/jobs/{job_id}", expect=200)

    def wait(self, job_id: str, *, seconds: float = 90, told: Callable[[], object] = lambda: "") -> dict[str, Any]:
        """The job once it is final."""
        wait_for(
            lambda: self.job(job_id)["status"] in ("completed", "failed", "canceled"),
            seconds=seconds,
            told=lambda: f"{self.job(job_id)}\n{told()}",
        )
        return self.job(job_id)

    def download(self, url: str, target: Path) -> Path:
        """Without the key: a media URL carries its own permission."""
        answer = requests.get(url, timeout=60)
        assert answer.status_code == 200, answer.text
        target.write_bytes(answer.content)
        return target


@contextmanager
def caller(site_url: str, user: User) -> Iterator[Caller]:
    _, secret = issue_key(user, name="test")
    with requests.Session() as session:
        session.headers["X-Api-Key"] = secret
        yield Caller(site_url, user, session)


def wait_for(condition: Callable[[], Any], *, seconds: float, told: Callable[[], object] = lambda: "") -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {told()}"
        time.sleep(0.1)


def books(user: User) -> dict[str, Any]:
    """What a user's credits look like, in 1/100: the wallet, its lines by kind, and the holds by state."""
    wallet = Wallet.objects.get(user=user)
    entries = LedgerEntry.objects.filter(wallet=wallet).order_by("id")
    holds = Hold.objects.filter(wallet=wallet).order_by("created_at")
    return {
        "balance": wallet.balance,
        "held": wallet.held,
        "entries": [(entry.kind, entry.amount) for entry in entries],
        "holds": [(hold.state, hold.amount, hold.captured) for hold in holds],
    }
