"""Which networks a model needs, which of them are here, and how the others get here. Light to import."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from apps.engine.errors import InstallFailed
from apps.engine.matting import manifest as manifests
from apps.engine.matting.installing import Installing, read_installing
from apps.engine.matting.manifest import MANIFEST, Network
from apps.engine.matting.sources import Fetching, fetch

NEEDS = {
    "original": ("u2net", "modnet"),
    "light": ("u2net",),
    "human": ("rvm", "modnet", "u2net"),
    "pro": ("isnet", "u2net", "rvm", "modnet"),
}
PERMISSIVE_NEEDS = {
    "original": ("u2net", "modnet"),
    "light": ("u2net",),
    "human": ("u2net", "modnet"),
    "pro": ("u2net", "modnet"),
}
"""What the same names use with MODEL_LICENCES=permissive."""

PREPARE_SECONDS = 3600
"""Converting and quantising the largest network takes 15 s on two cores. On two that thirty others wanted it took more
than 900, and what is broken off begins anew."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """One network on this machine; `sha256` is that of the source weights it was made from."""

    name: str
    installed: bool
    why_not: str
    sha256: str
    bytes: int
    path: Path
    self_test: dict[str, Any] = field(default_factory=dict)
    is_outdated: bool = False
    """It works as it is, and the next installation prepares it anew."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Whether a model can be used now, and what is on its way if not."""

    installed: bool
    missing: tuple[str, ...]
    installing: str | None


def networks(manifest: Path = MANIFEST) -> dict[str, Network]:
    return manifests.read(manifest)


def needed_by(model: str, *, permissive: bool) -> tuple[str, ...]:
    """Empty for chroma, which has no weights."""
    return (PERMISSIVE_NEEDS if permissive else NEEDS).get(model, ())


def all_needed(*, permissive: bool) -> tuple[str, ...]:
    """Every network the four models need, in the order that soonest makes a model usable."""
    wanted = {name for model in NEEDS for name in needed_by(model, permissive=permissive)}
    return tuple(name for name in networks() if name in wanted)


def status(models_dir: Path, *, manifest: Path = MANIFEST) -> list[NetworkStatus]:
    return [network_status(models_dir, network) for network in networks(manifest).values()]


def network_status(models_dir: Path, network: Network) -> NetworkStatus:
    folder = models_dir / network.name
    try:
        record = json.loads((folder / "installed.json").read_text(encoding="utf-8"))
        files, sha256 = record["files"], record["sha256"]
        revision = int(record["revision"])
        why_not = _why_not(folder, network, revision, files)
    except FileNotFoundError:
        return NetworkStatus(network.name, False, "not installed", "", 0, folder)
    except (ValueError, KeyError, TypeError):
        return NetworkStatus(network.name, False, "installed.json is damaged: install it again", "", 0, folder)
    total = sum(row["bytes"] for row in files.values())
    is_outdated = not why_not and revision < network.revision
    return NetworkStatus(network.name, not why_not, why_not, sha256, total, folder, record["self_test"], is_outdated)


def _why_not(folder: Path, network: Network, revision: int, files: dict[str, dict[str, Any]]) -> str:
    if not network.usable_from <= revision <= network.revision:
        return "prepared by another version of this software: install it again"
    for name, row in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != row["bytes"]:
            return f"{name} is missing or has another size: install it again"
    return ""


def model_status(models_dir: Path, *, permissive: bool) -> dict[str, ModelStatus]:
    """Reads a few small files only, so that every page may ask."""
    here = {row.name for row in status(models_dir) if row.installed}
    coming = read_installing(models_dir)
    result = {}
    for model in NEEDS:
        missing = tuple(name for name in needed_by(model, permissive=permissive) if name not in here)
        result[model] = ModelStatus(not missing, missing, coming.describe(missing) if coming else None)
    return result


def install(
    names: Sequence[str],
    *,
    models_dir: Path,
    source_dir: Path | None,
    from_url: bool = False,
    report: Report,
    then: Sequence[str] = (),
    manifest: Path = MANIFEST,
) -> None:
    """Fetch, check and prepare what is not here yet; afterwards every named network is installed.

    What is here in an earlier revision is prepared anew, and can be used meanwhile if it still works.
    `then` names what the caller will install next, so that pages can say that it is coming.
    Safe to run twice at once and to interrupt at any point: a network's
    folder appears whole or not at all.
    """
    known = networks(manifest)
    for name in names:
        if name not in known:
            raise InstallFailed(f"There is no network {name}. Known: {', '.join(known)}.")
    models_dir = models_dir.resolve()
    models_dir.mkdir(parents=True, exist_ok=True)
    with _only_installer(models_dir, report):
        _sweep(models_dir)
        missing = []
        for name in dict.fromkeys(names):
            found = network_status(models_dir, known[name])
            if found.installed and not found.is_outdated:
                report(f"{name}: already installed")
            else:
                missing.append(name)
        tools = models_dir / f"tools.part-{os.getpid()}"
        try:
            with Installing(models_dir, [*missing, *then]) as state:
                how = Fetching(source_dir, from_url, tools, state, report)
                for name in missing:
                    _install_one(known[name], models_dir, how, manifest)
        finally:
            shutil.rmtree(tools, ignore_errors=True)


def _install_one(network: Network, models_dir: Path, how: Fetching, manifest: Path) -> None:
    began = time.monotonic()
    part = models_dir / f"{network.name}.part-{os.getpid()}"
    try:
        (part / "source").mkdir(parents=True)
        _need_room(part, network)
        source = fetch(network, part / "source", part / "work", how)
        # The carrier is not needed any more, and preparing needs the room.
        shutil.rmtree(part / "work", ignore_errors=True)
        how.state.say(network.name, "preparing")
        how.report(f"{network.name}: preparing")
        _prepare(network, part, manifest)
        record = _record(network, part, source)
        shutil.rmtree(part / "source")
        (part / "self_test.json").unlink()
        _write_synced(part / "installed.json", json.dumps(record, indent=1))
        _swap(part, models_dir / network.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    how.report(f"{network.name}: installed in {time.monotonic() - began:.0f} s. {record['self_test']['said']}")


def _need_room(part: Path, network: Network) -> None:
    """The carrier twice (the client's copy and ours), the bare weights, and what is made of them."""
    needed = 2 * network.size + 4 * sum(file.bytes for file in network.sources[0].files)
    free = shutil.disk_usage(part).free
    if free < needed:
        raise InstallFailed(
            f"{network.name}: {needed // 10**6} MB are needed in {part.parent}, {free // 10**6} MB are free."
        )


def _prepare(network: Network, part: Path, manifest: Path) -> None:
    """In a child process, which gives its memory back and keeps the heavy imports out of this one."""
    command = [sys.executable, "-m", "apps.engine.matting.prepare", str(manifest.resolve()), network.name]
    command += [str((part / "source").resolve()), str(part.resolve())]
    root = Path(__file__).resolve().parents[3]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=PREPARE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InstallFailed(f"{network.name}: preparing it took more than {PREPARE_SECONDS} s.") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip()[-1500:]
        raise InstallFailed(f"{network.name}: preparing it failed: {last}")


def _record(network: Network, part: Path, source: dict[str, Any]) -> dict[str, Any]:
    made = sorted(part.glob("*.onnx"))
    return {
        "network": network.name,
        "revision": network.revision,
        "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **source,
        "files": {path.name: {"bytes": path.stat().st_size} for path in made},
        "self_test": json.loads((part / "self_test.json").read_text(encoding="utf-8")),
    }


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _swap(part: Path, folder: Path) -> None:
    """A folder cannot be renamed over another, so the old one steps aside first."""
    if folder.exists():
        aside = folder.with_name(f"{folder.name}.part-old-{os.getpid()}")
        folder.rename(aside)
        part.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        part.rename(folder)


def _sweep(models_dir: Path) -> None:
    """Under the lock every part belongs to an installer that died."""
    for stale in models_dir.glob("*.part-*"):
        shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _only_installer(models_dir: Path, report: Report) -> Iterator[None]:
    """One installer at a time; the kernel drops the lock when its holder dies, however it dies."""
    with (models_dir / ".lock").open("w", encoding="ascii") as file:
        if not _locked(file):
            report("waiting for another installation to finish")
            while not _locked(file):
                time.sleep(0.5)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
