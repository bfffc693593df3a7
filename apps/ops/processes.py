"""Child processes that cannot outlive the house: each leads its own session and is killed when its parent dies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
M_ARENA_MAX = -8
LOG_LIMIT = 20_000_000
"""Bytes after which a log is put aside at the next start of its process; one older file is kept."""
# Looked up before any fork: loading a library between fork and exec may deadlock.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `number` to this process when `parent` ends; Linux only.

    A parent that ended before the request is noticed by its changed id.
    """
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Processes whose parent dies become ours instead of init's, so that none can slip away; Linux only."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def share_heaps(count: int = 2) -> None:
    """Let all threads share so many heaps; glibc only.

    Of itself it makes one for every thread, up to eight a core, and what one thread freed in its own lies idle.
    """
    if LIBC is not None and hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, count)


def child_ids() -> set[int]:
    """Direct children of this process, adopted ones included; empty where the kernel does not tell."""
    try:
        return {int(pid) for pid in Path("/proc/thread-self/children").read_text(encoding="ascii").split()}
    except OSError:
        return set()


def kill_strays(ours: set[int]) -> set[int]:
    """Kill and reap adopted orphans; returns the ids that were found."""
    strays = child_ids() - ours
    for pid in strays:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return strays


@dataclass(slots=True)
class Child:
    """One process that is kept running, and what is known of its life so far."""

    name: str
    command: Sequence[str]
    log: Path
    stop_seconds: float = 5
    """How long it may take to end in order before it is killed."""
    death_signal: int = signal.SIGKILL
    """What the kernel sends it when we die without a word."""
    is_kept: bool = True
    """Started again when it ends; otherwise only when it ends badly."""
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)
    started_at: float = field(default=0, init=False)
    log_start: int = field(default=0, init=False)
    """Where in its log this run began."""
    due_at: float | None = field(default=None, init=False)
    """When it is to be started again; None while it runs or has ended for good."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    def start(self, environment: Mapping[str, str], directory: Path) -> None:
        put_aside(self.log)
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        supervisor, death_signal = os.getpid(), self.death_signal
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach us only: we know the order of stopping
                pass_fds=self.pass_fds,
                preexec_fn=lambda: die_with_parent(supervisor, death_signal),
            )
        self.started_at, self.due_at = time.monotonic(), None

    def ended(self) -> int | None:
        """Its exit status, told once; None while it runs or when that was told already."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.kill()
        self.process = None
        return status

    def send(self, number: int) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and everything in its process group, now."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines it wrote since it was started, for the person who has to find out why."""
        try:
            data = self.log.read_bytes()[self.log_start :][-8000:]
        except FileNotFoundError:
            return ""
        return "\n".join(f"    {line}" for line in data.decode("utf-8", "replace").splitlines()[-lines:])


def put_aside(log: Path) -> None:
    """Keep logs from growing for ever without a log daemon."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".old.log"))


def stop(children: Sequence[Child], *, hurry: Callable[[], bool]) -> None:
    """End several at once: a word first, force after the longest time any of them was given."""
    for child in children:
        child.send(signal.SIGTERM)
    deadline = time.monotonic() + max((child.stop_seconds for child in children), default=0)
    while time.monotonic() < deadline and not hurry():
        if all(child.pid is None or (child.process and child.process.poll() is not None) for child in children):
            break
        time.sleep(0.05)
    for child in children:
        child.kill()
