"""The engine run as a child process: the house's only way to it. Light: codecs and networks load in the child."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apps.engine import errors
from apps.engine.options import Options
from apps.engine.parts import remove, remove_parts
from apps.engine.report import Facts, Progress, Result

ROOT = Path(__file__).resolve().parents[2]

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""All the child gets of our environment: no database, no queue, no keys."""

GRACE_SECONDS = 2.0
"""Between asking a child to stop and killing it."""

LOG_TAIL_BYTES = 4096

ERRORS: dict[str, type[errors.EngineError]] = {
    kind.code: kind
    for kind in (
        errors.BadOptions,
        errors.Unsupported,
        errors.InputRefused,
        errors.InputTruncated,
        errors.LimitExceeded,
        errors.ModelNotInstalled,
        errors.EngineFault,
        errors.OutOfMemory,
        errors.NoRoom,
        errors.VerificationFailed,
        errors.Canceled,
    )
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may be at most; None is no limit. `max_seconds` counts what the options keep."""

    max_seconds: float | None = None
    max_side: int | None = None
    max_fps: float | None = None

    def arguments(self) -> list[str]:
        given = {"--max-seconds": self.max_seconds, "--max-side": self.max_side, "--max-fps": self.max_fps}
        return [text for name, value in given.items() if value is not None for text in (name, repr(value))]


class Run:
    """One child at work. Leaving the context kills it and removes what it left half-written.

    What it keeps for a while goes into a folder of its own inside `scratch`:
    give one that is cleared even if this process is killed.

    The child dies with the *thread* that started it (that is how the kernel
    counts a parent's death), so keep the run inside one thread.
    """

    def __init__(
        self,
        arguments: list[str],
        *,
        written: tuple[Path, ...] = (),
        log: Path | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._written = written
        self._scratch = Path(tempfile.mkdtemp(prefix="engine-", dir=scratch)).absolute()
        self._log = log or self._scratch / "log"
        self._news = threading.Condition()
        self._unread: Progress | None = None
        self._closed = False
        self._report: dict[str, Any] | None = None
        self._stopped = False
        command = [sys.executable, "-m", "apps.engine", "--json", f"--contain={os.getpid()}", *arguments]
        with self._log.open("ab") as log_file:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=_environment(self._scratch), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log_file, start_new_session=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, name="engine-report", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Once it has ended; −9 where signal 9 ended it."""
        return self._process.poll()

    @property
    def finished(self) -> bool:
        return self._closed and self._process.poll() is not None

    def poll(self, seconds: float) -> Progress | None:
        """The newest progress not yet returned, waiting at most `seconds` for it; None when there is no news."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._unread is not None, timeout=seconds)
            news, self._unread = self._unread, None
            return news

    def stop(self) -> None:
        """Ask it to stop, then make it; safe to call at any time, also twice."""
        if self._process.poll() is not None:
            return
        self._stopped = True
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def result(self) -> Result:
        """Wait for the end and return the report, or raise the error that the child reported."""
        self._process.wait()
        self._reader.join()
        if self._report is not None and self._report.get("error"):
            error = self._report["error"]
            kind = ERRORS.get(error["code"], errors.EngineFault)
            raise kind(error["message"], param=error.get("param"))
        if self._report is not None and self._process.returncode == 0:
            return Result.from_dict(self._report)
        if self._stopped:
            raise errors.Canceled("The engine was stopped.")
        if self._process.returncode == -signal.SIGKILL:
            raise errors.Killed("The engine was killed, most likely because memory ran out.")
        raise errors.EngineFault(f"The engine ended with {self._process.returncode} and no report.\n{self._tail()}")

    def facts(self) -> Facts:
        """What a `--probe` run found."""
        return Facts.from_dict(self.result().input)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        for target in self._written:
            remove_parts(target, pid=self.pid)
        remove(self._scratch)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            with self._news:
                if "progress" in message:
                    self._unread = Progress(**message["progress"])
                else:
                    self._report = message
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _tail(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
        return ""


def probe(path: Path, *, limits: Limits | None = None, timeout: float = 60, scratch: Path | None = None) -> Facts:
    """Facts of a file a stranger gave us, looked at in a child; raises its refusal.

    One that takes too long is refused too, but not where most of the time went
    by while other processes had the cores: then `Starved` is raised.
    """
    arguments = ["--probe", *(limits or Limits()).arguments(), "--", str(path.absolute())]
    deadline = time.monotonic() + timeout
    with Run(arguments, scratch=scratch) as run:
        while not run.finished:
            if time.monotonic() > deadline:
                if waited_for_a_core(run.pid) > timeout / 2:
                    raise errors.Starved("The machine was too busy to look at the file.")
                raise errors.InputRefused("Reading this file took too long; it may be damaged.")
            run.poll(min(1.0, max(0.01, deadline - time.monotonic())))
        return run.facts()


def waited_for_a_core(pid: int) -> float:
    """Seconds in which the process could have run and others did; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


def start(
    source: Path,
    target: Path,
    options: Options,
    *,
    models_dir: Path,
    matte: Path | None = None,
    preview: Path | None = None,
    poster: Path | None = None,
    newest: Path | None = None,
    background_image: Path | None = None,
    limits: Limits | None = None,
    threads: int = 0,
    device: str = "auto",
    precision: str = "auto",
    permissive: bool = False,
    log: Path | None = None,
    scratch: Path | None = None,
) -> Run:
    """Begin the work; the caller polls and asks for the result inside `with`."""
    arguments = [
        "--model", options.model, "--format", options.format, "--models-dir", str(models_dir.absolute()),
        "--threads", str(threads), "--device", device, "--precision", precision,
        *(limits or Limits()).arguments(),
    ]  # fmt: skip
    if options.background.type == "color" and options.background.color is not None:
        arguments += ["--bg-color", "#{:02x}{:02x}{:02x}".format(*options.background.color)]
    if options.background.type == "image":
        if background_image is None:
            raise errors.BadOptions("A background image is required when bg_type is image.", param="bg_image")
        arguments += [f"--bg-image={background_image.absolute()}", "--fit", options.background.fit]
    arguments += [*shaping(options), *(() if options.keep_audio else ("--no-audio",))]
    if permissive:
        arguments.append("--permissive")
    beside = {"matte": matte, "preview": preview, "poster": poster, "newest": newest}
    arguments += [f"--{name}={path.absolute()}" for name, path in beside.items() if path is not None]
    arguments += ["--", str(source.absolute()), str(target.absolute())]
    written = tuple(path.absolute() for path in (target, *beside.values()) if path is not None)
    return Run(arguments, written=written, log=log, scratch=scratch)


def shaping(options: Options) -> list[str]:
    """What is asked of time, place, edge and limits."""
    composition, edge = options.composition, options.edge
    x, y = composition.offset
    arguments = [
        f"--anchor={composition.anchor}", f"--scale={composition.scale!r}", f"--offset={x},{y}",
        f"--feather={edge.feather_px!r}", f"--choke={edge.choke_px!r}", f"--despill={edge.despill!r}",
        f"--on-limit={options.on_limit}",
    ]  # fmt: skip
    if composition.canvas is not None:
        width, height = composition.canvas
        arguments.append(f"--canvas={width}x{height}")
    if options.trim is not None:
        begin, end = options.trim
        arguments.append(f"--trim={begin!r}:{'' if end is None else repr(end)}")
    if options.preview_duration is not None:
        arguments.append(f"--preview-duration={options.preview_duration!r}")
    return arguments


def _environment(scratch: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "LANG": "C.UTF-8",
        **kept,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        # Idle OpenMP and BLAS threads that spin would take the cores from the encoders.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
    }
