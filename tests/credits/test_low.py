"""A balance that runs low is told once each time it falls below what its owner said."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone

from apps.credits import low, services
from apps.credits.models import LowBalance, Wallet


def spend(user, amount: int, key: str) -> None:
    services.capture(services.hold(user, amount, key=key, reference=""), amount)


def test_each_crossing_is_told_once(alice):
    spend(alice, 90_00, "to the threshold itself")
    assert LowBalance.objects.count() == 0

    spend(alice, 1, "across")
    spend(alice, 5_00, "below")
    services.grant(alice, 50_00, key="up", note="again")
    spend(alice, 50_00, "across again")

    told = LowBalance.objects.order_by("created_at").values_list("balance", "threshold")
    assert list(told) == [(9_99, 10_00), (4_99, 10_00)]


def test_setting_credits_aside_is_not_yet_spending(alice):
    services.release(services.hold(alice, 95_00, key="h", reference=""))

    assert LowBalance.objects.count() == 0


@pytest.mark.parametrize(("threshold", "count"), [(0, 0), (50_00, 1), (5_00, 0)])
def test_the_owner_says_when(alice, threshold, count):
    Wallet.objects.filter(user=alice).update(low_threshold=threshold)

    spend(alice, 95_00, "most")

    assert LowBalance.objects.count() == count


def test_a_movement_that_is_undone_tells_nothing(alice):
    with transaction.atomic():
        spend(alice, 95_00, "most")
        transaction.set_rollback(True)

    assert LowBalance.objects.count() == 0


def test_programs_are_told_with_the_movement(alice, monkeypatch):
    told = []
    monkeypatch.setattr(low.webhooks, "emit", lambda user, event, **how: told.append((user, event, how["body"])))

    spend(alice, 95_00, "most")

    body = {"balance": 5, "held": 0, "available": 5, "threshold": 10, "buy_url": "http://testserver/credits"}
    assert told == [(alice, "credits.low", body)]


def test_the_mail_goes_out_once(alice):
    spend(alice, 92_50, "most")

    assert [low.send_due(), low.send_due()] == [1, 0]

    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (["alice@example.org"], "7.5 credits left at Clearmatte")
    assert "7.50 credits now, below the 10 at which" in letter.body
    assert "http://testserver/credits" in letter.body


def test_a_mail_that_could_not_be_sent_is_tried_again_and_in_the_end_given_up(alice, settings):
    settings.EMAIL_BACKEND = "tests.credits.test_low.Broken"
    spend(alice, 95_00, "most")

    assert low.send_due() == 0
    assert low.send_due() == 0  # not before its time
    assert LowBalance.objects.get().mail_attempts == 1
    LowBalance.objects.update(mail_due_at=timezone.now(), mail_attempts=low.MAIL_ATTEMPTS - 1)
    low.send_due()

    assert LowBalance.objects.get().mail_due_at is None


class Broken(EmailBackend):
    def send_messages(self, messages):
        raise OSError("no route")
