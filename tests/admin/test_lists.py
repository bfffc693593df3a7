"""Every list of the admin, ours or not, takes whatever is typed and every filter that it offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.core import mail as outbox
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from apps.accounts import mail
from apps.accounts.models import Act, Mail, User
from apps.accounts.services import issue_key
from apps.webhooks import services as webhooks
from tests.admin.pressing import page, press
from tests.factories import make_job, make_project

TYPED = ("x", "alice@example.org", "A-4711", "0f0f0f0f", "cs_1", "%_\\", "a" * 400)
KINDS: list[type[Model]] = list(admin.site._registry)


@pytest.fixture
def records(alice: User) -> None:
    """At least one of most kinds."""
    job = make_job(alice, project=make_project(alice), status="completed")
    webhooks.create_endpoint(alice, url="https://hooks.example.org/in")
    webhooks.emit(alice, "job.completed", url="https://hooks.example.org/in", body={}, subject=job.pk)
    issue_key(alice, name="laptop")
    mail.second_factor_removed(alice, key="f")
    sign_in(alice)


def sign_in(user: User) -> Authenticator:
    """What signing in leaves; the factor's record."""
    EmailAddress.objects.create(user=user, email=user.email)
    UserSession.objects.create(user=user, ip="203.0.113.9", session_key="secret-session", user_agent="Firefox")
    return Authenticator.objects.create(user=user, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})


def offered(response: Any) -> Iterator[str]:
    """The query of each choice of each filter."""
    shown = response.context["cl"]
    for spec in shown.filter_specs:
        yield from (choice["query_string"] for choice in spec.choices(shown))


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model._meta.label)
@pytest.mark.usefixtures("records")
def test_every_list_takes_any_text_and_every_filter(support: Client, model: type[Model]) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")

    for text in TYPED:
        assert support.get(address, {"q": text}).status_code == 200, text
    for query in offered(support.get(address)):
        assert support.get(address + query).status_code == 200, query


@pytest.mark.parametrize("model", [Authenticator, EmailAddress, UserSession], ids=lambda model: model._meta.label)
@pytest.mark.usefixtures("records")
def test_what_signing_in_leaves_is_found_by_its_account_and_shows_no_secret(
    support: Client, alice: User, model: type[Model]
) -> None:
    record = model._default_manager.get(user=alice)
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")

    found = support.get(address, {"q": alice.email}).context["cl"].queryset
    text = support.get(page(record)).text

    assert list(found) == [record]
    assert list(support.get(address, {"q": "charlie@example.org"}).context["cl"].queryset) == []
    assert alice.email in text
    assert "JBSWY3DPEHPK3PXP" not in text
    assert "secret-session" not in text
    assert 'name="_save"' not in text


def test_a_lost_second_factor_is_removed_and_its_owner_is_told(support: Client, alice: User) -> None:
    sign_in(alice)

    answer = press(support, alice, "unlock", reason="Lost the phone; asked by a letter.")

    assert "signs in with the password alone" in answer.text
    assert not Authenticator.objects.filter(user=alice).exists()
    (act,) = Act.objects.all()
    assert (act.before, act.after) == ({"second_factor": True}, {"second_factor": False})
    (letter,) = Mail.objects.all()
    mail.send(letter.pk)
    assert outbox.outbox[0].subject == "Your second factor was removed"


def test_the_second_factor_of_staff_is_removed_by_superusers_only(staff: Any, sue: User) -> None:
    factor = sign_in(sue)

    answer = press(staff("admin"), sue, "unlock")

    assert "a superuser does that" in answer.text
    assert Authenticator.objects.filter(pk=factor.pk).exists()


def test_an_address_is_counted_as_verified_for_whoever_gets_no_mail(support: Client, alice: User) -> None:
    address = EmailAddress.objects.create(user=alice, email=alice.email, primary=True)

    press(support, address, "verify")

    address.refresh_from_db()
    assert address.verified
