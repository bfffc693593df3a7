"""Balance and prices over the API."""

from __future__ import annotations

import pytest

from apps.credits import services

pytestmark = pytest.mark.django_db


def test_credits_are_what_is_there_held_and_left(api, alice):
    services.hold(alice, 7_50, key="h", reference="r")

    assert api.get("/v1/credits").json() == {"balance": 100, "held": 7.5, "available": 92.5}


def test_pricing_is_open_and_the_same_at_both_addresses(anonymous):
    body = anonymous.get("/v1/pricing").json()

    assert anonymous.get("/api/pricing").json() == body
    assert body["version"] == 1
    assert body["model_pricing_credits_per_minute"] == {"original": 60, "light": 45, "human": 45, "pro": 180}
    assert body["free_grant"] == 20
    assert body["packages"][0] == {
        "id": "starter",
        "name": "Starter",
        "credits": 100,
        "amount": 900,
        "currency": "usd",
    }
    assert body["limits"]["max_seconds"] == 600
