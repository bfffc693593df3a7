"""Callers of the API: one client for each of the cast, with a key of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import SCOPES, User
from apps.accounts.services import issue_key
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
