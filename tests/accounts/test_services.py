from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import SCOPES, ApiKey
from apps.accounts.services import digest, disable_key, issue_key
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
    ],
)
def test_a_key_that_makes_no_sense_is_refused(alice, fields, param):
    with pytest.raises(AppError) as refusal:
        issue_key(alice, **fields)

    assert (refusal.value.code, refusal.value.param) == ("invalid_request", param)
    assert ApiKey.objects.count() == 0


def test_disabling_happens_once_and_for_good(alice):
    key, _ = issue_key(alice, name="k")
    other = ApiKey.objects.get()

    assert disable_key(key) is True
    since = ApiKey.objects.get().disabled_at
    assert disable_key(other) is False

    assert ApiKey.objects.get().disabled_at == since
    assert key.is_usable is False
