"""Uploads as the world sees them: what the API answers, and the page's script asks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.projects import resumable, services
from apps.projects.models import Asset, Upload

FACTS = ("duration", "width", "height", "fps", "has_audio", "rotation")


def begun_json(upload: Upload) -> dict[str, Any]:
    told = {"success": True, "upload_id": str(upload.pk), "part_size": upload.part_size}
    return {**told, "parts": resumable.urls(upload), "expires_at": moment(upload.expires_at)}


def state_json(upload: Upload) -> dict[str, Any]:
    here = resumable.received(upload)
    is_open = upload.status == Upload.Status.OPEN
    told = {
        "success": True,
        "upload_id": str(upload.pk),
        "status": upload.status,
        "filename": upload.filename,
        "size": upload.size,
        "part_size": upload.part_size,
        "parts": [{"number": number, "size": here[number].size, "etag": here[number].etag} for number in sorted(here)],
        "missing": [number for number in range(1, upload.part_count + 1) if number not in here] if is_open else [],
        "error_code": upload.error_code or None,
        "error": upload.error or None,
        "expires_at": moment(upload.expires_at),
    }
    if upload.status == Upload.Status.COMPLETED:
        told["image_id" if upload.kind == Asset.Kind.BACKGROUND else "video_id"] = str(upload.pk)
    return told


def moment(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def upload_json(asset: Asset) -> dict[str, Any]:
    url = services.asset_url(asset)
    if asset.kind == Asset.Kind.BACKGROUND:
        size = {"width": asset.facts["width"], "height": asset.facts["height"]}
        return {"success": True, "image_id": str(asset.id), "image_url": url, **size}
    facts = {name: asset.facts[name] for name in FACTS}
    named = {"video_id": str(asset.id), "video_url": url, "filename": asset.filename, "size": asset.size}
    return {"success": True, **named, **facts}
