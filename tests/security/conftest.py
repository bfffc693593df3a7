"""Everything an account may own, in one hand; clients for pages and for the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.credits.models import Purchase
from apps.projects.models import Upload
from apps.webhooks import services as webhooks
from tests.factories import make_asset, make_job, make_project


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def deployed(settings: Any) -> None:
    """As on a real site."""
    settings.SANDBOX = False
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


@pytest.fixture
def at() -> Callable[[User], Client]:
    """This user's browser."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def caller() -> Callable[[User], Client]:
    """This user's program."""

    def make(user: User) -> Client:
        return Client(headers={"x-api-key": issue_key(user, name="test")[1]})

    return make


@pytest.fixture
def hers(alice: User) -> dict[str, Any]:
    """Alice's things, by the beginning of the addresses that name them."""
    project = make_project(alice)
    asset = make_asset(alice, project=project)
    job = make_job(alice, asset=asset, project=project)
    purchase = Purchase.objects.create(
        user=alice, pack="starter", credits=1, amount=1, currency="usd", pricing_version=1, status="paid"
    )
    endpoint, _ = webhooks.create_endpoint(alice, url="https://example.org/hook")
    (delivery,) = webhooks.emit(alice, "credits.low", body={})
    upload = Upload.objects.create(
        owner=alice, size=10, part_size=10, filename="film.mp4", expires_at=timezone.now() + timedelta(hours=1)
    )
    return {
        "v1/webhooks/deliveries/": delivery,
        "v1/webhooks/": (endpoint, delivery),
        "webhooks/": endpoint,
        "webhooks/deliveries/": delivery,
        "v1/jobs/": job,
        "jobs/": job,
        "projects/": project,
        "v1/projects/": project,
        "v1/uploads/": upload,
        "new/uploads/": upload,
        "new/tried/": job,
        "asset": asset,
        "keys/": issue_key(alice, name="hers")[0],
        "credits/purchases/": purchase,
    }
