"""Many callers at once, each with a connection of its own: what holds for one caller holds for all of them.

Runs on the suite's database, SQLite by default, and once more on PostgreSQL
(test_postgresql.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.accounts.models import User
from apps.credits import services
from apps.credits.audit import audit
from apps.credits.models import Hold, LedgerEntry, Wallet
from tests.conftest import make_user
from tests.races import race

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def spender() -> Iterator[User]:
    """Has exactly 10 credits; whatever a test does to them must leave the books in order."""
    user = make_user("spender@example.org")
    services.open_wallet(user, grant=False)
    services.grant(user, 10_00, key="ten", note="for tests")
    yield user
    assert audit() == []


def test_thirty_spenders_of_ten_credits_get_ten_holds(spender):
    calls = [lambda n=n: services.hold(spender, 1_00, key=f"job:{n}", reference=f"job {n}") for n in range(30)]

    outcomes = race(calls)

    assert Counter(type(outcome) for outcome in outcomes) == {Hold: 10, str: 20}
    assert {outcome for outcome in outcomes if isinstance(outcome, str)} == {"insufficient_credits"}
    assert Wallet.objects.values_list("balance", "held").get(user=spender) == (10_00, 10_00)


def test_racing_captures_and_releases_settle_a_hold_once(spender):
    hold = services.hold(spender, 4_00, key="job", reference="job")
    calls: list[Callable[[], Any]] = [lambda: ("capture", services.capture(hold, 3_00)) for _ in range(13)]
    calls += [lambda: ("release", services.release(hold)) for _ in range(12)]
    random.shuffle(calls)

    winners = [name for name, won in race(calls) if won]

    assert len(winners) == 1
    left = 7_00 if winners == ["capture"] else 10_00
    assert Wallet.objects.values_list("balance", "held").get(user=spender) == (left, 0)


def test_one_key_from_many_callers_makes_one_hold(spender):
    outcomes = race([lambda: services.hold(spender, 3_00, key="job", reference="job").pk] * 20)

    assert len(set(outcomes)) == 1
    assert Wallet.objects.get(user=spender).held == 3_00


def test_one_key_from_many_callers_makes_one_entry(spender):
    outcomes = race([lambda: services.grant(spender, 5_00, key="gift", note="once").pk] * 20)

    assert len(set(outcomes)) == 1
    assert Wallet.objects.get(user=spender).balance == 15_00


def test_a_wallet_opened_by_many_callers_gets_one_grant():
    user = make_user("new@example.org")

    race([lambda: services.open_wallet(user).pk] * 15)

    assert list(LedgerEntry.objects.values_list("amount", "key")) == [(20_00, f"grant:signup:{user.pk}")]
    assert Wallet.objects.get(user=user).balance == 20_00
