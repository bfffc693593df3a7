"""Buying a pack: out to Stripe and back, with a small Stripe on loopback."""

from __future__ import annotations

from uuid import uuid4

import pytest
import requests
from django.urls import reverse
from django.utils.html import strip_tags

from apps.credits import services as credits
from apps.credits import stripe
from apps.credits.models import Purchase, Wallet
from apps.jobs import paid
from apps.jobs.models import Job
from tests.factories import make_asset, make_job


def buy(browser, pack: str = "starter"):
    return browser.post(reverse("web:buy"), {"pack": pack})


def come_back(browser, purchase: Purchase):
    return browser.get(reverse("web:paid"), {"session": purchase.session_id}, follow=True)


def test_buying_leads_to_stripe_by_a_link_and_not_by_the_form(alice, browser, fakestripe):
    """A form may only end on this site: the policy says so, and Chromium applies it to redirects too."""
    response = buy(browser)

    purchase = Purchase.objects.get(user=alice)
    assert response.status_code == 200
    page = response.content.decode()
    assert f'href="{purchase.session_url}"' in page
    assert f'content="0;url={purchase.session_url}"' in page
    assert Wallet.objects.get(user=alice).balance == 100_00


def test_coming_back_paid_shows_the_credits_even_when_no_event_came(alice, browser, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)
    fakestripe.click(purchase.session_id, "pay")

    response = come_back(browser, purchase)

    assert "200 are available now" in " ".join(response.content.decode().split())
    assert Wallet.objects.get(user=alice).balance == 200_00


def test_reloading_the_thank_you_page_adds_nothing(alice, browser, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)
    fakestripe.click(purchase.session_id, "pay")

    come_back(browser, purchase)
    come_back(browser, purchase)

    assert Wallet.objects.get(user=alice).balance == 200_00


def test_coming_back_unpaid_waits_and_asks_again(alice, browser, fakestripe):
    buy(browser)

    response = come_back(browser, Purchase.objects.get(user=alice))

    assert b"Waiting for the payment" in response.content
    assert b'hx-trigger="every 3s"' in response.content
    assert Wallet.objects.get(user=alice).balance == 100_00


@pytest.mark.parametrize(
    ("refunded", "state", "words"),
    [
        ("2.25", "paid, partly returned", "Thank you 100 credits were bought, and 25 of them were taken back"),
        ("9.00", "returned", "Returned 100 credits were bought, and 100 of them were taken back"),
    ],
)
def test_a_purchase_says_that_its_money_was_returned(alice, browser, fakestripe, refunded, state, words):
    buy(browser)
    purchase = Purchase.objects.get()
    fakestripe.click(purchase.session_id, "pay")
    fakestripe.act(f"/pay/{purchase.session_id}", action="refund", amount=refunded)
    stripe.converge(purchase.pk)

    listed = browser.get(reverse("web:credits")).content.decode()
    shown = browser.get(reverse("web:purchase", args=[purchase.pk])).content.decode()

    assert state in " ".join(strip_tags(listed).split())
    assert words in " ".join(strip_tags(shown).split())


def leave(browser, fakestripe, purchase: Purchase):
    """By the payment page's way back, wherever that leads."""
    back = fakestripe.click(purchase.session_id, "cancel").headers["Location"]
    return browser.get(back.removeprefix("http://testserver"), follow=True)


def test_leaving_the_payment_says_that_nothing_was_bought(alice, browser, fakestripe):
    buy(browser)

    assert b"Nothing was bought" in leave(browser, fakestripe, Purchase.objects.get()).content


@pytest.mark.parametrize(
    ("meanwhile", "words"), [("pay", b"Thank you"), ("pay_later", b"on its way"), ("expire", b"has expired")]
)
def test_leaving_by_an_old_tab_says_what_became_of_the_payment(alice, browser, fakestripe, meanwhile, words):
    """Paid in one tab, left in another: nothing charged would be a lie."""
    buy(browser)
    purchase = Purchase.objects.get()
    fakestripe.click(purchase.session_id, meanwhile)

    page = leave(browser, fakestripe, purchase).content

    assert words in page
    assert b"Nothing was bought" not in page


def test_the_way_back_of_someone_elses_payment_says_nothing(alice, charlie, browser, at, fakestripe):
    buy(browser)

    page = at(charlie).get(reverse("web:unpaid"), {"purchase": Purchase.objects.get().pk}, follow=True)

    assert page.redirect_chain == [(reverse("web:credits"), 302)]
    assert b"You left" not in page.content


def test_a_purchase_is_seen_by_its_buyer_only(alice, charlie, browser, at, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)

    stranger = at(charlie)

    assert stranger.get(reverse("web:purchase", args=[purchase.pk])).status_code == 404
    assert stranger.get(reverse("web:paid"), {"session": purchase.session_id}).status_code == 404


def test_an_unknown_pack_is_refused_in_words(browser, fakestripe):
    response = browser.post(reverse("web:buy"), {"pack": "yacht"}, follow=True)

    assert b"There is no pack" in response.content
    assert Purchase.objects.count() == 0


def test_a_site_without_stripe_says_that_nothing_can_be_bought(browser, settings):
    settings.STRIPE_SECRET_KEY = ""

    assert (
        b"Buying credits is not set up on this site"
        in browser.post(reverse("web:buy"), {"pack": "starter"}, follow=True).content
    )


def words(response) -> str:
    return " ".join(response.content.decode().split())


def see(browser, purchase: Purchase) -> str:
    return words(browser.get(reverse("web:purchase", args=[purchase.pk])))


def test_a_double_click_opens_one_payment(alice, browser, fakestripe):
    number = str(uuid4())

    for _ in range(2):
        browser.post(reverse("web:buy"), {"pack": "starter", "number": number})

    assert Purchase.objects.count() == 1
    assert len(fakestripe.book.tables["sessions"]) == 1


def test_the_button_of_an_old_page_pays_nothing_a_second_time(alice, browser, fakestripe):
    """The back button after paying: the same purchase is shown, no new payment page."""
    number = str(uuid4())
    browser.post(reverse("web:buy"), {"pack": "starter", "number": number})
    fakestripe.click(Purchase.objects.get().session_id, "pay")
    come_back(browser, Purchase.objects.get())

    again = browser.post(reverse("web:buy"), {"pack": "starter", "number": number})

    assert again["Location"] == reverse("web:purchase", args=[number])
    assert Wallet.objects.get(user=alice).balance == 200_00


def test_a_strangers_number_is_not_taken_over(alice, browser, at, charlie, fakestripe):
    number = str(uuid4())
    browser.post(reverse("web:buy"), {"pack": "starter", "number": number})

    at(charlie).post(reverse("web:buy"), {"pack": "starter", "number": number})

    assert Purchase.objects.get(pk=number).user == alice
    assert Purchase.objects.exclude(pk=number).get().user == charlie


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (["decline"], "The last try did not go through: Your card was declined. Nothing was charged."),
        (["expire"], "left open for too long and has expired. Nothing was charged."),
        (["pay_later"], "Your payment is on its way"),
        (["pay_later", "bounce"], "The payment did not go through: The bank did not pay. Nothing was charged."),
        (["pay_later", "arrive"], "200 are available now"),
        (["decline", "pay"], "200 are available now"),
    ],
)
def test_what_became_of_a_payment_is_said_in_words(alice, browser, fakestripe, actions, said):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)

    for action in actions:
        fakestripe.click(purchase.session_id, action)

    assert said in see(browser, purchase)


def test_a_disputed_payment_is_shown_with_what_it_sets_aside(alice, browser, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)
    fakestripe.click(purchase.session_id, "pay")
    see(browser, purchase)
    fakestripe.click(purchase.session_id, "dispute")
    stripe.converge(purchase.pk)

    assert "100 credits are set aside until that is decided" in see(browser, purchase)
    page = words(browser.get(reverse("web:credits")))
    assert "A disputed payment" in page
    assert "disputed" in page
    assert Wallet.objects.get(user=alice).available == 100_00


def test_receipt_and_portal_lead_to_stripe(alice, browser, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)
    fakestripe.click(purchase.session_id, "pay")
    see(browser, purchase)

    receipt = browser.get(reverse("web:receipt", args=[purchase.pk]))["Location"]
    portal = browser.get(reverse("web:portal"))["Location"]

    assert "9.00 USD" in requests.get(receipt, timeout=10).text
    page = requests.get(portal, timeout=10).text
    assert receipt in page
    assert "http://testserver/credits" in page


def test_a_receipt_is_its_buyers_only(alice, browser, at, charlie, fakestripe):
    buy(browser)
    purchase = Purchase.objects.get(user=alice)
    fakestripe.click(purchase.session_id, "pay")
    see(browser, purchase)

    assert at(charlie).get(reverse("web:receipt", args=[purchase.pk])).status_code == 404


@pytest.mark.parametrize(
    ("typed", "kept"), [("25.5", 25_50), ("0", 0), ("-1", 10_00), ("many", 10_00), ("1.005", 10_00)]
)
def test_the_threshold_is_ones_own_to_choose(alice, browser, typed, kept):
    browser.post(reverse("web:threshold"), {"threshold": typed})

    assert Wallet.objects.get(user=alice).low_threshold == kept


def test_what_staff_corrected_says_so_in_the_ledger(alice, sue, browser):
    credits.adjust(alice, -1_00, key="a", reason="paid twice", staff=sue)

    assert "Adjustment: paid twice" in words(browser.get(reverse("web:credits")))


def start_page(asset) -> dict[str, str]:
    return {"asset": str(asset.pk), "model": "pro", "output_format": "webm", "bg_type": "transparent"}


def test_buying_for_a_cutout_keeps_it_and_starts_it_after_the_payment(bob, at, fakestripe, all_installed):
    browser, asset, once = at(bob), make_asset(bob), str(uuid4())

    shown = words(browser.get(reverse("web:new"), start_page(asset)))
    assert "Buy credits, then start" in shown
    for _ in range(2):  # a double click
        kept = browser.post(reverse("web:new"), {**start_page(asset), "once": once, "action": "buy"})
    draft = Job.objects.get()
    assert (draft.status, kept["Location"]) == ("created", reverse("web:job-buy", args=[draft.pk]))
    page = words(browser.get(kept["Location"]))
    assert "30 credits" in page
    assert "Enough for this cutout" in page

    browser.post(kept["Location"], {"pack": "starter", "number": str(uuid4())})
    purchase = Purchase.objects.get()
    fakestripe.click(purchase.session_id, "pay")
    assert "Your cutout is being started" in see(browser, purchase)
    paid.start_due()

    assert "Watch your cutout" in see(browser, purchase)
    assert Job.objects.get().status == "queued"
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (100_00, 30_00)


def test_leaving_the_payment_for_a_cutout_leads_back_to_it(bob, at, fakestripe, all_installed):
    browser = at(bob)
    draft = make_job(bob, status="created")
    address = reverse("web:job-buy", args=[draft.pk])
    browser.post(address, {"pack": "starter"})

    target = fakestripe.click(Purchase.objects.get().session_id, "cancel").headers["Location"]
    page = words(browser.get(target.removeprefix("http://testserver"), follow=True))

    assert "Nothing was charged, and your cutout waits here" in page


def test_nobody_buys_for_a_strangers_job(bob, at, charlie):
    draft = make_job(bob, status="created")

    assert at(charlie).get(reverse("web:job-buy", args=[draft.pk])).status_code == 404


def test_a_job_that_waits_for_nothing_needs_no_credits(alice, browser):
    job = make_job(alice, status="queued")

    assert browser.get(reverse("web:job-buy", args=[job.pk]))["Location"] == reverse("web:job", args=[job.pk])
