"""Browsers without a screen: a signed-in client for each of the cast, and a short clip to upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.engine.matting import weights
from apps.engine.matting.weights import ModelStatus
from tests import clips
from tests.credits.conftest import fakestripe  # noqa: F401


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def at() -> Callable[[User], Client]:
    """This user's browser."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def browser(alice: User, at: Callable[[User], Client]) -> Client:
    """Alice's."""
    return at(alice)


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as installed; nothing is inferred in such a test."""
    here = {name: ModelStatus(True, (), None) for name in weights.NEEDS}
    monkeypatch.setattr(weights, "model_status", lambda *args, **kwargs: here)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound, 96 × 64: 1.5 credits with `light`."""
    return clips.make_clip(tmp_path_factory.mktemp("clip") / "holiday.mp4", frames=50, sound_seconds=2)
