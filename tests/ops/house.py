"""A real instance in its own processes: started, asked, stopped, and searched for what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "DATA_DIR": str(data_dir), "PORT": str(port), "SANDBOX": "1", **more}


def as_from_a_terminal() -> None:
    """Whoever runs the tests in the background (nohup, `&`) hands down ignored signals, and the site honours those."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class House:
    """One `manage.py run`; every process it makes carries our mark in its environment or names its data folder."""

    def __init__(self, data_dir: Path, *arguments: str, port: int | None = None, **more: str) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.mark = f"HOUSE_MARK={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.environment = environment(data_dir, self.port, **{name: value}, **more)
        self.output = data_dir.parent / f"{data_dir.name}-{uuid.uuid4().hex[:6]}.out"
        self.began = time.monotonic()
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=as_from_a_terminal,
            )

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_ready(self) -> float:
        wait_for(lambda: "is ready at" in self.said() or self.process.poll() is not None, START_SECONDS, self.said)
        assert self.process.poll() is None, self.said()
        return time.monotonic() - self.began

    def health(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 40) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def processes(self) -> dict[int, str]:
        """Command lines of everything alive that carries our mark, whoever its parent is by now."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
                marked = self.mark.encode() in (folder / "environ").read_bytes().split(b"\0")
                line = (folder / "cmdline").read_bytes()
                place = os.readlink(folder / "cwd")
            except OSError:
                continue
            # An engine child has a clean environment, and the queue server writes its title over its own.
            ours = marked or str(self.data_dir).encode() in line or place.startswith(str(self.data_dir))
            if state != "Z" and ours:
                found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def find(self, *words: str) -> list[int]:
        return [pid for pid, line in self.processes().items() if all(word in line for word in words)]

    def manage(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return manage(self.environment, *arguments, timeout=timeout)


def manage(env: dict[str, str], *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def wait_for(condition: Callable[[], Any], seconds: float, told: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {told()}"
        time.sleep(0.1)
