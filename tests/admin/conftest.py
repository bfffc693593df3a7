"""Browsers of staff."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from tests.conftest import make_user


@pytest.fixture
def support(client: Client, sue: object) -> Client:
    """A superuser's."""
    client.force_login(sue)  # type: ignore[arg-type]
    return client


@pytest.fixture
def staff(db: None) -> Callable[[str], Client]:
    """Somebody with one role."""

    def make(role: str) -> Client:
        user = make_user(f"{role}@example.org", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make
