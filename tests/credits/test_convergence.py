"""Whatever happens at Stripe, and in whatever order and however often we hear of it, the ledger ends up right."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.credits import buying, stripe
from apps.credits.audit import audit
from apps.credits.fakestripe.server import signature
from apps.credits.models import Purchase, Wallet
from apps.credits.services import open_wallet
from tests.conftest import make_user

PAID = 45_00
CREDITS = 600_00

payments = st.sampled_from(
    ["pay", "decline pay", "pay_later succeeded", "pay_later failed", "pay_later", "decline", "cancel", "expire"]
)
refunds = st.lists(st.integers(1, PAID // 2), max_size=2)
disputes = st.sampled_from([None, "open", "won", "lost"])


def make_history(fakestripe, session: str, payment: str, back: list[int], dispute: str | None) -> tuple[int, int]:
    """Let it happen at the fake; the credits it should leave, and those of them that an open dispute sets aside."""
    if payment == "expire":
        fakestripe.act(f"/v1/checkout/sessions/{session}/expire")
        return 0, 0
    action, _, outcome = payment.partition(" ")
    fakestripe.click(session, action)
    if outcome == "pay":
        fakestripe.click(session, outcome)
    elif outcome:
        fakestripe.act(f"/sandbox/sessions/{session}/{outcome}")
    if payment not in ("pay", "decline pay", "pay_later succeeded"):
        return 0, 0
    charge = next(row["id"] for row in fakestripe.book.tables["charges"].values() if is_of(fakestripe, row, session))
    for amount in back:
        assert fakestripe.act("/v1/refunds", charge=charge, amount=amount).status_code == 200
    kept = PAID - sum(back)
    if dispute:
        made = fakestripe.act("/sandbox/disputes", charge=charge, amount=kept or 1).json()
        if dispute != "open":
            fakestripe.act(f"/sandbox/disputes/{made['id']}/{dispute}")
        kept = 0 if dispute == "lost" else kept
    worth = CREDITS * kept // PAID
    return worth, worth if dispute == "open" else 0


def is_of(fakestripe, charge: dict, session: str) -> bool:
    return charge["payment_intent"] == fakestripe.book.find(session, "cs")["payment_intent"]


def hear(event: dict) -> None:
    body = json.dumps(event).encode()
    stripe.receive_webhook(body, signature(body, "whsec_test"))


# The fixture is one server for all examples on purpose: Stripe remembers other purchases too.
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payment=payments, back=refunds, dispute=disputes, data=st.data())
def test_any_order_of_events_leaves_the_right_balance(db, fakestripe, payment, back, dispute, data):
    buyer = make_user(f"{uuid.uuid4()}@example.org")
    open_wallet(buyer, grant=False)
    purchase = buying.checkout(buyer, "team", success_url="http://testserver/", cancel_url="http://testserver/")
    known = len(fakestripe.events())
    right = make_history(fakestripe, purchase.session_id, payment, back, dispute)
    events = fakestripe.events()[known:]

    # Each twice, once under its own id and once as if Stripe had forgotten that it told us.
    again = [{**event, "id": f"{event['id']}_again"} for event in events]
    for event in data.draw(st.permutations([*events, *events, *again])):
        hear(event)

    assert Wallet.objects.values_list("balance", "held").get(user=buyer) == right
    stripe.converge(purchase.pk)
    assert Wallet.objects.values_list("balance", "held").get(user=buyer) == right
    assert audit() == []


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_events_heard_at_the_same_time_are_credited_once(fakestripe):
    buyer = make_user("buyer@example.org")
    open_wallet(buyer, grant=False)
    purchase = buying.checkout(buyer, "team", success_url="http://testserver/", cancel_url="http://testserver/")
    fakestripe.click(purchase.session_id, "pay")
    (event,) = fakestripe.events()

    def tell(number: int) -> None:
        try:
            hear({**event, "id": f"evt_{number % 3}"})
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(tell, range(12)))

    assert Wallet.objects.get(user=buyer).balance == CREDITS
    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert audit() == []
