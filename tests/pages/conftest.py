"""Browsers without a screen, a signed-in client for each of the cast; Chromium; and a short clip to upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from playwright.sync_api import Browser, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.engine.matting import weights
from apps.engine.matting.weights import ModelStatus
from tests import clips
from tests.credits.conftest import fakestripe  # noqa: F401
from tests.live import House, running_house
from tests.pages.visits import A_MINUTE, ARGUMENTS, Visitor


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


@pytest.fixture(scope="module")
def browser_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture(scope="module")
def program(chromium: str, browser_thread: ThreadPoolExecutor) -> Iterator[Browser]:
    playwright = browser_thread.submit(sync_playwright().start).result()
    start = playwright.chromium.launch
    browser = browser_thread.submit(start, executable_path=chromium, args=list(ARGUMENTS)).result()
    yield browser
    browser_thread.submit(browser.close).result()
    browser_thread.submit(playwright.stop).result()


@pytest.fixture
def visitor(
    program: Browser, browser_thread: ThreadPoolExecutor, live_server: LiveServer
) -> Iterator[Callable[..., Visitor]]:
    """Opens windows; the test fails if the console of any of them had something to complain about."""
    visitors: list[Visitor] = []

    def arrive(how: dict[str, Any]) -> Visitor:
        window = program.new_context(base_url=live_server.url, accept_downloads=True, **how)
        window.set_default_timeout(A_MINUTE)
        return Visitor(browser_thread, window, window.new_page())

    def make(**how: Any) -> Visitor:
        visitors.append(browser_thread.submit(arrive, how).result())
        return visitors[-1]

    yield make
    for one in visitors:
        one.does(lambda page: page.context.close())
    assert [one.complaints for one in visitors if one.complaints] == []


@pytest.fixture(scope="module")
def house(django_db_setup: None, live_server: LiveServer) -> Iterator[House]:
    with running_house(live_server.url) as running:
        yield running
