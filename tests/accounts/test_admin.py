"""Who gets into the admin, and what support can do to people and keys there."""

from __future__ import annotations

import json
import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from apps.accounts import closing
from apps.accounts.models import Act, ApiKey, User
from apps.accounts.services import enable_account, find_key, issue_key
from tests.admin.pressing import press
from tests.conftest import make_user

BACKEND = "django.contrib.auth.backends.ModelBackend"
INDEX = "/admin/"
USERS = "admin:accounts_user"
KEYS = "admin:accounts_apikey"


@pytest.fixture
def deployed(settings):
    """As on a real site."""
    settings.SANDBOX = False


@pytest.fixture
def support(client, sue):
    client.force_login(sue, backend=BACKEND)
    return client


def test_the_sandbox_needs_no_second_factor(support):
    assert support.get(INDEX).status_code == 200


def test_the_sandbox_has_the_admins_own_sign_in(client, sue):
    answer = client.post("/admin/login/?next=/admin/", {"username": sue.email, "password": "correct horse battery"})

    assert (answer.status_code, answer.headers["Location"]) == (302, INDEX)


def test_staff_without_a_second_factor_are_sent_to_set_one_up(support, deployed):
    answer = support.get(INDEX)
    assert answer.headers["Location"].startswith("/admin/login/")

    answer = support.get(answer.headers["Location"])

    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("mfa_activate_totp"))
    assert support.get(reverse(f"{USERS}_changelist")).status_code == 302


def test_staff_with_a_second_factor_get_in(support, sue, deployed):
    Authenticator.objects.create(user=sue, type=Authenticator.Type.TOTP, data={"secret": "x"})

    assert support.get(INDEX).status_code == 200
    assert support.get("/admin/login/").headers["Location"] == INDEX


def test_strangers_are_sent_to_the_sites_own_sign_in(client, db, deployed):
    answer = client.get("/admin/login/?next=/admin/")

    assert answer.headers["Location"] == f"{reverse('account_login')}?next=%2Fadmin%2F"
    assert client.post("/admin/login/", {"username": "x", "password": "y"}).status_code == 302


def test_people_who_are_not_staff_are_kept_out(client, alice, deployed):
    client.force_login(alice, backend=BACKEND)

    assert client.get("/admin/login/").status_code == 403
    assert client.get(INDEX).status_code == 302


def test_people_are_found_by_e_mail_and_neither_added_nor_deleted(support, alice, charlie):
    found = support.get(reverse(f"{USERS}_changelist"), {"q": "alice@"}).context["cl"].queryset

    assert list(found) == [alice]
    assert support.get(reverse(f"{USERS}_add")).status_code == 403
    assert support.post(reverse(f"{USERS}_delete", args=[alice.pk]), {"post": "yes"}).status_code == 403


def test_an_account_is_disabled_and_enabled_for_a_reason(support, alice):
    program, browser = Client(headers={"x-api-key": issue_key(alice, name="laptop")[1]}), Client()
    browser.post(reverse("account_login"), {"login": alice.email, "password": "correct horse battery"})

    def lets_in():
        return browser.get(reverse("web:jobs")).status_code == 200, program.get("/v1/credits").status_code == 200

    assert "Say why" in press(support, alice, "disable_account", reason=" ").text
    assert lets_in() == (True, True)
    press(support, alice, "disable_account", reason="sends spam")

    assert lets_in() == (False, False)
    line = Act.objects.get()
    assert (line.action, line.account, line.reason) == ("disable_account", alice.pk, "sends spam")
    assert (line.before, line.after) == ({"is_active": True}, {"is_active": False})

    press(support, alice, "enable_account", reason="promised to stop")

    # Sessions of before are over; keys are as they were.
    assert lets_in() == (False, True)
    assert Act.objects.count() == 2


def test_an_account_cannot_be_disabled_in_the_form(support, alice):
    support.post(reverse(f"{USERS}_change", args=[alice.pk]), {"email": "changed@example.org"})

    alice.refresh_from_db()
    assert (alice.is_active, alice.mails_low_credits, alice.email) == (True, True, "alice@example.org")


def test_nobody_is_shut_out_by_themselves_or_by_those_they_rank_above(support, sue):
    clerk = make_user("clerk@example.org", is_staff=True)
    clerk.groups.add(Group.objects.get(name="admin"))
    clerks = Client()
    clerks.force_login(clerk, backend=BACKEND)

    assert "superuser" in press(clerks, sue, "disable_account").text
    assert "your own" in press(support, sue, "disable_account").text
    sue.refresh_from_db()
    assert (sue.is_active, Act.objects.count()) == (True, 0)


def test_a_deleted_account_stays_shut(support, alice):
    closing.close(alice)
    alice.refresh_from_db()

    assert "It was deleted" in press(support, alice, "enable_account").text
    assert not enable_account(alice)
    alice.refresh_from_db()
    assert not alice.is_active


def test_staff_cannot_promote_themselves(client, db):
    clerk = make_user("clerk@example.org", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=("view_user", "change_user")))
    client.force_login(clerk, backend=BACKEND)

    answer = client.post(reverse(f"{USERS}_change", args=[clerk.pk]), {"is_active": "on", "is_superuser": "on"})

    assert answer.status_code == 403
    assert User.objects.values_list("is_active", "is_superuser").get(pk=clerk.pk) == (True, False)


def test_keys_are_found_and_disabled_and_never_seen(support, alice, charlie):
    key, _ = issue_key(alice, name="laptop")
    other, _ = issue_key(charlie, name="phone")
    listing = reverse(f"{KEYS}_changelist")

    assert list(support.get(listing, {"q": "alice@"}).context["cl"].queryset) == [key]
    shown = support.get(reverse(f"{KEYS}_change", args=[key.pk]))
    assert key.prefix in shown.text
    assert key.digest not in shown.text
    press(support, key, "disable")

    assert set(ApiKey.objects.filter(disabled_at=None)) == {other}
    assert support.get(reverse(f"{KEYS}_add")).status_code == 403
    assert support.post(reverse(f"{KEYS}_delete", args=[key.pk]), {"post": "yes"}).status_code == 403


def test_a_key_is_found_by_its_beginning_or_whole(support, alice):
    key, secret = issue_key(alice, name="laptop")

    for text in (secret, key.prefix):
        assert list(support.get(reverse(f"{KEYS}_changelist"), {"q": text}).context["cl"].queryset) == [key]


def test_a_rotated_secret_is_told_once_and_kept_nowhere(support, alice):
    key, old = issue_key(alice, name="laptop")

    told = press(support, key, "rotate").text

    new = re.search(r"cm_[\w-]{40,}", told).group()
    assert (find_key(new), find_key(old)) == (key, None)
    assert new not in support.get(reverse(f"{KEYS}_change", args=[key.pk])).text
    assert new not in json.dumps(list(Act.objects.values("before", "after", "reason")))
