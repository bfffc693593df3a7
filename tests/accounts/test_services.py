from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import SCOPES, ApiKey
from apps.accounts.services import (
    change_key,
    digest,
    disable_key,
    enable_key,
    find_key,
    issue_key,
    rotate_key,
)
from apps.errors import AppError


def test_a_key_is_shown_once_and_kept_as_a_digest(alice):
    key, secret = issue_key(alice, name=" laptop ")

    assert secret.startswith("cm_")
    assert len(secret) == 46
    stored = ApiKey.objects.values().get()
    assert stored["digest"] == digest(secret)
    assert stored["prefix"] == secret[:10]
    assert secret not in str(stored)
    assert (key.name, tuple(key.scopes), key.is_usable) == ("laptop", SCOPES, True)


def test_no_two_keys_are_alike(alice):
    assert len({issue_key(alice, name="k")[1] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "k", "scopes": ["jobs:read", "admin"]}, "scopes"),
        ({"name": "k", "scopes": []}, "scopes"),
        ({"name": "k", "expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
        ({"name": "k", "monthly_cap": -1}, "monthly_cap"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(alice, fields, param):
    with pytest.raises(AppError) as refusal:
        issue_key(alice, **fields)

    assert (refusal.value.code, refusal.value.param) == ("invalid_request", param)
    assert ApiKey.objects.count() == 0


def test_disabling_happens_once(alice):
    key, _ = issue_key(alice, name="k")
    other = ApiKey.objects.get()

    assert disable_key(key) is True
    since = ApiKey.objects.get().disabled_at
    assert disable_key(other) is False

    assert ApiKey.objects.get().disabled_at == since
    assert key.is_usable is False


def test_a_disabled_key_can_be_let_in_again(alice):
    key, secret = issue_key(alice, name="k")
    assert enable_key(key) is False
    disable_key(key)

    assert enable_key(key) is True

    found = find_key(secret)
    assert (found, found.is_usable, key.is_usable) == (key, True, True)


def test_a_rotated_key_keeps_everything_but_its_secret(alice):
    key, old = issue_key(alice, name="k", scopes=["uploads"], monthly_cap=5_00)

    new = rotate_key(key, grace=timedelta(0))

    assert find_key(old) is None
    found = find_key(new)
    assert (found.pk, found.name, found.scopes, found.monthly_cap) == (key.pk, "k", ["uploads"], 5_00)
    assert (found.prefix, ApiKey.objects.count()) == (new[:10], 1)


def test_the_old_secret_opens_until_its_grace_is_over(alice):
    key, first = issue_key(alice, name="k")
    second = rotate_key(key, grace=timedelta(hours=1))
    assert [find_key(secret) for secret in (first, second)] == [key, key]

    third = rotate_key(key, grace=timedelta(hours=1))
    assert [find_key(secret) for secret in (first, second, third)] == [None, key, key]

    ApiKey.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert [find_key(secret) for secret in (second, third)] == [None, key]


def test_of_two_rotations_at_once_one_is_refused(alice):
    """Or the second would leave its caller with a secret that never opened anything."""
    key, _ = issue_key(alice, name="k")
    same = ApiKey.objects.get()
    new = rotate_key(key, grace=timedelta(0))

    with pytest.raises(AppError) as refusal:
        rotate_key(same, grace=timedelta(0))

    assert refusal.value.code == "conflict"
    assert find_key(new) == key


def test_a_key_is_changed_and_its_secret_stays(alice):
    key, secret = issue_key(alice, name="k")

    change_key(key, name="farm", scopes=["jobs:read"], expires_at=None, monthly_cap=1_00)

    found = find_key(secret)
    assert (found.name, found.scopes, found.monthly_cap) == ("farm", ["jobs:read"], 1_00)


def test_a_change_that_makes_no_sense_changes_nothing(alice):
    key, _ = issue_key(alice, name="k")

    with pytest.raises(AppError):
        change_key(key, name="k", scopes=[], expires_at=None, monthly_cap=None)

    assert tuple(ApiKey.objects.get().scopes) == SCOPES
