"""The keyer is a model with a price here, so that no weights are needed; and the books are checked after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.credits import prices
from apps.credits.audit import audit
from apps.credits.models import PriceList
from apps.engine.options import Options
from apps.engine.report import OutputFile, Result
from apps.jobs import services
from tests import clips
from tests.credits.conftest import postgresql  # noqa: F401 - a fixture
from tests.factories import make_quality

pytest.register_assert_rewrite("tests.jobs.lab")

CHROMA = Options(model="chroma")
CHROMA_RATE = 60_00
"""1 credit a second."""


@pytest.fixture(autouse=True)
def books(db: None) -> Iterator[None]:
    """Balance = Σ entries, held = Σ open holds, and no final job with an open hold, whatever a test did."""
    first = prices.current()
    PriceList.objects.create(
        version=first.version + 1,
        starts_at=timezone.now(),
        rates={**first.rates, "chroma": CHROMA_RATE},
        packs=first.packs,
        free_grant=first.free_grant,
    )
    yield
    assert audit() == []


@pytest.fixture
def weights_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as installed; nothing is inferred in such a test."""
    monkeypatch.setattr(services, "need_installed", lambda options: None)


def a_result(*, seconds: float = 10.0, frames: int = 250) -> Result:
    """The engine's closing report of a job that went well."""
    return Result(
        status="completed",
        frames=frames,
        decoded_seconds=seconds,
        model="chroma",
        model_version="chroma@1",
        device="cpu",
        seconds=3.2,
        quality=make_quality(),
    )


def a_file(kind: str = "result") -> OutputFile:
    return OutputFile(
        kind=kind,
        format="webm",
        path=f"/scratch/{kind}.webm",
        bytes=8,
        width=320,
        height=180,
        frames=250,
        duration=10.0,
        sha256="0" * 64,
        alpha_mode="straight",
        has_audio=True,
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A second of the disc."""
    return clips.make_clip(tmp_path / "clip.mp4", frames=25)


@pytest.fixture
def clean_scratch(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.SCRATCH_DIR = tmp_path / "scratch"
    settings.SCRATCH_DIR.mkdir()
    yield
    assert list(settings.SCRATCH_DIR.iterdir()) == []
