"""Signing up, and the sandbox's letter box."""

from __future__ import annotations

import os
import re

import pytest
from django.core.mail import EmailMessage, get_connection, send_mail
from django.urls import reverse

from apps.accounts import mail
from apps.accounts.models import User
from apps.credits.models import Wallet


@pytest.fixture
def letter_box(settings, tmp_path):
    """Mail goes to files, as in a running sandbox."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path
    return tmp_path


def test_sign_up_leads_to_the_workbench_with_the_free_credits(client, db):
    fields = {"email": "new@example.org", "password1": "correct horse battery"}

    response = client.post(reverse("account_signup"), fields, follow=True)

    assert response.redirect_chain[-1][0] == reverse("web:new")
    user = User.objects.get(email="new@example.org")
    assert Wallet.objects.get(user=user).balance == 20_00
    assert b"20 credits" in response.content


def test_the_letter_box_shows_each_mail_with_links_that_can_be_followed(client, db, letter_box):
    client.post(reverse("account_signup"), {"email": "new@example.org", "password1": "correct horse battery"})

    page = client.get(reverse("web:mail")).content.decode()

    assert "Welcome to Clearmatte: confirm your e-mail address" in page
    (link,) = re.findall(r'<a href="http://testserver(/accounts/confirm-email/[^"]+)"', page)
    assert b"Is <strong>new@example.org</strong> yours?" in client.get(link).content
    assert "example.com" not in page


def test_the_newest_mail_comes_first_and_markup_in_it_stays_text(client, db, letter_box):
    send_mail("First", "one", "from@example.org", ["to@example.org"])
    # Apart in time and place: within one second both may land in one file, which the next test is about.
    (first,) = letter_box.iterdir()
    os.utime(first.rename(first.with_name("first.log")), (1, 1))
    send_mail("Second", "<b>two</b>", "from@example.org", ["to@example.org"])

    page = client.get(reverse("web:mail"))

    assert [letter.subject for letter in page.context["letters"]] == ["Second", "First"]
    assert b"&lt;b&gt;two&lt;/b&gt;" in page.content


def test_mails_that_share_a_file_are_told_apart(client, db, letter_box):
    with get_connection() as connection:
        for subject in ("First", "Second"):
            EmailMessage(subject, "text", "from@example.org", ["to@example.org"], connection=connection).send()

    page = client.get(reverse("web:mail"))

    assert len(list(letter_box.iterdir())) == 1
    assert [(letter.subject, letter.text) for letter in page.context["letters"]] == [
        ("Second", "text"),
        ("First", "text"),
    ]


def test_an_empty_letter_box_says_how_to_get_mail(client, db, letter_box):
    assert b"No mail yet" in client.get(reverse("web:mail")).content


def test_a_password_can_be_reset_through_the_mailed_link(client, alice, letter_box):
    client.post(reverse("account_reset_password"), {"email": alice.email})
    page = client.get(reverse("web:mail")).content.decode()
    (link,) = re.findall(r'<a href="http://testserver(/accounts/password/reset/key/[^"]+)"', page)

    form = client.get(link, follow=True)
    client.post(form.redirect_chain[-1][0], {"password1": "another long one", "password2": "another long one"})

    alice.refresh_from_db()
    assert alice.check_password("another long one")


def test_the_html_of_a_mail_opens_with_its_styles_and_nothing_else_allowed(client, alice, letter_box):
    written = mail.low_credits(alice, available="<script>alert(1)</script>", key="once")
    mail.send(written.pk)
    (link,) = re.findall(r'href="(/dev/mail/[^"]+)"', client.get(reverse("web:mail")).content.decode())

    shown = client.get(link)

    assert b"&lt;script&gt;" in shown.content
    assert b"<style>" in shown.content
    # Or browsers ask for one of their own accord, and complain that they may not.
    assert b'<link rel="icon" href="data:,"></head>' in shown.content
    rules = shown.headers["Content-Security-Policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "script-src 'none'", "style-src 'unsafe-inline'"} <= set(rules)
    assert client.get(f"{link}x").status_code == 404


def test_the_confirmation_has_html_too(client, db, letter_box):
    client.post(reverse("account_signup"), {"email": "new@example.org", "password1": "correct horse battery"})
    (letter,) = client.get(reverse("web:mail")).context["letters"]

    assert re.search(r'class="button" href="http://testserver/accounts/confirm-email/[^"]+">Confirm</a>', letter.html)


def test_a_reader_chooses_which_mails_come(browser, alice):
    page = browser.get(reverse("web:notices"))
    assert page.context["form"].initial == {"mails_finished_jobs": False, "mails_low_credits": True}

    browser.post(reverse("web:notices"), {"mails_finished_jobs": "on"})

    alice.refresh_from_db()
    assert (alice.mails_finished_jobs, alice.mails_low_credits) == (True, False)
