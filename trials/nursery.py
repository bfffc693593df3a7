"""`python -m trials.nursery`: a process of its own for each run of the engine, born with the libraries already loaded.

Starting Python and loading codecs takes a hundred times longer than a small
clip. Here that is done once; then every run is forked, and from there on it is
the engine's command line with the walls that workers' children have.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.engine.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
TICK = 0.005
LOG_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit status (negative: the signal), its report if it gave one, its last words."""

    status: int
    hung: bool
    seconds: float
    report: dict[str, Any] | None
    log: str


class Nursery:
    """The caller's side: one run at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, arguments: list[str], *, seconds: float) -> Ended:
        """The engine with these arguments, killed when it takes longer than `seconds`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@contextmanager
def nursery() -> Iterator[Nursery]:
    with tempfile.TemporaryDirectory(prefix="nursery-") as home:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        environment = {**kept, "HOME": home, "TMPDIR": home, "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "trials.nursery"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            yield Nursery(process)
            # It ends when there is no more to read.


def _serve() -> None:
    _load()
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(asdict(_raise(asked["arguments"], asked["seconds"], Path(folder)))), flush=True)


def _load() -> None:
    """What every run would import; none of it starts a thread, which a fork would lose."""
    import apps.engine.facts
    import apps.engine.matting.load
    import apps.engine.matting.stages
    import apps.engine.pipeline  # noqa: F401


def _raise(arguments: list[str], seconds: float, folder: Path) -> Ended:
    began = time.monotonic()
    out, log = folder / "out", folder / "log"
    nurse = os.getpid()
    child = os.fork()
    if child == 0:
        _live(["--json", f"--contain={nurse}", *arguments], out, log)
    hung = False
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if not hung and time.monotonic() - began > seconds:
            hung = True
            os.kill(child, signal.SIGKILL)
        time.sleep(TICK)
    status = os.waitstatus_to_exitcode(ended[1])
    text = log.read_bytes()[-LOG_BYTES:].decode("utf-8", "replace")
    return Ended(status, hung, round(time.monotonic() - began, 3), _report(out), text)


def _live(arguments: list[str], out: Path, log: Path) -> None:
    """The forked child: from here on it is `python -m apps.engine`."""
    status = 70
    try:
        for target, stream in ((out, 1), (log, 2)):
            file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, stream)
        status = main(arguments)
        sys.stdout.flush()
    finally:
        os._exit(status)


def _report(out: Path) -> dict[str, Any] | None:
    """The last line that is no progress."""
    for line in reversed(out.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if "progress" not in told:
            return dict(told)
    return None


if __name__ == "__main__":
    _serve()
