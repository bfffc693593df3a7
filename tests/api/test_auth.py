"""Who may call: a key in either header, with the scope that the call needs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiKey
from apps.accounts.services import disable_key, issue_key

pytestmark = pytest.mark.django_db


def code(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_without_a_key_nothing_is_answered(anonymous):
    response = anonymous.get("/v1/credits")

    assert code(response) == (401, "missing_api_key")
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json()["error"]["type"] == "authentication_error"


def test_a_key_without_the_scope_is_told_which(alice, caller):
    response = caller(alice, scopes=("uploads",)).get("/v1/credits")

    assert code(response) == (403, "forbidden_scope")
    assert "credits:read" in response.json()["error"]["message"]


def test_the_key_goes_in_either_header(alice):
    _, secret = issue_key(alice, name="test")

    for headers in (
        {"x-api-key": secret},
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"bearer {secret}"},
    ):
        assert Client(headers=headers).get("/v1/credits").status_code == 200


@pytest.mark.parametrize("headers", [{"x-api-key": "cm_wrong"}, {"x-api-key": ""}, {"authorization": "Bearer nope é"}])
def test_a_wrong_key_is_a_401(db, headers):
    response = Client(headers=headers).get("/v1/credits")

    assert code(response) == (401, "invalid_api_key")
    assert response["WWW-Authenticate"] == "Bearer"


def test_disabled_and_expired_keys_and_closed_accounts_are_a_401(alice):
    key, secret = issue_key(alice, name="test", expires_at=timezone.now() + timedelta(days=1))
    client = Client(headers={"x-api-key": secret})
    assert client.get("/v1/credits").status_code == 200

    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert code(client.get("/v1/credits")) == (401, "invalid_api_key")

    ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
    disable_key(key)
    assert code(client.get("/v1/credits")) == (401, "invalid_api_key")

    ApiKey.objects.filter(pk=key.pk).update(disabled_at=None)
    alice.is_active = False
    alice.save()
    assert code(client.get("/v1/credits")) == (401, "invalid_api_key")


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(alice, api):
    api.get("/v1/credits")
    first = ApiKey.objects.get().last_used_at
    api.get("/v1/credits")

    assert first is not None
    assert ApiKey.objects.get().last_used_at == first

    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    api.get("/v1/credits")

    assert ApiKey.objects.get().last_used_at > first


@pytest.mark.parametrize("path", ["/v1/pricing", "/api/pricing", "/v1/openapi.json", "/docs"])
def test_open_addresses_need_no_key(anonymous, db, path):
    assert anonymous.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/uploads/x", "/api/upload"],
)
def test_what_comes_later_is_not_there_yet(api, path):
    assert code(api.get(path)) == (404, "not_found")
