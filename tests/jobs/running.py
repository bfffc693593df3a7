"""Jobs as a worker holds them, and what is left of them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import User
from apps.credits.models import Wallet
from apps.engine.options import Options
from apps.jobs import services
from apps.jobs.models import Job
from apps.projects import services as projects
from apps.projects.models import Asset, media_storage
from tests.factories import make_asset
from tests.jobs.conftest import CHROMA


def asset_of(user: User, path: Path, kind: str = "video") -> Asset:
    asset = make_asset(user, content=path.read_bytes(), kind=kind)
    asset.facts = projects.look(path, kind=kind)
    asset.save()
    return asset


def claimed(user: User, clip: Path, options: Options = CHROMA, **fields: Any) -> Job:
    job = services.submit(user, asset=asset_of(user, clip), options=options, **fields)
    taken = services.claim(job.pk, 1, "w")
    assert taken is not None
    return taken


def fresh(job: Job) -> Job:
    return Job.objects.with_details().get(pk=job.pk)


def stored_files(job: Job) -> list[str]:
    try:
        return sorted(media_storage().listdir(f"jobs/{job.pk}/1")[1])
    except FileNotFoundError:
        return []


def purse(user: User) -> tuple[int, int]:
    return Wallet.objects.values_list("balance", "held").get(user=user)


def at_first_tick(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    tick, calls = services.tick, []

    def watched(job: Job, *args: Any, **kwargs: Any) -> bool:
        if not calls:
            act(job)
        calls.append(job)
        return tick(job, *args, **kwargs)

    monkeypatch.setattr(services, "tick", watched)
