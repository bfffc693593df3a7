"""Many files as one ZIP on its way out: made while it is sent, so that neither memory nor disk holds it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header


class Cut(Exception):
    """A stored file is shorter or longer than what was written down of it: what was sent so far is no archive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in it. Media are packed as they are; texts (`is_text`) are compressed."""

    name: str
    chunks: Callable[[], Iterator[bytes]]
    size: int | None = None
    """Bytes, where known; decides whether the entry needs ZIP64, and is held against what came."""
    when: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_text: bool = False


def answer(entries: Iterable[Entry], *, filename: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(stream(entries), content_type="application/zip")
    response["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    response["Cache-Control"] = "no-store"
    return response


def stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive's bytes. An error half way breaks the transfer off, which no browser takes for a whole file."""
    out = _Outlet()
    with zipfile.ZipFile(out, "w", allowZip64=True) as archive:
        for entry in entries:
            with archive.open(_header(entry), "w", force_zip64=entry.size is None) as file:
                count = 0
                for chunk in entry.chunks():
                    count += file.write(chunk)
                    yield from out.taken()
                if entry.size is not None and count != entry.size:
                    raise Cut(f"{count} bytes instead of {entry.size}")
            yield from out.taken()
    yield from out.taken()


class _Header(zipfile.ZipInfo):
    def FileHeader(self, zip64: bool | None = None) -> bytes:
        header = super().FileHeader(zip64)
        if not zip64:
            return header
        # Python before 3.11.4 names neither the version that reads ZIP64 nor that the sizes stand elsewhere.
        self.extract_version = max(self.extract_version, zipfile.ZIP64_VERSION)
        version = self.extract_version.to_bytes(1, "little")
        return header[:4] + version + header[5:18] + b"\xff" * 8 + header[26:]


def _header(entry: Entry) -> zipfile.ZipInfo:
    # ZIP knows no year before 1980.
    when = max(entry.when, datetime(1980, 1, 1, tzinfo=UTC))
    header = _Header(entry.name, date_time=when.timetuple()[:6])
    header.compress_type = zipfile.ZIP_DEFLATED if entry.is_text else zipfile.ZIP_STORED
    header.external_attr = 0o644 << 16
    header.file_size = entry.size or 0
    return header


class _Outlet:
    """What zipfile writes to: it cannot seek, so that nothing already sent would have to change."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing was opened."""

    def taken(self) -> list[bytes]:
        chunks, self._chunks = self._chunks, []
        return chunks


class Names:
    """File names in one archive, each given once: a second "film.mov" becomes "film (2).mov"."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, wanted: str) -> str:
        # A program that unpacks on a file system without case must not lay one over the other.
        stem, dot, suffix = wanted.rpartition(".") if "." in wanted.strip(".") else (wanted, "", "")
        name, number = wanted, 1
        while name.lower() in self._given:
            number += 1
            name = f"{stem} ({number}){dot}{suffix}"
        self._given.add(name.lower())
        return name
