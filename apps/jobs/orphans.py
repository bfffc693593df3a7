"""Files that no record names, and records whose file is gone: found, and on request put right."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.jobs.models import Job, Output
from apps.projects import media
from apps.projects import services as projects
from apps.projects.media import Stored
from apps.projects.models import Asset, Deletion, Upload, media_storage

log = logging.getLogger(__name__)

OURS = re.compile(r"(assets|jobs)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/.+")
BATCH = 500


@dataclass(slots=True)
class Found:
    files: list[Stored] = field(default_factory=list)
    """That no record names, older than asked."""
    foreign: list[Stored] = field(default_factory=list)
    """Whose names were never ours; reported, and never deleted."""
    outputs: list[Output] = field(default_factory=list)
    assets: list[Asset] = field(default_factory=list)
    """Whose file is gone."""
    looked_at: int = 0
    in_place: int = 0
    """Records whose file is there."""

    @property
    def is_another_storage(self) -> bool:
        """Nothing here belongs together: rather a wrong bucket, folder or database than so many accidents."""
        return not self.in_place and bool(self.files or self.outputs or self.assets)


def find(*, older_than: timedelta) -> Found:
    """One walk over the storage, then one over the records. What is on its way in or at work is left alone."""
    found, now = Found(), timezone.now()
    seen: set[str] = set()
    for batch in _batches(media.stored()):
        found.looked_at += len(batch)
        seen.update(file.name for file in batch)
        old = [file for file in batch if file.changed_at < now - older_than]
        known = _known(old)
        found.files += [file for file in old if OURS.fullmatch(file.name) and file.name not in known]
        found.foreign += [file for file in old if not OURS.fullmatch(file.name)]
    for output in _outputs(now):
        if _is_gone(str(output.file.name), seen):
            found.outputs.append(output)
        else:
            found.in_place += 1
    for asset in _assets(now):
        if _is_gone(str(asset.file.name), seen):
            found.assets.append(asset)
        else:
            found.in_place += 1
    return found


def put_right(found: Found) -> int:
    """Delete the files and mark the records, each with its proof; how many."""
    for file in found.files:
        kind, key = _owner(file.name)
        media.remove(file.name)
        about: dict[str, Any] = {"job_id" if kind == "jobs" else "asset_id": key}
        projects.prove(Deletion.Rule.ORPHAN, kind="unknown", name=file.name, size=file.size, **about)
        log.info("orphan deleted bytes=%s owner=%s", file.size, key)
    return len(found.files) + sum(map(_mark_output, found.outputs)) + sum(map(_mark_asset, found.assets))


def _known(files: Iterable[Stored]) -> set[str]:
    """Names that a record accounts for: by their ids, because those are indexed and names are not."""
    keys: dict[str, set[UUID]] = {"assets": set(), "jobs": set()}
    names: dict[UUID, list[str]] = {}
    for file in files:
        if OURS.fullmatch(file.name):
            kind, key = _owner(file.name)
            keys[kind].add(key)
            names.setdefault(key, []).append(file.name)
    # Asked first: what arrives between the two questions has its record at the second.
    on_their_way = [
        *Upload.objects.filter(pk__in=keys["assets"]).values_list("pk", flat=True),
        *Asset.objects.filter(pk__in=keys["assets"], status=Asset.Status.PENDING).values_list("pk", flat=True),
        *Job.objects.filter(pk__in=keys["jobs"]).exclude(status__in=Job.FINAL).values_list("pk", flat=True),
    ]
    known = set(Asset.objects.filter(pk__in=keys["assets"]).exclude(file="").values_list("file", flat=True))
    known |= set(Output.objects.filter(job_id__in=keys["jobs"]).exclude(file="").values_list("file", flat=True))
    return known.union(*(names[key] for key in on_their_way))


def _owner(name: str) -> tuple[str, UUID]:
    match = OURS.fullmatch(name)
    assert match
    return match[1], UUID(match[2])


def _outputs(before: datetime) -> Iterator[Output]:
    return Output.objects.filter(created_at__lt=before).exclude(file="").select_related("job").iterator(BATCH)


def _assets(before: datetime) -> Iterator[Asset]:
    return Asset.objects.filter(created_at__lt=before, status=Asset.Status.READY).exclude(file="").iterator(BATCH)


def _is_gone(name: str, seen: set[str]) -> bool:
    """Not seen on the walk, and not there on a second look: it may have come while we walked."""
    return name not in seen and not media_storage().exists(name)


def _mark_output(output: Output) -> bool:
    rows = Output.objects.filter(pk=output.pk, file=output.file.name)
    with transaction.atomic():
        if not rows.update(file="", deleted_at=timezone.now()):
            return False
        about: dict[str, Any] = {
            "name": str(output.file.name),
            "size": output.size,
            "sha256": output.sha256,
            "job_id": output.job_id,
        }
        projects.prove(Deletion.Rule.MISSING, kind=output.kind, project_id=output.job.project_id, **about)
    return True


def _mark_asset(asset: Asset) -> bool:
    rows = Asset.objects.filter(pk=asset.pk, file=asset.file.name)
    with transaction.atomic():
        if not rows.update(file="", status=Asset.Status.DELETED):
            return False
        about: dict[str, Any] = {
            "name": str(asset.file.name),
            "size": asset.size,
            "sha256": asset.sha256,
            "asset_id": asset.pk,
        }
        projects.prove(Deletion.Rule.MISSING, kind=asset.kind, project_id=asset.project_id, **about)
    return True


def _batches(files: Iterator[Stored]) -> Iterator[list[Stored]]:
    while batch := list(islice(files, BATCH)):
        yield batch
