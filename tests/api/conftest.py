"""Callers of the API: one client for each of the cast, with a key of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import SCOPES, User
from apps.accounts.services import issue_key
from apps.jobs import services
from tests.api import machinery

JSON = "application/json"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cache.clear()
    machinery.calls.clear()
    machinery.gate.clear()
    machinery.started.clear()
    yield
    cache.clear()


@pytest.fixture
def caller() -> Callable[..., Client]:
    """A client that sends a new key of this user with every request."""

    def make(user: User, *, scopes: tuple[str, ...] = SCOPES) -> Client:
        _, secret = issue_key(user, name="test", scopes=scopes)
        return Client(raise_request_exception=False, headers={"x-api-key": secret})

    return make


@pytest.fixture
def api(alice: User, caller: Callable[..., Client]) -> Client:
    """Alice's client."""
    return caller(alice)


@pytest.fixture
def anonymous() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of gray, 64 × 48 at 25 fps, without sound."""
    path = tmp_path_factory.mktemp("clip") / "gray.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level * 10, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def weights_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as installed; nothing is inferred in these tests."""
    monkeypatch.setattr(services, "need_installed", lambda options: None)
