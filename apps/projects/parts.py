"""Where the parts of an unfinished upload lie: on the local disk, or in the S3-compatible store. One shape for both."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from django.conf import settings
from django.utils import timezone

from apps.errors import AppError, needs_disk
from apps.projects import signatures
from apps.projects.models import Upload, media_storage
from apps.projects.s3 import S3Media, reached

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    size: int
    etag: str


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Store(Protocol):
    def begin(self, upload: Upload) -> str:
        """Make room for parts; the store's own name for the upload."""

    def url(self, upload: Upload, number: int) -> str:
        """Where to PUT one part, without a key, until the upload expires."""

    def received(self, upload: Upload) -> dict[int, Part]:
        """The parts that are here and have the size they should have."""

    def gather(self, upload: Upload, target: Path) -> str:
        """All parts as one local file; its sha256. May be called again after a crash."""

    def discard(self, upload: Upload) -> None:
        """Remove every part. May be called again, and for parts that are not there."""


def store() -> Store:
    media = media_storage()
    return S3Parts(media) if isinstance(media, S3Media) else LocalParts()


class LocalParts:
    """A folder for each upload. A part's file is named by its number and its ETag, the MD5 of its bytes as on S3."""

    def begin(self, upload: Upload) -> str:
        with needs_disk():
            folder_of(upload).mkdir(parents=True)
        return ""

    def url(self, upload: Upload, number: int) -> str:
        until = str(int(upload.expires_at.timestamp()))
        query = urlencode({"expires": until, "signature": signatures.sign("parts", str(upload.pk), str(number), until)})
        return f"{settings.SITE_URL}/v1/uploads/{upload.pk}/parts/{number}?{query}"

    def received(self, upload: Upload) -> dict[int, Part]:
        found = {}
        for path in _files(folder_of(upload)):
            number, _, digest = path.name.partition("-")
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                # Power loss may leave a file shorter than it was when it was named.
                if size == upload.size_of(int(number)):
                    found[int(number)] = Part(size, f'"{digest}"')
        return found

    def put(self, upload: Upload, number: int, stream: Readable) -> Part:
        """Take one part in. It replaces an earlier one of that number whole; broken off, the earlier one stays."""
        folder = folder_of(upload)
        arriving = folder / f".{uuid.uuid4()}"
        try:
            with needs_disk():
                digest = _write(stream, arriving, size=upload.size_of(number))
            with _locked(folder):
                arriving.rename(folder / f"{number}-{digest}")
                for older in folder.glob(f"{number}-*"):
                    if older.name != f"{number}-{digest}":
                        older.unlink()
        except FileNotFoundError:
            raise AppError("not_found", "This upload is gone: it was deleted or has expired.") from None
        finally:
            arriving.unlink(missing_ok=True)
        return Part(upload.size_of(number), f'"{digest}"')

    def gather(self, upload: Upload, target: Path) -> str:
        # Copied and not moved, so that a crash in the middle costs nothing but the copy.
        sha256 = hashlib.sha256()
        names = {int(path.name.partition("-")[0]): path for path in _files(folder_of(upload))}
        try:
            with needs_disk(), target.open("wb") as whole:
                for number in range(1, upload.part_count + 1):
                    with names[number].open("rb") as part:
                        while chunk := part.read(CHUNK_BYTES):
                            sha256.update(chunk)
                            whole.write(chunk)
        except (KeyError, FileNotFoundError):
            raise _changed() from None
        return sha256.hexdigest()

    def discard(self, upload: Upload) -> None:
        shutil.rmtree(folder_of(upload), ignore_errors=True)


class S3Parts:
    """A multipart upload to the very key that the asset will have: its bytes pass this machine only to be looked at."""

    def __init__(self, media: S3Media) -> None:
        self.media = media
        self.bucket = media.bucket_name

    def begin(self, upload: Upload) -> str:
        with reached():
            made = self.media.client.create_multipart_upload(Bucket=self.bucket, Key=upload.key)
        return str(made["UploadId"])

    def url(self, upload: Upload, number: int) -> str:
        # The length is signed too, so that the store itself refuses any other.
        return self.media.signed(
            "upload_part",
            seconds=max(1, int((upload.expires_at - timezone.now()).total_seconds())),
            Key=upload.key,
            UploadId=upload.store_id,
            PartNumber=number,
            ContentLength=upload.size_of(number),
        )

    def received(self, upload: Upload) -> dict[int, Part]:
        try:
            return {number: part for number, part in self._listed(upload) if part.size == upload.size_of(number)}
        except FileNotFoundError:
            # Put together by a request that died before it could say so.
            if not self._is_whole(upload):
                return {}
            return {number: Part(upload.size_of(number), "") for number in range(1, upload.part_count + 1)}

    def gather(self, upload: Upload, target: Path) -> str:
        try:
            parts = [{"PartNumber": number, "ETag": part.etag} for number, part in self._listed(upload)]
            self._on_it("complete_multipart_upload", upload, MultipartUpload={"Parts": parts})
        except FileNotFoundError:
            if not self._is_whole(upload):
                raise _changed() from None
        with needs_disk():
            self.media.download(upload.key, target)
        with target.open("rb") as whole:
            return hashlib.file_digest(whole, "sha256").hexdigest()

    def discard(self, upload: Upload) -> None:
        # By listing, because a crash may have come between the store's answer and our note of its name.
        with reached():
            pages = self.media.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket, Prefix=upload.key):
                for unfinished in page.get("Uploads", ()):
                    with suppress(FileNotFoundError), reached():
                        self.media.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=unfinished["Key"], UploadId=unfinished["UploadId"]
                        )

    def _listed(self, upload: Upload) -> Iterator[tuple[int, Part]]:
        with reached():
            pages = self.media.client.get_paginator("list_parts")
            for page in pages.paginate(Bucket=self.bucket, Key=upload.key, UploadId=upload.store_id):
                for part in page.get("Parts", ()):
                    yield part["PartNumber"], Part(part["Size"], part["ETag"])

    def _on_it(self, operation: str, upload: Upload, **parameters: Mapping[str, object]) -> None:
        with reached():
            getattr(self.media.client, operation)(
                Bucket=self.bucket, Key=upload.key, UploadId=upload.store_id, **parameters
            )

    def _is_whole(self, upload: Upload) -> bool:
        try:
            return self.media.size(upload.key) == upload.size
        except FileNotFoundError:
            return False


def folder_of(upload: Upload) -> Path:
    return Path(settings.UPLOADS_DIR) / str(upload.pk)


def is_signed(upload_id: uuid.UUID, number: int, *, expires: str, signature: str) -> bool:
    return signatures.is_signed("parts", str(upload_id), str(number), expires, signature=signature)


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _write(stream: Readable, target: Path, *, size: int) -> str:
    """Exactly `size` bytes; their MD5."""
    digest, left = hashlib.md5(usedforsecurity=False), size
    with target.open("wb") as file:
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
    if left:
        raise AppError("invalid_request", "The part ended before all of it had arrived: send it again.", status=400)
    return digest.hexdigest()


def _changed() -> AppError:
    return AppError("conflict", "Parts were changed while the upload was being completed: look at it and try again.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time: two that replace the same part would otherwise remove each other's."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_bytes(folder: Path) -> int:
    """Room on the disk that `folder` is on, or would be."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    stat = os.statvfs(nearest)
    return stat.f_bavail * stat.f_frsize
