"""What you bring: projects found or made, files taken in, looked at and kept; refused files leave nothing behind."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps import egress
from apps.accounts.models import User
from apps.api import request_id
from apps.engine import child
from apps.engine.errors import EngineError, EngineFault, Killed, NoRoom, Starved
from apps.errors import AppError, Unavailable, needs_disk
from apps.projects import media, pictures
from apps.projects.models import Asset, Deletion, Project, Upload

log = logging.getLogger(__name__)

FETCH_SECONDS = 900
"""For one import by URL: 500 MB at 14 Mbit/s."""
PROBE_SECONDS = 60
MAX_FILENAME = 255
INGEST = "ingest-"
"""What the names of scratch folders begin with that no claim gave its name."""
ON_ITS_WAY = timedelta(minutes=15)
"""Longer than storing the largest file takes."""

VIDEO_TYPES = {"mov": "video/mp4", "mp4": "video/mp4", "webm": "video/webm", "matroska": "video/webm",
               "avi": "video/x-msvideo", "mpegts": "video/mp2t"}  # fmt: skip
"""FFmpeg's container names → what to tell a browser; QuickTime as mp4, which is how browsers can play it."""


@dataclass(frozen=True, slots=True)
class Digest:
    sha256: str
    size: int


def default_project(user: User) -> Project:
    """The account's own project, made when first needed."""
    return Project.objects.get_or_create(owner=user, is_default=True, defaults={"name": "Default"})[0]


def resolve_project(user: User, ref: str | None) -> Project:
    """A project of the caller's by id, else by `external_id` (made on first use); None is the default one."""
    return _made(named_project(user, ref))


def named_project(user: User, ref: str | None) -> Project:
    """`resolve_project` for a request that may yet be refused: a new project is not written, `create_asset` does it."""
    if not ref:
        return default_project(user)
    own = Project.objects.for_user(user)
    key = as_uuid(ref)
    if found := (key and own.filter(pk=key).first()) or own.filter(external_id=ref).first():
        return found
    if key and Project.objects.filter(owner=user, pk=key).exists():
        # Not a new name: whoever kept this id means the project that is gone.
        raise AppError("invalid_request", "project: this project has been deleted: name another.", param="project")
    return Project(owner=user, external_id=ref, name=ref[:120])


def create_project(user: User, *, name: str, **fields: Any) -> Project:
    """A new project; the caller's `external_id` may name only one."""
    return _written(Project(owner=user, name=name, **fields))


def change_project(project: Project, **changes: Any) -> Project:
    """Written whole; what is kept by then is `jobs`' to shorten."""
    for name, value in changes.items():
        setattr(project, name, value)
    return _written(project)


def _written(project: Project) -> Project:
    for name, most in (("result_days", settings.RESULT_DAYS), ("source_hours", settings.SOURCE_HOURS)):
        if (getattr(project, name) or 0) > most:
            message = f"{name}: this site keeps them for {most}; a project may only shorten that."
            raise AppError("invalid_request", message, param=name)
    try:
        with transaction.atomic():
            project.save()
    except IntegrityError:
        raise AppError("conflict", "You already have a project with this external_id.", param="external_id") from None
    return project


def create_asset(project: Project, upload: UploadedFile[Any], *, filename: str, kind: str = "video") -> Asset:
    """Take in an uploaded file; refused (AppError) means neither row nor file is kept."""
    if upload.size:
        check_size(upload.size, kind)
    with scratch() as folder:
        path = folder / "source"
        digest = _receive(upload, path, limit=_size_limit(kind))
        facts = look(path, kind=kind)
        asset = new_asset(project.owner, kind=kind, filename=filename)
        with _on_its_way(asset, size=digest.size):
            keep(asset, path, digest=digest, facts=facts)
            try:
                enter(asset, project)
            except BaseException:
                asset.file.storage.delete(str(asset.file.name))
                raise
    return asset


def new_asset(owner: User | None, *, kind: str, filename: str, pk: uuid.UUID | None = None) -> Asset:
    """A READY asset that is not in the database yet."""
    return Asset(
        id=pk or uuid.uuid4(),
        owner=owner,
        kind=kind,
        status=Asset.Status.READY,
        filename=shown_name(filename),
    )


def enter(asset: Asset, project: Project) -> None:
    """Write the row of an asset whose file is stored, and the project it names."""
    asset.project = _made(project)
    asset.expires_at = timezone.now() + asset.project.sources_kept
    asset.save(force_insert=True)


def import_url(project: Project, url: str, *, kind: str = "video") -> Asset:
    """A row for a file that `ingest` will fetch; no network here. If no job ever does, it goes when a source would."""
    return Asset.objects.create(
        owner=project.owner,
        project=project,
        kind=kind,
        source_url=url,
        filename=shown_name(unquote(urlsplit(url).path)),
        expires_at=timezone.now() + project.sources_kept,
    )


def ingest(
    asset: Asset,
    *,
    on_fetched: Callable[[], object] = lambda: None,
    on_refused: Callable[[str], object] = lambda cause: None,
) -> Asset:
    """Fetch, look at and keep a pending import: READY or FAILED with `error_code`. Any other asset is left alone.

    `on_refused` hears what its owner is not told: the engine's own words, or the network's.
    """
    if asset.status != Asset.Status.PENDING:
        return asset
    try:
        with scratch() as folder:
            path = folder / "source"
            fetched = egress.fetch(asset.source_url, path, max_bytes=_size_limit(asset.kind), seconds=FETCH_SECONDS)
            on_fetched()
            facts = look(path, kind=asset.kind)
            keep(asset, path, digest=Digest(fetched.sha256, fetched.bytes), facts=facts)
    except Unavailable:
        raise  # the store's or the disk's trouble says nothing about the file
    except AppError as refusal:
        _refuse(asset, refusal)
        on_refused(f"{type(refusal.__cause__ or refusal).__name__}: {refusal.__cause__ or refusal}")
    else:
        asset.status = Asset.Status.READY
    # It idled while the file came; one that was lost meanwhile is replaced.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    if asset.status == Asset.Status.READY:
        kept = asset.project.sources_kept if asset.project else timedelta(hours=settings.SOURCE_HOURS)
        asset.expires_at = timezone.now() + kept
    written = ("status", "file", "size", "sha256", "facts", "error_code", "error", "expires_at")
    changes = {name: getattr(asset, name) for name in written}
    if not Asset.objects.filter(pk=asset.pk, status=Asset.Status.PENDING).update(**changes):
        # Somebody fetched it beside us (a second worker after a lost lease): theirs stands, ours goes.
        if asset.file:
            asset.file.storage.delete(str(asset.file.name))
        asset.refresh_from_db()
    return asset


def _refuse(asset: Asset, refusal: AppError) -> None:
    # The contract's job codes know no "file too large": to a job it is a limit like the others.
    asset.error_code = "limit_exceeded" if refusal.code == "file_too_large" else refusal.code
    asset.error, asset.status = refusal.message[:500], Asset.Status.FAILED


def find_own_asset(user: User, url_or_id: str) -> Asset | None:
    """The caller's own asset by id or by an address of this site; the address's signature does not matter."""
    text = url_or_id
    if is_own_url(text):
        found = re.match(r"/media/assets/([0-9a-f-]{36})/", urlsplit(text).path)
        text = found.group(1) if found else ""
    key = as_uuid(text)
    return Asset.objects.for_user(user).filter(pk=key).first() if key else None


def is_url(text: str) -> bool:
    """Whether it is an http(s) URL; a scheme is the same in either case."""
    return text.lower().startswith(("http://", "https://"))


def is_own_url(url: str) -> bool:
    """Whether a URL names a file of this site: such a URL is looked up, never fetched."""
    return url.lower().startswith(f"{settings.SITE_URL}/media/".lower())


def asset_url(asset: Asset) -> str:
    """Absolute, signed, good for an hour; "" when the file is gone."""
    if not asset.file:
        return ""
    return media.url(str(asset.file.name), filename=asset.filename or "source", content_type=content_type(asset))


def address(asset: Asset) -> str:
    """The asset's lasting name as a URL: it names the file to its owner, and opens it to nobody."""
    return f"{settings.SITE_URL}/media/assets/{asset.pk}/source"


def content_type(asset: Asset) -> str:
    if asset.kind == Asset.Kind.BACKGROUND:
        return str(asset.facts.get("content_type", "application/octet-stream"))
    names = str(asset.facts.get("container", "")).split(",")
    return next((VIDEO_TYPES[name] for name in names if name in VIDEO_TYPES), "application/octet-stream")


def delete_file(asset: Asset, *, rule: str = Deletion.Rule.NOW, detail: str = "", asked_by: str = "") -> bool:
    """Delete the file and keep the record; True only for the call that did it. Safe to call again after a crash."""
    gone = Asset.objects.filter(pk=asset.pk).exclude(file="")
    gone.update(status=Asset.Status.DELETED)
    asset.refresh_from_db()
    if not asset.file:
        return False
    name = str(asset.file.name)
    media.remove(name)
    with transaction.atomic():
        if not gone.update(file=""):
            return False
        about: dict[str, Any] = {"kind": asset.kind, "name": name, "size": asset.size, "sha256": asset.sha256}
        prove(rule, detail, asked_by=asked_by, asset_id=asset.pk, project_id=asset.project_id, **about)
    return True


def discard_unrecorded(asset: Asset) -> int:
    """Delete files of an import that its record does not name: its worker was killed in between. How many."""
    storage, folder = asset.file.storage, f"assets/{asset.pk}"
    try:
        _, files = storage.listdir(folder)
    except FileNotFoundError:
        return 0
    asset.refresh_from_db()
    names = [name for name in (f"{folder}/{file}" for file in files) if name != asset.file.name]
    for name in names:
        storage.delete(name)
    return len(names)


def prove(rule: str, detail: str = "", *, asked_by: str = "", **about: Any) -> None:
    """Note, in the caller's transaction, that one stored file went; asked for by this request, or by an earlier one."""
    asked_by = request_id.current.get().strip("-") or asked_by.strip("-")
    Deletion.objects.create(rule=rule, detail=detail[:200], request_id=asked_by, **about)


def _made(project: Project) -> Project:
    """A project as it stands in the database; of several requests that name a new one, the first writes it."""
    if not project._state.adding:
        return project
    named = {"owner": project.owner, "external_id": project.external_id}
    return Project.objects.for_user(project.owner).get_or_create(**named, defaults={"name": project.name})[0]


@contextmanager
def scratch(name: str = "") -> Iterator[Path]:
    """A folder of our own on the local disk, gone afterwards whatever happens short of our end."""
    folder = Path(settings.SCRATCH_DIR) / (name or f"{INGEST}{uuid.uuid4()}")
    # One of that name may have been made, and room promised to it, when the work was claimed.
    folder.mkdir(parents=True, exist_ok=bool(name))
    # The kernel takes it back when we end, however that comes: see `is_abandoned`.
    sign = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(sign, fcntl.LOCK_SH)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(sign)


def is_abandoned(folder: Path) -> bool:
    """Whether the process that made this scratch folder, on this machine, is gone without having cleared it."""
    try:
        sign = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(sign, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(sign)
    return True


def look(path: Path, *, kind: str) -> dict[str, Any]:
    """The facts of a local file, judged within the site's limits; AppError says why it cannot be used."""
    if kind == Asset.Kind.BACKGROUND:
        return pictures.look(path)
    limits = child.Limits(max_seconds=settings.MAX_SECONDS, max_side=settings.MAX_SIDE, max_fps=settings.MAX_FPS)
    try:
        return child.probe(path, limits=limits, timeout=PROBE_SECONDS, scratch=path.parent).as_dict()
    except (Killed, NoRoom, Starved) as error:
        message = "The look at the file was interrupted, for want of memory, room or time. Try again."
        raise Unavailable(message) from error
    except EngineFault as error:
        # A reader that crashes or stalls on a file is that file's refusal to its
        # owner, and ours to look into.
        log.exception("probe failed")
        message = "This file cannot be read as a video: it is damaged or not a video at all."
        raise AppError("unsupported_media", message, param="file") from error
    except EngineError as error:
        refusal = AppError.from_engine(error)
        refusal.param = "file"
        raise refusal from error


def shown_name(filename: str) -> str:
    """The last part of what the user called it, without control characters: for showing and for downloads."""
    base = re.split(r"[/\\]", filename)[-1]
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "", base).strip()[:MAX_FILENAME]


def keep(asset: Asset, path: Path, *, digest: Digest, facts: dict[str, Any]) -> None:
    """Store a local file as the asset's; the row is the caller's to write."""
    asset.size, asset.sha256, asset.facts = digest.size, digest.sha256, facts
    with needs_disk(), path.open("rb") as file:
        asset.file.save("source", media.LocalFile(file, name=str(path)), save=False)


def _receive(upload: UploadedFile[Any], path: Path, *, limit: int) -> Digest:
    """Copy and hash in one pass; what a client says of the size is not believed."""
    sha256, size = hashlib.sha256(), 0
    with needs_disk(), path.open("wb") as file:
        for chunk in upload.chunks():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            sha256.update(chunk)
            file.write(chunk)
    if not size:
        raise AppError("unsupported_media", "The file is empty.", param="file")
    return Digest(sha256.hexdigest(), size)


@contextmanager
def _on_its_way(asset: Asset, *, size: int) -> Iterator[None]:
    """While it is being stored, a row says so: were this process killed now, the sweep would remove the file."""
    until = timezone.now() + ON_ITS_WAY
    row = Upload.objects.create(
        pk=asset.pk, owner=asset.owner, kind=asset.kind, size=size, expires_at=until, status=Upload.Status.COMPLETING
    )
    try:
        yield
    finally:
        row.delete()


def check_size(size: int, kind: str) -> None:
    """Refuse a file for its size, before any of it is taken."""
    if size > (limit := _size_limit(kind)):
        raise _too_large(limit)


def _size_limit(kind: str) -> int:
    return int(settings.MAX_BACKGROUND_BYTES if kind == Asset.Kind.BACKGROUND else settings.MAX_UPLOAD_BYTES)


def _too_large(limit: int) -> AppError:
    return AppError("file_too_large", f"The file is larger than {limit / 1e6:.0f} MB.", param="file")


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
