"""Stored media on their way out: signed addresses that need no key, and the view that answers ranges."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.files import File
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from apps.errors import Unavailable, needs_disk
from apps.projects.models import media_storage
from apps.projects.signatures import is_signed, sign

if TYPE_CHECKING:
    from django.core.files.storage import Storage

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
INLINE_TYPES = ("image/", "video/", "audio/")


@dataclass(frozen=True, slots=True)
class Window:
    """Which bytes of a file a 206 carries; `end` is not included."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as the storage knows it."""

    name: str
    size: int
    changed_at: datetime


class LocalFile(File):  # type: ignore[type-arg]
    """A file in scratch that may be moved into storage: a rename on one disk, where a copy would take minutes."""

    def temporary_file_path(self) -> str:
        """What FileSystemStorage asks for; other storages read the file."""
        return str(self.name)


class UnsatisfiableRange(Exception):
    """The one range asked for lies outside the file."""


def url(name: str, *, filename: str, content_type: str) -> str:
    """An absolute address for one stored file, good for an hour, without a key.

    The signature covers everything in it, so what the browser is told about
    the file (its name, its type) cannot be changed either.
    """
    said = {"filename": filename, "type": content_type, "expires": str(int(time.time()) + settings.MEDIA_URL_SECONDS)}
    query = urlencode({**said, "signature": sign("media", name, *said.values())})
    return f"{settings.SITE_URL}/media/{quote(name)}?{query}"


@require_safe
def media(request: HttpRequest, name: str) -> HttpResponseBase:
    """One stored file, or the part of it that was asked for. Local files only; S3 answers for itself."""
    said = {key: request.GET.get(key, "") for key in ("filename", "type", "expires")}
    if not is_signed("media", name, *said.values(), signature=request.GET.get("signature", "")):
        return _refused(403, "This link is not valid.")
    if int(said["expires"]) < time.time():
        return _refused(403, "This link has expired. Reload the page or fetch the job again for a fresh one.")
    storage = media_storage()
    disposition = content_disposition_header(not said["type"].startswith(INLINE_TYPES), said["filename"]) or "inline"
    path = local_path(storage, name)
    if path is None:
        parameters = {"ResponseContentDisposition": disposition, "ResponseContentType": said["type"]}
        # The store's signature covers the method, too.
        address = storage.url(name, parameters=parameters, http_method=request.method)  # type: ignore[call-arg]
        return HttpResponseRedirect(address)
    try:
        with needs_disk():
            return _answer(request, path, content_type=said["type"], disposition=disposition)
    except FileNotFoundError:
        return _refused(404, "This file has been deleted.")
    except Unavailable as refusal:
        log.error("media %s: %s", name, refusal.__cause__)
        return _refused(refusal.status, refusal.message)


def local_path(storage: Storage, name: str) -> Path | None:
    """Where the file lies on this machine; None when it lies elsewhere."""
    try:
        return Path(storage.path(name))
    except NotImplementedError:
        return None


def bring(name: str, target: Path) -> None:
    """Make a stored file a local one at `target`: a hard link where possible, else a copy or a download."""
    storage = media_storage()
    source = local_path(storage, name)
    if source is not None:
        with needs_disk():
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(source, target)
        return
    storage.download(name, target)  # type: ignore[attr-defined]


def chunks(name: str) -> Iterator[bytes]:
    """A stored file piece by piece, wherever it lies; FileNotFoundError when it is gone."""
    storage = media_storage()
    path = local_path(storage, name)
    if path is not None:
        yield from _read(path, Window(0, path.stat().st_size))
        return
    yield from storage.chunks(name, CHUNK_BYTES)  # type: ignore[attr-defined]


def remove(name: str) -> None:
    """Delete a stored file, and on a disk the folders that it leaves empty. Safe for one that is gone already."""
    storage = media_storage()
    storage.delete(name)
    if path := local_path(storage, name):
        with suppress(OSError):  # as soon as one of them is not empty
            for folder in list(path.parents)[: len(Path(name).parts) - 2]:
                folder.rmdir()


def stored() -> Iterator[Stored]:
    """Every file in the media storage, in no order."""
    storage = media_storage()
    root = local_path(storage, "")
    if root is None:
        yield from (Stored(*row) for row in storage.all_files())  # type: ignore[attr-defined]
        return
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # deleted meanwhile
                stat = path.stat()
                yield Stored(
                    path.relative_to(root).as_posix(), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)
                )


def _refused(status: int, why: str) -> HttpResponse:
    response = HttpResponse(why, status=status, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return response


def _answer(request: HttpRequest, path: Path, *, content_type: str, disposition: str) -> HttpResponseBase:
    stat = path.stat()
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition,
        "ETag": etag,
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
        # A file of a user's is never a document of ours, whatever it contains.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        # The signature is the key: whoever was given the address may show the file on a page of theirs.
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if etag in re.split(r"\s*,\s*", request.headers.get("If-None-Match", "")):
        return HttpResponse(status=304, headers=headers)
    try:
        window = _window(request, etag=etag, modified=stat.st_mtime, total=stat.st_size)
    except UnsatisfiableRange:
        headers["Content-Range"] = f"bytes */{stat.st_size}"
        return HttpResponse(status=416, headers=headers)
    if window:
        headers["Content-Range"] = f"bytes {window.start}-{window.end - 1}/{stat.st_size}"
    status, window = (206, window) if window else (200, Window(0, stat.st_size))
    headers["Content-Length"] = str(window.end - window.start)
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers, content_type=content_type)
    return StreamingHttpResponse(_read(path, window), status=status, headers=headers, content_type=content_type)


def _window(request: HttpRequest, *, etag: str, modified: float, total: int) -> Window | None:
    """The one range asked for. None, the whole file, for several ranges, nonsense, or a range of an older file."""
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get("Range", "").replace(" ", ""))
    if asked is None or asked.groups() == ("", "") or not _still_fresh(request, etag, modified):
        return None
    first, last = asked.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, total - int(last))
    if start >= total:
        raise UnsatisfiableRange
    return Window(start, min(total, int(last) + 1) if first and last else total)


def _still_fresh(request: HttpRequest, etag: str, modified: float) -> bool:
    """Whether If-Range (an ETag or a date), if sent, still describes the file."""
    condition = request.headers.get("If-Range")
    if condition is None or condition == etag:
        return True
    with suppress(ValueError):
        return parsedate_to_datetime(condition).timestamp() == int(modified)
    return False


def _read(path: Path, window: Window) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(window.start)
        left = window.end - window.start
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
