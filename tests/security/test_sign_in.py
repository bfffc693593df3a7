"""Sign-in under attack: guessing, flooding, fixation, open redirects, stolen links, and telling who has an account."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User

PASSWORD = "correct horse battery"
LOGIN, SIGNUP, RESET = (reverse(f"account_{name}") for name in ("login", "signup", "reset_password"))
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]+"')


def sign_in(client: Client, user: User, *, password: str = PASSWORD, **more: str) -> Any:
    return client.post(LOGIN, {"login": user.email, "password": password, **more})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def link_in_mail() -> str:
    (link,) = re.findall(r"https?://[^/]+(/\S+)", mail.outbox[-1].body)
    return str(link)


def test_guessing_one_accounts_password_is_stopped_even_when_the_guess_is_right(client: Client, alice: User) -> None:
    for guess in range(5):
        sign_in(client, alice, password=f"wrong {guess}")

    refused = sign_in(client, alice)

    assert b"Too many failed login attempts" in refused.content
    assert not is_signed_in(client)


def test_one_who_is_guessed_at_elsewhere_is_let_in_after_a_while(client: Client, alice: User, settings: Any) -> None:
    """A limit of a few minutes, not a lock: an attacker cannot shut its owner out for good."""
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "5/0.001s/key"}
    for guess in range(6):
        sign_in(client, alice, password=f"wrong {guess}")

    sign_in(client, alice)

    assert is_signed_in(client)


def test_trying_many_accounts_from_one_address_is_stopped(client: Client, db: None) -> None:
    for number in range(10):
        client.post(LOGIN, {"login": f"person{number}@example.org", "password": "x"})

    refused = client.post(LOGIN, {"login": "person99@example.org", "password": "x"})

    assert b"Too many failed login attempts" in refused.content


def test_a_flood_of_resets_gets_a_page_that_says_so(client: Client, alice: User, settings: Any) -> None:
    for _ in range(5):
        client.post(RESET, {"email": alice.email})
    sent = len(mail.outbox)

    refused = client.post(RESET, {"email": alice.email})

    assert (refused.status_code, len(mail.outbox)) == (429, sent)
    assert b"Too many tries" in refused.content
    assert b"Wait a few minutes" in refused.content


def test_behind_a_proxy_people_are_counted_apart(client: Client, alice: User, settings: Any) -> None:
    settings.TRUST_PROXY = True
    for number in range(10):
        client.post(
            LOGIN, {"login": f"p{number}@example.org", "password": "x"}, headers={"x-forwarded-for": "198.51.100.1"}
        )

    client.post(LOGIN, {"login": alice.email, "password": PASSWORD}, headers={"x-forwarded-for": "203.0.113.9"})

    assert is_signed_in(client)


def test_the_admins_door_is_the_same_limited_one(client: Client, sue: User, deployed: None) -> None:
    """It takes no password itself, so there is nothing to guess at."""
    answer = client.post("/admin/login/", {"username": sue.email, "password": PASSWORD})

    assert answer.headers["Location"].startswith(LOGIN)
    assert not is_signed_in(client)


def test_a_session_that_was_planted_is_worth_nothing_after_sign_in(client: Client, alice: User) -> None:
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = before

    sign_in(client, alice)

    assert is_signed_in(client)
    assert client.session.session_key != before
    other = Client()
    other.cookies["sessionid"] = before
    assert other.get(reverse("web:jobs")).status_code == 302


def test_signing_out_ends_the_session_on_the_server_and_needs_a_post(client: Client, alice: User) -> None:
    sign_in(client, alice)
    key = client.session.session_key
    client.get(reverse("account_logout"))
    assert is_signed_in(client)

    client.post(reverse("account_logout"))

    thief = Client()
    thief.cookies["sessionid"] = key
    assert thief.get(reverse("web:jobs")).status_code == 302


def test_a_new_password_ends_the_sessions_elsewhere(client: Client, alice: User) -> None:
    thief = Client()
    sign_in(thief, alice)
    sign_in(client, alice)
    new = {"oldpassword": PASSWORD, "password1": "another long one", "password2": "another long one"}

    client.post(reverse("account_change_password"), new)

    assert client.get(reverse("web:jobs")).status_code == 200
    assert thief.get(reverse("web:jobs")).status_code == 302


def test_changing_the_password_asks_for_the_old_one(client: Client, alice: User) -> None:
    sign_in(client, alice)
    new = {"oldpassword": "wrong", "password1": "another long one", "password2": "another long one"}

    client.post(reverse("account_change_password"), new)

    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.mark.parametrize("password", ["short", "password1234", "1234567890", "alice@example.org"])
def test_poor_passwords_are_refused(password: str, client: Client, db: None) -> None:
    client.post(SIGNUP, {"email": "alice@example.org", "password1": password})

    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["only lower case words", "ünïcödé ✂ ✂ ✂ ✂", "x7" * 60])
def test_any_other_composition_is_taken_as_it_is(password: str, client: Client, db: None) -> None:
    client.post(SIGNUP, {"email": "alice@example.org", "password1": password})

    assert User.objects.get().check_password(password)


def test_a_reset_link_works_once_and_not_for_long(client: Client, alice: User, settings: Any) -> None:
    client.post(RESET, {"email": alice.email})
    link = link_in_mail()
    form = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(form, {"password1": "another long one", "password2": "another long one"})

    again = Client().get(link, follow=True)

    assert b"password1" not in again.content
    assert settings.PASSWORD_RESET_TIMEOUT == 3600


def test_an_old_link_is_no_longer_taken(client: Client, alice: User, settings: Any) -> None:
    client.post(RESET, {"email": alice.email})
    settings.PASSWORD_RESET_TIMEOUT = -1

    late = client.get(link_in_mail(), follow=True)

    assert b"password1" not in late.content


def test_the_token_of_a_reset_leaves_the_address_before_the_page_is_shown(client: Client, alice: User) -> None:
    """So that no Referer, history or log of another site holds a working link."""
    client.post(RESET, {"email": alice.email})
    link = link_in_mail()

    shown_at = client.get(link, follow=True).redirect_chain[-1][0]

    assert link.split("-", 1)[1].strip("/") not in shown_at


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "http:evil.example"],
)
def test_sign_in_leads_to_this_site_only(target: str, client: Client, alice: User) -> None:
    answer = sign_in(client, alice, next=target)
    out = client.post(f"{reverse('account_logout')}?next={target}")

    assert answer.headers["Location"] == reverse("web:new")
    assert out.headers["Location"] == reverse("web:home")


def test_reset_answers_alike_whether_there_is_an_account_or_not(alice: User) -> None:
    there, not_there = (Client().post(RESET, {"email": email}) for email in (alice.email, "nobody@example.org"))

    assert (there.status_code, there.headers["Location"]) == (not_there.status_code, not_there.headers["Location"])
    assert [letter.to for letter in mail.outbox] == [[alice.email], ["nobody@example.org"]]


def test_sign_up_answers_alike_whether_there_is_an_account_or_not(alice: User, deployed: None) -> None:
    """The one who has it is told by mail."""
    found = [
        Client().post(SIGNUP, {"email": email, "password1": "another long one"}, follow=True)
        for email in (alice.email, "nobody@example.org")
    ]

    assert found[0].redirect_chain == found[1].redirect_chain
    bodies = [TOKEN.sub(b"", answer.content.replace(b"nobody@", b"alice@")) for answer in found]
    assert bodies[0] == bodies[1]
    assert "already has an account" in mail.outbox[0].body
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_sign_in_answers_alike_whether_the_account_or_the_password_is_wrong(alice: User) -> None:
    found = [
        Client().post(LOGIN, {"login": email, "password": "wrong"}) for email in (alice.email, "nobody@example.org")
    ]

    bodies = [TOKEN.sub(b"", answer.content.replace(b"nobody@", b"alice@")) for answer in found]
    assert (found[0].status_code, bodies[0]) == (found[1].status_code, bodies[1])


def test_a_closed_account_is_let_in_nowhere(client: Client, alice: User, caller: Callable[[User], Client]) -> None:
    sign_in(client, alice)
    program = caller(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert client.get(reverse("web:jobs")).status_code == 302
    assert program.get("/v1/credits").status_code == 401
    again = Client()
    sign_in(again, alice)
    assert not is_signed_in(again)


def test_password_fields_hide_what_is_typed_and_let_managers_fill_them(client: Client, db: None) -> None:
    page = client.get(LOGIN).content.decode()

    field = re.search(r'<input type="password"[^>]*>', page)
    assert field is not None
    assert 'autocomplete="current-password"' in field.group()
    assert "onpaste" not in page
