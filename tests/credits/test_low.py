"""A balance that runs low is told once each time it falls below what its owner said."""

from __future__ import annotations

import json

import pytest
from django.db import transaction

from apps.accounts.models import Mail
from apps.credits import services
from apps.credits.models import LedgerEntry, Wallet
from apps.webhooks import services as webhooks
from apps.webhooks.models import Delivery

HOOK = "https://example.org/hook"


def spend(user, amount: int, key: str) -> None:
    services.capture(services.hold(user, amount, key=key, reference=""), amount)


def told() -> list[str]:
    return [mail.context["available"] for mail in Mail.objects.filter(kind="low_credits").order_by("created_at")]


def test_each_crossing_is_told_once(alice):
    spend(alice, 90_00, "to the threshold itself")
    assert told() == []

    spend(alice, 1, "across")
    spend(alice, 5_00, "below")
    services.grant(alice, 50_00, key="up", note="again")
    spend(alice, 50_00, "across again")

    assert told() == ["9.99", "4.99"]


def test_setting_credits_aside_is_not_yet_spending(alice):
    services.release(services.hold(alice, 95_00, key="h", reference=""))

    assert told() == []


@pytest.mark.parametrize(("threshold", "count"), [(0, 0), (50_00, 1), (5_00, 0)])
def test_the_owner_says_when(alice, threshold, count):
    Wallet.objects.filter(user=alice).update(low_threshold=threshold)

    spend(alice, 95_00, "most")

    assert len(told()) == count


def test_who_wants_no_word_gets_none_when_a_refund_takes_the_balance_below_zero(alice):
    Wallet.objects.filter(user=alice).update(low_threshold=0)

    services.post(alice, LedgerEntry.Kind.REFUND, -150_00, key="refund", reference="")

    assert told() == []


def test_a_movement_that_is_undone_tells_nothing(alice):
    webhooks.create_endpoint(alice, url=HOOK, events=["credits.low"])

    with transaction.atomic():
        spend(alice, 95_00, "most")
        transaction.set_rollback(True)

    assert (told(), Delivery.objects.count()) == ([], 0)


def test_programs_are_told_with_the_movement(alice, charlie):
    webhooks.create_endpoint(alice, url=HOOK, events=["credits.low"])
    webhooks.create_endpoint(charlie, url=HOOK, events=["credits.low"])

    spend(alice, 95_00, "most")

    delivery = Delivery.objects.get()
    body = {"balance": 5, "held": 0, "available": 5, "threshold": 10, "buy_url": "http://testserver/credits"}
    assert (delivery.user, delivery.event, json.loads(delivery.body)["data"]) == (alice, "credits.low", body)
