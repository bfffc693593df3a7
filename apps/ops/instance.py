"""One instance per data folder: the lock that keeps a second one out, and the port it will listen on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any


class CannotStart(Exception):
    """The instance cannot start here and now; the message says what to do."""


class RunLock:
    """Held by the supervisor while it lives; the kernel lets go of it however the process ends."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run.lock"
        self.descriptor: int | None = None

    def take(self, *, address: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not lock_soon(descriptor):
            os.close(descriptor)
            holder = read_holder(self.path)
            raise CannotStart(
                f"Clearmatte already runs on {self.path.parent}: process {holder.get('pid', 'unknown')}, "
                f"{holder.get('address', 'address unknown')}. Stop it first (Ctrl-C there, or kill "
                f"{holder.get('pid', 'PID')}), or give this one another folder with DATA_DIR."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "address": address}).encode())
        self.descriptor = descriptor

    def release(self) -> None:
        if self.descriptor is not None:
            os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = None


def lock_soon(descriptor: int, *, seconds: float = 1) -> bool:
    """Not at once: `running` of another command holds the lock for an instant."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def read_holder(path: Path) -> dict[str, Any]:
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return holder


def running(data_dir: Path) -> dict[str, Any] | None:
    """`{pid, address}` of the instance that runs on the folder, or None."""
    path = data_dir / "run.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_holder(path)
    finally:
        os.close(descriptor)
    return None


def bind(host: str, port: int) -> socket.socket:
    """The web server's socket, bound before anything starts, so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"Port {port} on {host} is in use by another program. Stop it, or choose another: "
                f"make run PORT={port + 10}"
            ) from None
        raise CannotStart(f"Cannot listen on {host} port {port}: {error.strerror}. Set HOST and PORT.") from None
    return listener


def free_port(preferred: int) -> int:
    """`preferred` when nobody has it, else one that the kernel picks; on loopback."""
    for port in (preferred, 0):
        try:
            with bind("127.0.0.1", port) as probe:
                number: int = probe.getsockname()[1]
                return number
        except CannotStart:
            continue
    raise CannotStart("No free port on 127.0.0.1.")
