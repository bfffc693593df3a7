"""The account's own pages: name, address, second factor, browsers signed in."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse

from apps.accounts.templatetags.browsers import in_words

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def signed_in(user, agent: str = FIREFOX) -> Client:
    """By the form, as people do."""
    client = Client(headers={"user-agent": agent})
    client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})
    return client


def confirmed(client: Client) -> None:
    """Gives the password once more, as is asked before anything that guards the account is changed."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


@pytest.fixture
def browser(alice) -> Client:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return signed_in(alice)


def test_the_account_page_leads_everywhere_and_changes_the_name(alice, browser):
    page = browser.get(reverse("web:account")).content.decode()
    browser.post(reverse("web:account"), {"name": " Alice Example "})

    names = (
        "account_email", "web:notices", "account_change_password", "mfa_index", "usersessions_list", "web:keys",
        "web:webhooks", "web:credits", "web:usage", "web:account-export", "web:account-delete",
    )  # fmt: skip
    assert [name for name in names if f'href="{reverse(name)}"' not in page] == []
    alice.refresh_from_db()
    assert alice.name == "Alice Example"


def test_a_new_address_counts_once_its_link_was_opened(alice, browser, mailoutbox):
    confirmed(browser)
    browser.post(reverse("account_email"), {"action_add": "1", "email": "alice@new.example"})
    alice.refresh_from_db()
    before, page = alice.email, browser.get(reverse("web:account")).content.decode()
    (link,) = re.findall(r"http://testserver(/accounts/confirm-email/\S+)", mailoutbox[0].body)
    browser.post(link)

    alice.refresh_from_db()
    assert (before, alice.email) == ("alice@example.org", "alice@new.example")
    assert "Waiting for alice@new.example to be confirmed" in page
    assert mailoutbox[0].to == ["alice@new.example"]
    assert mailoutbox[-1].to == ["alice@example.org"]  # the old one hears of it
    assert "From alice@example.org to alice@new.example" in mailoutbox[-1].alternatives[0][0]


def test_what_guards_the_account_asks_for_the_password_once_more(browser):
    wanted = {"action_add": "1", "email": "alice@new.example"}

    before = [browser.post(reverse("account_email"), wanted), browser.get(reverse("mfa_activate_totp"))]
    page = browser.get(before[1].url)
    confirmed(browser)

    assert [answer.url.partition("?")[0] for answer in before] == [reverse("account_reauthenticate")] * 2
    assert not EmailAddress.objects.filter(email="alice@new.example").exists()
    assert b"Confirm that it is you" in page.content
    assert browser.get(reverse("mfa_activate_totp")).status_code == 200


def test_a_second_factor_is_set_up_asked_for_and_turned_off(
    alice, browser, mailoutbox, django_capture_on_commit_callbacks
):
    confirmed(browser)
    secret = browser.get(reverse("mfa_activate_totp")).context["form"].secret
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    codes = browser.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    other = signed_in(alice)

    asked = other.get(reverse("mfa_authenticate"))
    other.post(reverse("mfa_authenticate"), {"code": codes[0]})

    assert len(codes) == 10
    assert b"Second factor" in asked.content
    assert other.get(reverse("web:account")).status_code == 200
    page = browser.get(reverse("mfa_index")).content.decode()
    assert "9 left" in page
    by_code = browser.get(reverse("mfa_reauthenticate")).content.decode()
    assert "Enter a code from your app" in by_code
    assert f'action="{reverse("mfa_reauthenticate")}"' in by_code
    browser.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.filter(user=alice).exists()
    told = [letter.subject for letter in mailoutbox if "If that was not you" in letter.alternatives[0][0]]
    assert told == ["Your second factor is on", "Your second factor is off"]


def test_browsers_are_listed_and_one_or_all_others_signed_out(alice, browser):
    phone, tablet = signed_in(alice, "… iPhone … Safari/605"), signed_in(alice, "… iPad … Safari/605")
    page = browser.get(reverse("usersessions_list")).content.decode()
    phones = UserSession.objects.get(user=alice, user_agent__contains="iPhone")

    browser.post(reverse("web:session-end"), {"session": phones.pk})
    after_one = [client.get(reverse("web:account")).status_code for client in (browser, phone, tablet)]
    browser.post(reverse("usersessions_list"))
    after_all = [client.get(reverse("web:account")).status_code for client in (browser, tablet)]

    assert [name for name in ("Firefox on Linux", "Safari on iPhone", "Safari on iPad") if name not in page] == []
    assert (after_one, after_all) == ([200, 302, 200], [200, 302])


def test_nobody_ends_a_browser_of_somebody_else(alice, browser, charlie):
    signed_in(charlie)
    his = UserSession.objects.get(user=charlie)

    statuses = [browser.post(reverse("web:session-end"), {"session": named}).status_code for named in (his.pk, "x", "")]

    assert statuses == [404, 404, 404]
    assert UserSession.objects.filter(pk=his.pk).exists()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.1", "curl"),
        ("something", "something"),
        ("", "Unknown browser"),
    ],
)
def test_a_browsers_name_is_told_in_words(agent, words):
    assert in_words(agent) == words
