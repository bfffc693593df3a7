"""Buying a pack: out to Stripe and back, with a small Stripe on loopback."""

from __future__ import annotations

from django.urls import reverse

from apps.credits.models import Purchase, Wallet


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


def test_leaving_the_payment_says_that_nothing_was_bought(alice, browser, fakestripe):
    buy(browser)

    assert b"Nothing was bought" in browser.get(reverse("web:unpaid"), follow=True).content


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
