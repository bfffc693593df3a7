"""Children: stopped in words, then by force; what they wrote is kept for the person who asks why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.ops import processes
from apps.ops.processes import Child
from tests.ops.house import wait_for


def python(name: str, code: str, folder: Path, **fields: float) -> Child:
    return Child(name, [sys.executable, "-c", code], folder / f"{name}.log", **fields)  # type: ignore[arg-type]


def start(child: Child, folder: Path) -> Child:
    child.start(os.environ, folder)
    return child


def test_stop_asks_first(tmp_path: Path) -> None:
    code = "import signal, sys\nsignal.signal(15, lambda *a: sys.exit(7))\nprint('up', flush=True)\nsignal.pause()"
    child = start(python("polite", code, tmp_path), tmp_path)
    wait_for(lambda: "up" in child.tail(), 10)

    processes.stop([child], hurry=lambda: False)

    assert child.ended() == 7


def test_stop_kills_what_does_not_listen_and_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys\nsignal.signal(15, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\nsignal.pause()"
    )
    child = start(python("deaf", code, tmp_path, stop_seconds=0.3), tmp_path)
    wait_for(lambda: child.tail().strip(), 10)
    grandchild = int(child.tail())

    processes.stop([child], hurry=lambda: False)

    assert child.ended() == -signal.SIGKILL
    wait_for(lambda: not is_running(grandchild), 5)


def test_stop_in_a_hurry_does_not_wait(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\nsignal.pause()"
    child = start(python("slow", code, tmp_path, stop_seconds=60), tmp_path)
    wait_for(lambda: "up" in child.tail(), 10)
    began = time.monotonic()

    processes.stop([child], hurry=lambda: True)

    assert time.monotonic() - began < 5
    assert child.ended() == -signal.SIGKILL


def test_ended_tells_a_status_once(tmp_path: Path) -> None:
    child = start(python("brief", "raise SystemExit(3)", tmp_path), tmp_path)
    told: list[int | None] = []

    wait_for(lambda: told.append(child.ended()) or told[-1] is not None, 10)

    assert told[-1] == 3
    assert child.ended() is None


def test_tail_shows_this_run_only(tmp_path: Path) -> None:
    for word in ("first", "second"):
        child = start(python("talker", f"print('{word}')", tmp_path), tmp_path)
        wait_for(lambda child=child: child.ended() is not None, 10)

    assert child.tail() == "    second"


def test_a_large_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 3)
    (tmp_path / "talker.log").write_text("long ago")

    child = start(python("talker", "print('now')", tmp_path), tmp_path)
    wait_for(lambda: child.ended() is not None, 10)

    assert (tmp_path / "talker.log").read_text() == "now\n"
    assert (tmp_path / "talker.old.log").read_text() == "long ago"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


HEAPS = """
import sys, threading
from pathlib import Path
from apps.ops import processes

if sys.argv[1] == "shared":
    processes.share_heaps(2)
here, go = threading.Barrier(9), threading.Event()

def work():
    kept = [bytes(5000) for _ in range(50)]
    here.wait()
    go.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
here.wait()
maps = Path("/proc/self/maps").read_text().splitlines()
starts = [int(line.split("-")[0], 16) for line in maps if " rw-p 00000000 00:00 0" in line]
go.set()
print(sum(start % (64 << 20) == 0 for start in starts))
"""
"""How many heaps beside the main one eight threads have: glibc lays each on a multiple of 64 MB."""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(processes.LIBC, "mallopt"), reason="glibc's heaps")
def test_threads_share_heaps() -> None:
    count = {
        how: int(subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, check=True).stdout)
        for how in ("shared", "own")
    }

    assert count["shared"] <= 1 < count["own"]
