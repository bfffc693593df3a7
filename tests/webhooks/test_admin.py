"""What support sees of deliveries, and the button."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.webhooks import services, signing
from apps.webhooks.models import Attempt, Delivery
from tests.admin.pressing import press

JOB = UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def delivery(alice: User) -> Delivery:
    (made,) = services.emit(alice, "job.completed", url="https://hooks.example.org/in", body={}, subject=JOB)
    services.emit(alice, "job.failed", url="https://other.example.org/", body={}, subject=UUID(int=7))
    Attempt.objects.create(delivery=made, number=1, status_code=503, response_excerpt="come back later")
    return made


@pytest.fixture
def support(client: Client, sue: User) -> Client:
    client.force_login(sue)
    return client


@pytest.mark.parametrize("by", ["job", "delivery", "beginning"])
def test_a_delivery_is_found(by: str, delivery: Delivery, support: Client) -> None:
    query = {"job": str(JOB), "delivery": str(delivery.pk), "beginning": str(delivery.pk)[:8]}[by]

    page = support.get(reverse("admin:webhooks_delivery_changelist"), {"q": query})

    assert [row.pk for row in page.context["cl"].result_list] == [delivery.pk]


def test_a_delivery_shows_its_attempts_and_not_its_secret(delivery: Delivery, support: Client) -> None:
    page = support.get(reverse("admin:webhooks_delivery_change", args=[delivery.pk]))

    text = page.content.decode()
    assert "come back later" in text
    assert signing.of_account(delivery.user).secret not in text


def test_send_again_makes_it_due(delivery: Delivery, support: Client) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(state="failed", next_attempt_at=None)

    press(support, delivery, "replay")

    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.PENDING
    assert delivery.next_attempt_at is not None


def test_an_endpoint_is_disabled_and_enabled_and_its_secret_not_shown(alice: User, support: Client) -> None:
    endpoint, secret = services.create_endpoint(alice, url="https://hooks.example.org/in")
    states = []

    for action in ("disable", "enable"):
        press(support, endpoint, action)
        endpoint.refresh_from_db()
        states.append(endpoint.is_enabled)

    assert states == [False, True]
    assert secret not in support.get(reverse("admin:webhooks_endpoint_change", args=[endpoint.pk])).content.decode()


def test_a_refusal_to_send_again_is_told(alice: User, support: Client) -> None:
    endpoint, _ = services.create_endpoint(alice, url="https://hooks.example.org/in")
    (delivery,) = services.emit(alice, "credits.low", body={})
    services.disable_endpoint(endpoint)

    page = press(support, delivery, "replay")

    assert b"The endpoint is disabled: enable it, then send again." in page.content
