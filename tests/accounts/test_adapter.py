"""Signing up: at once in the sandbox, by a confirmed e-mail address everywhere else."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from apps.accounts.models import User

PERSON = {"email": "New.Person@Example.org", "password1": "correct horse battery"}


@pytest.fixture(autouse=True)
def no_mail_was_sent_lately():
    """One confirmation in three minutes is all that an address gets, counted in the cache."""
    cache.clear()


@pytest.fixture
def deployed(settings):
    """As on a real site behind a proxy, which asks for pages by another name than people do."""
    settings.SANDBOX = False
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.SITE_URL = "https://cutout.example.org"


def is_signed_in(client) -> bool:
    return "_auth_user_id" in client.session


def test_the_sandbox_signs_in_right_after_sign_up(client, db):
    client.post(reverse("account_signup"), PERSON)

    assert is_signed_in(client)
    assert User.objects.get().email == "new.person@example.org"


def test_a_real_site_waits_for_the_confirmed_address(client, db, deployed):
    client.post(reverse("account_signup"), PERSON)
    assert not is_signed_in(client)
    client.post(reverse("account_login"), {"login": PERSON["email"], "password": PERSON["password1"]})
    assert not is_signed_in(client)

    (link,) = re.findall(r"https?://\S+", mail.outbox[0].body)
    site, path = link[:26], link[26:]
    client.post(path)
    client.post(reverse("account_login"), {"login": PERSON["email"], "password": PERSON["password1"]})

    assert site == "https://cutout.example.org"
    assert is_signed_in(client)


def test_the_link_to_a_new_password_leads_to_the_site(client, alice, deployed):
    client.post(reverse("account_reset_password"), {"email": alice.email})

    (link,) = re.findall(r"https?://\S+", mail.outbox[0].body)
    assert link.startswith("https://cutout.example.org/")
