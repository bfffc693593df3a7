"""A real receiver on loopback, and short ways to write what is to be sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.webhooks import services
from apps.webhooks.models import Delivery, Endpoint
from tests.fakes import Receiver, webhook_receiver

JOB = UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    with webhook_receiver() as running:
        settings.EGRESS_ALLOW = [running.target]
        yield running


@pytest.fixture
def endpoint(alice: User, receiver: Receiver) -> Endpoint:
    """Alice's, for everything."""
    return services.create_endpoint(alice, url=receiver.url)[0]


def emit(user: User, url: str, event: str = "job.completed", *, subject: UUID = JOB) -> Delivery:
    """For the receiver of one job, with no endpoint beside it."""
    (delivery,) = services.emit(user, event, url=url, body={"id": str(subject), "note": "naïve ✂"}, subject=subject)
    return delivery


def make_due(*deliveries: Delivery) -> None:
    Delivery.objects.filter(pk__in=[row.pk for row in deliveries]).update(
        next_attempt_at=timezone.now(), sending_until=None
    )
