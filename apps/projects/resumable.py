"""Uploads that come in parts and survive lost connections: begun, received, completed into an asset, or swept away.

One protocol for local disk and S3; which of them is `parts`' business.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.errors import AppError, Unavailable
from apps.projects import parts, services
from apps.projects.media import local_path
from apps.projects.models import Asset, Upload, media_storage

log = logging.getLogger(__name__)

PART_BYTES = 8 * 1024 * 1024
"""S3 takes no part under 5 MiB but the last; larger ones cost more when a connection breaks."""
MOST_PARTS = 1000
"""Of one upload: all their addresses are in one answer. Larger files get larger parts."""
COMPLETING_FOR = timedelta(minutes=3)
"""After this without a sign the request that completes an upload is taken for dead, and another may try."""
AGAIN_AFTER = 5.0
"""Seconds after which whoever met another's completion asks again."""
GRACE_SECONDS = 3600
"""A folder of parts without a row that is older than this belongs to nobody."""
BATCH = 100

S = Upload.Status


def begin(
    user: User,
    *,
    filename: str,
    size: int,
    kind: str = Asset.Kind.VIDEO,
    sha256: str = "",
    project: str = "",
    makes_room: bool = False,
) -> Upload:
    """An upload to send parts to. Refused before a byte is taken when the file would be.

    `makes_room`: an account with too many unfinished ones loses its oldest instead of being refused.
    """
    services.check_size(size, kind)
    services.named_project(user, project)
    store = parts.store()
    if isinstance(store, parts.LocalParts) and parts.free_bytes(Path(settings.UPLOADS_DIR)) < 2 * size:
        raise Unavailable("The disk of this site is too full for this file. Try later.")
    if makes_room:
        for oldest in unfinished(user).order_by("-created_at")[settings.MAX_UNFINISHED_UPLOADS - 1 :]:
            discard(oldest)
    upload = _counted(user, filename=filename, size=size, kind=kind, sha256=sha256.lower(), project_ref=project)
    try:
        upload.store_id = store.begin(upload)
        upload.save(update_fields=["store_id"])
    except BaseException:
        # Counted no longer; what the store may have begun is for the sweep to find.
        Upload.objects.filter(pk=upload.pk).update(status=S.GOING)
        raise
    log.info("upload=%s begun bytes=%s parts=%s", upload.pk, size, upload.part_count)
    return upload


def _counted(user: User, *, filename: str, size: int, **fields: Any) -> Upload:
    """The row of a new upload, unless the account has too many already."""
    with transaction.atomic():
        # The account's row is the lock under which its uploads are counted.
        User.objects.select_for_update().get(pk=user.pk)
        if unfinished(user).count() >= settings.MAX_UNFINISHED_UPLOADS:
            message = f"You have {settings.MAX_UNFINISHED_UPLOADS} unfinished uploads: complete or delete one first."
            raise AppError("limit_exceeded", message)
        return Upload.objects.create(
            owner=user,
            filename=services.shown_name(filename),
            size=size,
            part_size=PART_BYTES * max(1, -(-size // (PART_BYTES * MOST_PARTS))),
            expires_at=timezone.now() + timedelta(hours=settings.UPLOAD_HOURS),
            **fields,
        )


def find(user: User, upload_id: uuid.UUID) -> Upload | None:
    """The caller's own upload, unless it has expired or is going."""
    return _live().filter(owner=user, pk=upload_id).exclude(status=S.GOING).first()


def unfinished(user: User) -> QuerySet[Upload]:
    return _live().filter(owner=user, status__in=(S.OPEN, S.COMPLETING))


def urls(upload: Upload, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Where to PUT each of these parts, or all."""
    _must_be_open(upload)
    store, last = parts.store(), upload.part_count
    if wrong := next((number for number in numbers or () if not 1 <= number <= last), None):
        raise AppError("invalid_request", f"numbers: there is no part {wrong}; they are 1 to {last}.", param="numbers")
    return [{"number": number, "url": store.url(upload, number)} for number in numbers or range(1, last + 1)]


def receive(
    upload_id: uuid.UUID, number: int, *, expires: str, signature: str, length: int | None, stream: parts.Readable
) -> parts.Part:
    """One part for the local disk. Whoever has its address may send it, as often as they like until it is complete."""
    store = parts.store()
    if not parts.is_signed(upload_id, number, expires=expires, signature=signature):
        raise AppError("forbidden_scope", "This address is not valid: ask for fresh ones.")
    upload = _live().filter(pk=upload_id).exclude(status=S.GOING).first()
    if upload is None or not isinstance(store, parts.LocalParts):
        raise AppError("not_found", "This upload is gone: it was deleted or has expired.")
    _must_be_open(upload)
    wanted = upload.size_of(number)
    if length is None or length < wanted:
        raise AppError("invalid_request", f"Part {number} has {wanted} bytes; the request says {length or 'nothing'}.")
    if length > wanted:
        raise AppError("file_too_large", f"Part {number} has {wanted} bytes; the request brings {length}.")
    return store.put(upload, number, stream)


def received(upload: Upload) -> dict[int, parts.Part]:
    return parts.store().received(upload) if upload.status == S.OPEN else {}


def complete(upload: Upload, *, etags: Mapping[int, str] | None = None) -> Asset:
    """The asset that the parts make. Safe to call twice and beside itself: one asset comes of it.

    A file that is refused is gone with its upload, and the refusal is what every later call hears.
    """
    if asset := _asset_of(upload):
        return asset
    _must_not_be_refused(upload)
    _check_parts(upload, etags)
    lease = _claim(upload)
    try:
        return _completed(upload, lease)
    except AppError as refusal:
        # Of the file, that is; a clash with another request or a store that is away say nothing about it.
        if refusal.status == 422:
            _refuse(upload, lease, refusal)
        raise
    finally:
        # Nothing is left of this where it went well or was refused. Otherwise the next call may try at once.
        _mine(upload, lease).update(status=S.OPEN, lease=None, lease_until=None)


def discard(upload: Upload) -> bool:
    """Give an unfinished upload up, and remove what it has brought. True only for the call that did it."""
    going = Upload.objects.filter(pk=upload.pk, status__in=(S.OPEN, S.FAILED)).update(status=S.GOING)
    if not going:
        return False
    _remove(upload)
    return True


def sweep() -> int:
    """Remove what expired or lost its owner, parts and half-stored files too; how many. Safe to run twice."""
    now = timezone.now()
    due = Upload.objects.filter(Q(expires_at__lt=now) | Q(owner=None) | Q(status=S.GOING))
    count = 0
    for upload in due.exclude(status=S.COMPLETING, lease_until__gte=now)[:BATCH]:
        seen = Upload.objects.filter(pk=upload.pk, status=upload.status, lease=upload.lease)
        if upload.status == S.COMPLETED:
            count += seen.delete()[0]
        elif seen.update(status=S.GOING):
            _remove(upload)
            count += 1
    return count + _sweep_folders()


def _live() -> QuerySet[Upload]:
    return Upload.objects.filter(part_size__gt=0, expires_at__gt=timezone.now())


def _mine(upload: Upload, lease: uuid.UUID) -> QuerySet[Upload]:
    return Upload.objects.filter(pk=upload.pk, status=S.COMPLETING, lease=lease)


def _asset_of(upload: Upload) -> Asset | None:
    return Asset.objects.filter(pk=upload.pk).first()


def _must_not_be_refused(upload: Upload) -> None:
    if upload.status == S.FAILED:
        raise AppError(upload.error_code, upload.error, param="sha256" if "sha256" in upload.error else "file")


def _must_be_open(upload: Upload) -> None:
    _must_not_be_refused(upload)
    if upload.status != S.OPEN:
        raise AppError("conflict", f"The upload is {upload.status}: it takes no more parts.")


def _check_parts(upload: Upload, etags: Mapping[int, str] | None) -> None:
    here = received(upload) if upload.status == S.OPEN else parts.store().received(upload)
    missing = [number for number in range(1, upload.part_count + 1) if number not in here]
    if missing:
        named = ", ".join(map(str, missing[:20])) + (" …" if len(missing) > 20 else "")
        message = f"Parts that have not arrived: {named}. Send them, then complete the upload."
        raise AppError("conflict", message, param="parts", details={"missing": missing})
    for number, etag in (etags or {}).items():
        if number not in here or here[number].etag.strip('"') not in ("", etag.strip('"')):
            message = f"parts: part {number} is not the one that has this ETag: send it again."
            raise AppError("invalid_request", message, param="parts")


def _claim(upload: Upload) -> uuid.UUID:
    now, lease = timezone.now(), uuid.uuid4()
    free = Q(status=S.OPEN) | Q(status=S.COMPLETING, lease_until__lt=now)
    if not Upload.objects.filter(free, pk=upload.pk, expires_at__gt=now).update(
        status=S.COMPLETING, lease=lease, lease_until=now + COMPLETING_FOR
    ):
        message = "Another request is completing this upload just now: ask for its state in a moment."
        raise AppError("conflict", message, wait=AGAIN_AFTER)
    return lease


def _renew(upload: Upload, lease: uuid.UUID) -> None:
    if not _mine(upload, lease).update(lease_until=timezone.now() + COMPLETING_FOR):
        raise _overtaken()


def _overtaken() -> AppError:
    return AppError("conflict", "Another request completed this upload, or it expired.")


def _completed(upload: Upload, lease: uuid.UUID) -> Asset:
    store, owner = parts.store(), upload.owner
    assert owner is not None
    with services.scratch() as folder:
        path = folder / "source"
        sha256 = store.gather(upload, path)
        size = path.stat().st_size
        if upload.sha256 and sha256 != upload.sha256:
            message = "The file that arrived is not the one that was announced: its sha256 is another. Upload it again."
            raise AppError("invalid_request", message, param="sha256")
        _renew(upload, lease)
        facts = services.look(path, kind=upload.kind)
        _renew(upload, lease)
        asset = services.new_asset(owner, kind=upload.kind, filename=upload.filename, pk=upload.pk)
        if isinstance(store, parts.LocalParts):
            # What an earlier try had stored before it died: the lease says that nobody else is here.
            _delete_stored(upload)
            services.keep(asset, path, digest=services.Digest(sha256, size), facts=facts)
        else:
            asset.file.name = upload.key
            asset.size, asset.sha256, asset.facts = size, sha256, facts
    with transaction.atomic():
        if not _mine(upload, lease).update(status=S.COMPLETED, lease=None):
            raise _overtaken()
        services.enter(asset, services.named_project(owner, upload.project_ref))
    store.discard(upload)
    log.info("upload=%s completed bytes=%s", upload.pk, size)
    return asset


def _refuse(upload: Upload, lease: uuid.UUID, refusal: AppError) -> None:
    said = {"status": S.FAILED, "lease": None, "error_code": refusal.code, "error": refusal.message[:500]}
    if _mine(upload, lease).update(**said):
        try:
            _remove_files(upload)
        except Unavailable:
            # The store is away. The row is kept until it expires, and the sweep tries again then.
            log.exception("upload=%s was refused, and its file could not be removed", upload.pk)


def _remove(upload: Upload) -> None:
    """Files first: should that fail, the row is still there to say that they are to go."""
    _remove_files(upload)
    Upload.objects.filter(pk=upload.pk, status=S.GOING).delete()
    log.info("upload=%s removed", upload.pk)


def _remove_files(upload: Upload) -> None:
    parts.store().discard(upload)
    if not Asset.objects.filter(pk=upload.pk).exists():
        _delete_stored(upload)


def _delete_stored(upload: Upload) -> None:
    storage, folder = media_storage(), f"assets/{upload.pk}"
    try:
        _, names = storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        storage.delete(f"{folder}/{name}")
    if local := local_path(storage, folder):
        shutil.rmtree(local, ignore_errors=True)


def _sweep_folders() -> int:
    """Folders of parts whose row is gone, with an account or an older database."""
    root = Path(settings.UPLOADS_DIR)
    found = {path.name: path for path in root.iterdir() if path.is_dir()} if root.exists() else {}
    known = {str(key) for key in Upload.objects.filter(pk__in=_uuids(found)).values_list("pk", flat=True)}
    old = [path for name, path in found.items() if name not in known and _age(path) > GRACE_SECONDS]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _uuids(names: Mapping[str, Path]) -> list[uuid.UUID]:
    return [key for name in names if (key := services.as_uuid(name))]


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
