"""Buying over real HTTP against the fake: what the buyer, the ledger and Stripe's own records say afterwards."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from apps.credits import buying, services, stripe
from apps.credits.audit import audit
from apps.credits.fakestripe.server import signature
from apps.credits.models import LedgerEntry, Purchase, StripeEvent, Wallet
from apps.errors import AppError

Status = Purchase.Status
SUCCESS = "http://testserver/paid?session={CHECKOUT_SESSION_ID}"
CANCEL = "http://testserver/credits"


def buy(user, pack: str = "team") -> Purchase:
    return buying.checkout(user, pack, success_url=SUCCESS, cancel_url=CANCEL)


def tell(event: dict, *, secret: str = "whsec_test") -> StripeEvent:
    body = json.dumps(event).encode()
    return stripe.receive_webhook(body, signature(body, secret))


def lines(user) -> list[tuple[str, int]]:
    rows = LedgerEntry.objects.filter(wallet__user=user).order_by("id")
    return list(rows.values_list("kind", "amount"))


@pytest.fixture
def purchase(bob, fakestripe) -> Purchase:
    return buy(bob)


@pytest.fixture
def paid(purchase, fakestripe) -> Purchase:
    fakestripe.click(purchase.session_id, "pay")
    stripe.converge(purchase.pk)
    purchase.refresh_from_db()
    return purchase


def test_checkout_leads_to_the_payment_page_and_credits_nothing(bob, purchase):
    page = requests.get(purchase.session_url, timeout=10)

    assert page.status_code == 200
    assert "SANDBOX" in page.text
    assert re.search(r"45\.00 USD</p><p[^>]*>for bob@example\.org", page.text)
    assert (purchase.status, purchase.credits, purchase.pricing_version) == (Status.OPEN, 600_00, 1)
    assert lines(bob) == []


def test_a_payment_page_counts_although_a_call_beside_it_failed(bob, fakestripe, monkeypatch):
    opened = buying._open_session

    def beside_a_failure(api, purchase, **wanted):
        session = opened(api, purchase, **wanted)
        Purchase.objects.filter(pk=purchase.pk).update(status=Status.FAILED)
        return session

    monkeypatch.setattr(buying, "_open_session", beside_a_failure)

    purchase = buy(bob)
    fakestripe.click(purchase.session_id, "pay")

    assert Purchase.objects.get(pk=purchase.pk).status == Status.OPEN
    stripe.converge(purchase.pk)
    assert lines(bob) == [("purchase", 600_00)]


def test_checkout_refuses_a_pack_that_is_not_sold(bob, fakestripe):
    with pytest.raises(AppError, match="choose from starter, team, studio") as refusal:
        buy(bob, "huge")

    assert refusal.value.param == "pack"
    assert Purchase.objects.count() == 0


def test_checkout_without_a_stripe_key_is_not_set_up(bob, settings):
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(AppError, match="not set up") as refusal:
        buy(bob)

    assert refusal.value.code == "service_unavailable"
    assert Purchase.objects.count() == 0


def test_checkout_says_when_stripe_does_not_answer(bob, settings):
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"

    with pytest.raises(AppError, match="Nothing was charged") as refusal:
        buy(bob)

    assert refusal.value.code == "service_unavailable"
    assert Purchase.objects.get().status == Status.FAILED


def test_a_payment_becomes_credits_once(bob, purchase, fakestripe):
    answer = fakestripe.click(purchase.session_id, "pay")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"http://testserver/paid?session={purchase.session_id}",
    )

    (event,) = fakestripe.events()
    tell(event)
    stripe.converge(purchase.pk)
    tell(event)

    assert lines(bob) == [("purchase", 600_00)]
    assert Wallet.objects.get(user=bob).balance == 600_00
    assert Purchase.objects.get().status == Status.PAID
    assert LedgerEntry.objects.get().reference == str(purchase.pk)


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_declined_and_canceled_payments_credit_nothing(bob, purchase, fakestripe, action):
    answer = fakestripe.click(purchase.session_id, action)

    assert answer.headers["Location"] == {"decline": f"/pay/{purchase.session_id}?declined=1", "cancel": CANCEL}[action]
    stripe.converge(purchase.pk)
    assert lines(bob) == []
    assert Purchase.objects.get().status == Status.OPEN


def test_partial_refunds_take_back_their_share(bob, paid, fakestripe):
    for _ in range(2):
        fakestripe.act("/v1/refunds", payment_intent=paid.payment_intent, amount=11_25)
        tell(fakestripe.events()[-1])

    assert lines(bob) == [("purchase", 600_00), ("refund", -150_00), ("refund", -150_00)]


def test_a_refund_of_spent_credits_takes_the_balance_below_zero(bob, paid, fakestripe):
    hold = services.hold(bob, 500_00, key="job", reference="job")
    services.capture(hold, 500_00)

    fakestripe.act("/v1/refunds", payment_intent=paid.payment_intent)
    tell(fakestripe.events()[-1])

    assert Wallet.objects.get(user=bob).balance == -500_00
    with pytest.raises(AppError, match="-500 are available"):
        services.hold(bob, 1, key="next", reference="")


@pytest.mark.parametrize(("outcome", "balance"), [("lost", 0), ("won", 600_00)])
def test_a_dispute_sets_aside_and_only_a_lost_one_takes(bob, paid, fakestripe, outcome, balance):
    dispute = fakestripe.act("/sandbox/disputes", payment_intent=paid.payment_intent).json()
    tell(fakestripe.events()[-1])
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (600_00, 600_00)
    with pytest.raises(AppError, match="0 are available"):
        services.hold(bob, 1, key="meanwhile", reference="")

    fakestripe.act(f"/sandbox/disputes/{dispute['id']}/{outcome}")
    tell(fakestripe.events()[-1])

    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (balance, 0)
    assert audit() == []
    assert [kind for kind, _ in lines(bob)] == ["purchase", "dispute"][: 1 + (outcome == "lost")]


@pytest.mark.parametrize(
    ("outcome", "status", "credits"), [("succeeded", Status.PAID, 600_00), ("failed", Status.FAILED, 0)]
)
def test_a_payment_made_later_counts_when_it_arrives(bob, purchase, fakestripe, outcome, status, credits):
    fakestripe.click(purchase.session_id, "pay_later")
    tell(fakestripe.events()[-1])
    assert (Purchase.objects.get().status, lines(bob)) == (Status.PENDING, [])

    fakestripe.act(f"/sandbox/sessions/{purchase.session_id}/{outcome}")
    tell(fakestripe.events()[-1])

    assert Purchase.objects.get().status == status
    assert sum(amount for _, amount in lines(bob)) == credits


def test_an_older_read_never_wins(bob, paid, fakestripe):
    """A read that began before the refund and is applied after it would bring the credits back."""
    slow = stripe.begin_read(paid.pk)
    before = stripe.read(slow)
    fakestripe.act("/v1/refunds", payment_intent=paid.payment_intent)
    stripe.converge(paid.pk)

    stripe.apply(slow, before)

    assert Wallet.objects.get(user=bob).balance == 0


def test_both_secrets_are_accepted_while_one_is_being_replaced(paid, fakestripe):
    (event,) = fakestripe.events()

    for secret in ("whsec_old", "whsec_test"):
        assert tell({**event, "id": f"evt_{secret}"}, secret=secret).processed_at is not None


def test_events_nobody_signed_are_refused(paid, fakestripe):
    (event,) = fakestripe.events()
    body = json.dumps(event).encode()
    old = f"t={int(time.time()) - 400}," + signature(body, "whsec_test").split(",")[1]

    for header in ("", "nonsense", "t=x,v1=y", signature(body, "whsec_wrong"), signature(b"{}", "whsec_test"), old):
        with pytest.raises(AppError) as refusal:
            stripe.receive_webhook(body, header)
        assert (refusal.value.code, refusal.value.status) == ("invalid_request", 400)

    assert StripeEvent.objects.count() == 0


def test_a_site_without_secrets_takes_no_events(db, settings):
    settings.STRIPE_WEBHOOK_SECRETS = []

    with pytest.raises(AppError, match="STRIPE_WEBHOOK_SECRETS"):
        stripe.receive_webhook(b"{}", signature(b"{}", ""))


def test_a_failure_leaves_the_event_to_be_seen_and_sent_again(bob, purchase, fakestripe, settings):
    fakestripe.click(purchase.session_id, "pay")
    (event,) = fakestripe.events()
    address, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, "http://127.0.0.1:9"

    with pytest.raises(AppError, match="does not answer"):
        tell(event)

    kept = StripeEvent.objects.get()
    assert (kept.processed_at, kept.error[:9], lines(bob)) == (None, "AppError:", [])
    settings.STRIPE_API_BASE = address
    assert (tell(event).error, lines(bob)) == ("", [("purchase", 600_00)])


@pytest.mark.parametrize("metadata", [{}, {"purchase": "12"}, {"purchase": "8d5ddd9f-5b9c-4b0e-8ce2-3a3f3c4b1b11"}])
def test_events_about_other_things_are_kept_and_change_nothing(bob, paid, metadata):
    subject = {"id": "cs_1", "object": "checkout.session", "metadata": metadata, "payment_intent": "pi_other"}

    event = tell({"id": "evt_other", "type": "checkout.session.completed", "data": {"object": subject}})

    assert (event.error, len(lines(bob))) == ("", 1)
    assert event.processed_at is not None


def test_an_event_repairs_a_purchase_whose_session_was_never_heard_of(bob, purchase, fakestripe):
    Purchase.objects.update(session_id="", session_url="")
    fakestripe.click(purchase.session_id, "pay")

    tell(fakestripe.events()[-1])

    assert Purchase.objects.get().session_id == purchase.session_id
    assert lines(bob) == [("purchase", 600_00)]


def test_the_sweep_finds_payments_nobody_told_us_of(bob, purchase, fakestripe):
    fakestripe.click(purchase.session_id, "pay")

    assert stripe.converge_open_purchases(timedelta(minutes=10)) == 0
    assert stripe.converge_open_purchases(timedelta()) == 1
    assert stripe.converge_open_purchases(timedelta()) == 0
    assert lines(bob) == [("purchase", 600_00)]


def test_the_sweep_gives_up_what_can_no_longer_be_paid(bob, purchase, fakestripe):
    second = buy(bob)
    fakestripe.act(f"/v1/checkout/sessions/{purchase.session_id}/expire")
    Purchase.objects.filter(pk=second.pk).update(session_id="", created_at=timezone.now() - timedelta(days=2))

    stripe.converge_open_purchases(timedelta())

    assert set(Purchase.objects.values_list("status", flat=True)) == {Status.EXPIRED}


def test_one_unreadable_purchase_does_not_stop_the_sweep(bob, purchase, fakestripe):
    Purchase.objects.filter(pk=purchase.pk).update(session_id="cs_test_gone")
    second = buy(bob)
    fakestripe.click(second.session_id, "pay")

    assert stripe.converge_open_purchases(timedelta()) == 1
    assert lines(bob) == [("purchase", 600_00)]


def test_a_refund_while_credits_are_set_aside_is_taken_and_the_job_still_settles(bob, paid, fakestripe):
    hold = services.hold(bob, 100_00, key="job", reference="job")

    fakestripe.act("/v1/refunds", payment_intent=paid.payment_intent)
    tell(fakestripe.events()[-1])
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (0, 100_00)
    with pytest.raises(AppError, match="-100 are available"):
        services.hold(bob, 1, key="next", reference="")
    services.capture(hold, 90_00)

    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (-90_00, 0)
    assert audit() == []


def test_a_dispute_of_spent_credits_stops_spending_and_takes_no_balance_below_zero(bob, paid, fakestripe):
    services.capture(services.hold(bob, 500_00, key="job", reference="job"), 500_00)

    dispute = fakestripe.act("/sandbox/disputes", payment_intent=paid.payment_intent).json()
    tell(fakestripe.events()[-1])
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (100_00, 600_00)
    with pytest.raises(AppError, match="-500 are available"):
        services.hold(bob, 1, key="next", reference="")

    fakestripe.act(f"/sandbox/disputes/{dispute['id']}/lost")
    tell(fakestripe.events()[-1])
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (-500_00, 0)


def test_an_inquiry_sets_nothing_aside(bob, paid, fakestripe):
    dispute = fakestripe.act("/sandbox/disputes", payment_intent=paid.payment_intent).json()
    fakestripe.book.find(dispute["id"], "dp")["status"] = "warning_needs_response"

    stripe.converge(paid.pk)

    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (600_00, 0)


def test_the_sweep_looks_at_open_disputes_day_by_day(bob, paid, fakestripe):
    dispute = fakestripe.act("/sandbox/disputes", payment_intent=paid.payment_intent).json()
    stripe.converge(paid.pk)
    fakestripe.act(f"/sandbox/disputes/{dispute['id']}/won")

    assert stripe.converge_open_purchases(timedelta()) == 0
    Purchase.objects.update(updated_at=timezone.now() - timedelta(days=2))
    assert stripe.converge_open_purchases(timedelta()) == 1

    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (600_00, 0)


def test_tax_is_asked_for_and_buys_no_credits(bob, fakestripe, settings):
    settings.STRIPE_TAX = settings.STRIPE_INVOICES = True
    purchase = buy(bob)

    session = fakestripe.book.find(purchase.session_id, "cs")
    fakestripe.click(purchase.session_id, "pay")
    fakestripe.act("/v1/refunds", payment_intent=session["payment_intent"], amount=27_00)
    stripe.converge(purchase.pk)

    assert session["automatic_tax"] == session["tax_id_collection"] == session["invoice_creation"] == {"enabled": True}
    assert session["amount_total"] == 54_00
    assert lines(bob) == [("purchase", 300_00)]
    assert buying.receipt(purchase).endswith("?invoice=1")


def test_without_them_enabled_nothing_is_asked_for(bob, fakestripe):
    session = fakestripe.book.find(buy(bob).session_id, "cs")

    assert (session["amount_total"], session["automatic_tax"]["enabled"], session["invoice"]) == (45_00, False, None)


def test_an_account_is_one_customer(bob, fakestripe):
    buy(bob)
    buy(bob, "starter")

    (customer,) = fakestripe.book.tables["customers"].values()
    assert (customer["email"], customer["metadata"]) == ("bob@example.org", {"account": str(bob.pk)})
    assert Wallet.objects.get(user=bob).stripe_customer == customer["id"]


def test_a_customer_deleted_at_stripe_is_made_anew(bob, fakestripe):
    buy(bob)
    fakestripe.book.tables["customers"].clear()

    purchase = buy(bob)

    (customer,) = fakestripe.book.tables["customers"]
    assert fakestripe.book.find(purchase.session_id, "cs")["customer"] == customer
    assert Wallet.objects.get(user=bob).stripe_customer == customer


def test_there_is_no_receipt_before_the_payment(bob, purchase):
    with pytest.raises(AppError, match="no receipt for this purchase yet"):
        buying.receipt(purchase)
