"""A thousand random steps of buying, spending, canceling, refunding and disputing; then the books are counted."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from apps.accounts.models import User
from apps.credits import buying, services, stripe
from apps.credits.audit import audit
from apps.credits.fakestripe.server import signature
from apps.credits.models import Hold, Purchase, Wallet
from apps.errors import AppError
from tests.conftest import make_user

STEPS = 1000
PACKS = {"starter": (100_00, 9_00), "team": (600_00, 45_00)}


@dataclass
class Sold:
    """A payment as the person at the till remembers it, in cents."""

    purchase: Purchase
    is_paid: bool = False
    refunded: int = 0
    dispute: str = ""
    verdict: str = ""

    @property
    def worth(self) -> int:
        credits, price = PACKS[self.purchase.pack]
        if not self.is_paid or self.verdict == "lost":
            return 0
        return credits * (price - self.refunded) // price

    @property
    def disputed(self) -> int:
        return self.worth if self.dispute and not self.verdict else 0


@dataclass
class Town:
    """The account's own memory, kept beside the site's books."""

    user: User
    fake: Any
    chance: random.Random
    sold: list[Sold] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    spent: int = 0
    refusals: int = 0
    heard: int = 0

    def buy(self) -> None:
        number, pack = uuid4(), self.chance.choice(list(PACKS))
        for _ in range(self.chance.choice([1, 1, 2])):
            purchase = buying.checkout(self.user, pack, success_url="http://a/", cancel_url="http://a/", number=number)
        self.sold.append(Sold(purchase))

    def pay(self) -> None:
        if waiting := [sold for sold in self.sold if not sold.is_paid]:
            sold = self.chance.choice(waiting)
            action = self.chance.choice(["pay", "pay", "decline", "cancel"])
            answer = self.fake.click(sold.purchase.session_id, action)
            sold.is_paid = action == "pay" and answer.status_code == 303
            if action == "pay":
                assert self.fake.click(sold.purchase.session_id, "pay").status_code == 400  # the second of two clicks

    def spend(self) -> None:
        amount, wallet = self.chance.randint(1, 90_00), Wallet.objects.get(user=self.user)
        try:
            hold = services.hold(self.user, amount, key=f"job:{uuid4()}", reference="job")
        except AppError as refusal:
            self.refusals += (refusal.code, amount > wallet.available) == ("insufficient_credits", True)
        else:
            assert amount <= wallet.available
            self.holds.append(hold)

    def finish(self) -> None:
        if self.holds:
            hold = self.holds.pop(self.chance.randrange(len(self.holds)))
            taken = self.chance.randint(0, hold.amount + 50)
            assert services.capture(hold, taken)
            assert not services.release(hold)
            self.spent += min(taken, hold.amount)

    def cancel(self) -> None:
        if self.holds:
            hold = self.holds.pop(self.chance.randrange(len(self.holds)))
            assert services.release(hold)
            assert not services.capture(hold, hold.amount)

    def refund(self) -> None:
        if paid := [sold for sold in self.sold if sold.is_paid and not sold.dispute]:
            sold = self.chance.choice(paid)
            amount = self.chance.randint(1, PACKS[sold.purchase.pack][1])
            intent = self.fake.book.find(sold.purchase.session_id, "cs")["payment_intent"]
            if self.fake.act("/v1/refunds", payment_intent=intent, amount=amount).status_code == 200:
                sold.refunded += amount

    def dispute(self) -> None:
        """The whole of what is left of a payment, and later the bank's decision."""
        if paid := [sold for sold in self.sold if sold.is_paid and not sold.verdict]:
            sold = self.chance.choice(paid)
            intent = self.fake.book.find(sold.purchase.session_id, "cs")["payment_intent"]
            left = PACKS[sold.purchase.pack][1] - sold.refunded
            if sold.dispute:
                sold.verdict = self.chance.choice(["won", "lost"])
                self.fake.act(f"/sandbox/disputes/{sold.dispute}/{sold.verdict}")
            elif left:
                sold.dispute = self.fake.act("/sandbox/disputes", payment_intent=intent, amount=left).json()["id"]

    def hear(self) -> None:
        """Some of the news, in any order, some of it twice."""
        events = self.fake.events()[self.heard :]
        self.heard += len(events)
        told = [*events, *self.chance.sample(events, len(events) // 2)]
        self.chance.shuffle(told)
        for event in told:
            body = json.dumps(event).encode()
            stripe.receive_webhook(body, signature(body, "whsec_test"))


@pytest.mark.parametrize("seed", [20261126])
def test_after_a_thousand_random_steps_every_hundredth_is_where_it_belongs(db, fakestripe, monkeypatch, seed):
    monkeypatch.setattr("apps.credits.fakestripe.book.KEPT_EVENTS", 100_000)
    monkeypatch.setattr(fakestripe.book, "save", lambda: None)  # nobody restarts this one
    user = make_user("townsman@example.org")
    services.open_wallet(user, grant=False)
    town = Town(user, fakestripe, random.Random(seed))
    acts = [town.buy, town.pay, town.spend, town.finish, town.cancel, town.refund, town.dispute, town.hear]
    often = [2, 3, 6, 4, 2, 1, 1, 2]

    for act in town.chance.choices(acts, often, k=STEPS):
        act()
    town.hear()

    wallet = Wallet.objects.get(user=user)
    assert wallet.balance == sum(sold.worth for sold in town.sold) - town.spent
    assert wallet.held == sum(hold.amount for hold in town.holds) + sum(sold.disputed for sold in town.sold)
    assert audit() == []
    # The script must have been somewhere to prove anything.
    verdicts = {sold.verdict for sold in town.sold}
    assert verdicts == {"", "won", "lost"}
    assert min(town.refusals, len(town.holds), town.spent, sum(sold.refunded for sold in town.sold)) > 0
