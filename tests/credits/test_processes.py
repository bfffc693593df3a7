"""Real processes on one database: many spenders at once, and `kill -9` between any two steps of what moves credits.

As test_race.py, it runs on the suite's database and once more on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from apps.accounts.models import User
from apps.credits import buying, services, stripe
from apps.credits.audit import audit
from apps.credits.fakestripe.server import signature
from apps.credits.models import Hold, LedgerEntry, Purchase, Wallet
from tests.conftest import make_user
from tests.forks import REFUSED, in_processes, killed_at

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

MOST_STATEMENTS = 60


@pytest.fixture
def spender() -> Iterator[User]:
    """Has exactly 10 credits."""
    user = make_user("spender@example.org")
    services.open_wallet(user, grant=False)
    services.grant(user, 10_00, key="ten", note="for tests")
    yield user
    assert audit() == []


def at_every_statement(call: Callable[[], object], sound: Callable[[], None]) -> int:
    """Kill the call before its first statement, its second and so on until it gets through; `sound` looks each time."""
    for statement in range(1, MOST_STATEMENTS):
        was_killed = killed_at(call, statement)
        assert audit() == []
        sound()
        if not was_killed:
            return statement - 1
    raise AssertionError(f"not through after {MOST_STATEMENTS} statements")


def test_thirty_processes_spend_ten_credits(spender):
    def spend(number: int) -> None:
        services.capture(services.hold(spender, 1_00, key=f"job:{number}", reference=""), 1_00)

    outcomes = in_processes([lambda number=number: spend(number) for number in range(30)])

    assert sorted(outcomes) == [0] * 10 + [REFUSED] * 20
    assert Wallet.objects.values_list("balance", "held").get(user=spender) == (0, 0)
    assert LedgerEntry.objects.filter(kind="capture").count() == 10


def test_a_spender_killed_between_steps_holds_all_or_nothing(spender):
    def sound() -> None:
        held = Wallet.objects.get(user=spender).held
        assert held == 4_00 * Hold.objects.filter(state="open").count()

    steps = at_every_statement(lambda: services.hold(spender, 4_00, key="job", reference="job"), sound)

    assert steps >= 4
    assert (Hold.objects.count(), Wallet.objects.get(user=spender).held) == (1, 4_00)


@pytest.mark.parametrize("settle", ["capture", "release"])
def test_a_settler_killed_between_steps_settles_all_or_nothing(spender, settle):
    hold = services.hold(spender, 4_00, key="job", reference="job")
    left = {"open": (10_00, 4_00), "captured": (7_00, 0), "released": (10_00, 0)}

    def sound() -> None:
        state = Hold.objects.get(pk=hold.pk).state
        assert Wallet.objects.values_list("balance", "held").get(user=spender) == left[state]

    act = (lambda: services.capture(hold, 3_00)) if settle == "capture" else (lambda: services.release(hold))
    steps = at_every_statement(act, sound)

    assert steps >= 3
    assert Hold.objects.get(pk=hold.pk).state == {"capture": "captured", "release": "released"}[settle]


def test_a_receiver_killed_between_steps_credits_a_payment_once(spender, fakestripe):
    purchase = buying.checkout(spender, "team", success_url="http://testserver/", cancel_url="http://testserver/")
    fakestripe.click(purchase.session_id, "pay")
    body = json.dumps(fakestripe.events()[-1]).encode()

    def sound() -> None:
        balance = Wallet.objects.get(user=spender).balance
        assert balance == 10_00 + sum(LedgerEntry.objects.filter(kind="purchase").values_list("amount", flat=True))
        assert balance in (10_00, 610_00)

    steps = at_every_statement(lambda: stripe.receive_webhook(body, signature(body, "whsec_test")), sound)

    assert steps >= 8
    assert Wallet.objects.get(user=spender).balance == 610_00
    assert Purchase.objects.get().status == "paid"


def test_a_buyer_killed_between_steps_pays_one_session(spender, fakestripe):
    """The same page's button again makes the same purchase, whatever the first press had got done."""
    number = uuid4()

    def buy() -> None:
        buying.checkout(spender, "team", success_url="http://a/", cancel_url="http://a/", number=number)

    at_every_statement(buy, lambda: None)

    assert len(fakestripe.book.tables["sessions"]) == len(fakestripe.book.tables["customers"]) == 1
    assert Purchase.objects.get().session_id in fakestripe.book.tables["sessions"]
