"""`manage.py create_account`: exact credits, one key, told once."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import ApiKey, User
from apps.credits.models import LedgerEntry, Wallet

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("create_account", *arguments, "--json", stdout=out)
    made: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return made


@pytest.mark.parametrize(("given", "stored", "told"), [("100", 10000, 100), ("12.34", 1234, 12.34), ("0", 0, 0)])
def test_the_balance_is_exactly_what_was_asked(given: str, stored: int, told: float) -> None:
    made = create("Dora@Example.org", "--credits", given, "--key", "laptop")

    assert set(made) == {"email", "password", "api_key", "credits"}
    assert (made["email"], made["credits"]) == ("dora@example.org", told)
    assert Wallet.objects.get().balance == stored
    assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == stored


def test_the_key_opens_the_api_and_the_free_grant_never_comes_on_top(client: Client) -> None:
    made = create("dora@example.org", "--credits", "7.5")

    answer = client.get("/v1/credits", headers={"x-api-key": made["api_key"]})

    assert answer.status_code == 200
    assert answer.json()["balance"] == 7.5
    assert answer.json()["available"] == 7.5


def test_the_password_signs_in_and_the_address_counts_as_verified(client: Client) -> None:
    made = create("dora@example.org")

    assert client.login(email="dora@example.org", password=made["password"])
    assert EmailAddress.objects.get(email="dora@example.org").verified


def test_only_a_digest_of_the_key_is_kept() -> None:
    made = create("dora@example.org", "--key", "laptop")

    key = ApiKey.objects.get()
    assert key.name == "laptop"
    assert made["api_key"].startswith("cm_")
    assert made["api_key"] not in {str(value) for value in vars(key).values()}


def test_superuser_may_use_the_admin_and_others_not() -> None:
    create("root@example.org", "--superuser")
    create("dora@example.org")

    assert User.objects.get(email="root@example.org").is_superuser
    assert not User.objects.get(email="dora@example.org").is_staff


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dora",), "'dora' is not an e-mail address"),
        (("dora@example.org", "--credits", "1.234"), "--credits: .* two decimals"),
        (("dora@example.org", "--credits", "lots"), "--credits: .* not a number"),
        (("dora@example.org", "--credits", "nan"), "--credits: .* out of range"),
        (("dora@example.org", "--credits=-1"), "--credits must be 0 or more"),
        (("dora@example.org", "--key", ""), "--key: Give the key a name"),
    ],
)
def test_a_bad_argument_is_named_and_leaves_nothing(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        create(*arguments)

    assert not User.objects.exists()
    assert not Wallet.objects.exists()


def test_an_existing_address_is_refused_and_unchanged() -> None:
    create("dora@example.org", "--credits", "5")

    with pytest.raises(CommandError, match=r"An account with dora@example\.org exists already"):
        create("DORA@example.org", "--credits", "9")

    assert Wallet.objects.get().balance == 500
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("role", ["support", "finance", "admin"])
def test_one_of_the_staff_has_its_role_and_no_more(role: str) -> None:
    create("dora@example.org", "--role", role)

    user = User.objects.get(email="dora@example.org")
    assert (user.is_staff, user.is_superuser, [group.name for group in user.groups.all()]) == (True, False, [role])


@pytest.mark.parametrize("arguments", [("--role", "owner"), ("--role", "support", "--superuser")])
def test_a_role_that_is_none_or_beside_all_rights_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        create("dora@example.org", *arguments)

    assert not User.objects.exists()
