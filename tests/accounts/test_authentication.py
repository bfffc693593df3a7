"""Who gets into the API with what; through a view of its own, so that only the door is tested."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.accounts.authentication import ApiKeyAuthentication
from apps.accounts.models import ApiKey
from apps.accounts.permissions import requires
from apps.accounts.services import disable_key, issue_key


class Door(APIView):
    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = (requires("jobs:read"),)

    def get(self, request) -> Response:
        return Response({"email": request.user.email, "key": request.auth.name})


class OpenDoor(Door):
    permission_classes = (AllowAny,)

    def get(self, request) -> Response:
        return Response({"is_known": request.user is not None})


def knock(view=Door, **headers: str) -> Response:
    return view.as_view()(APIRequestFactory().get("/", headers=headers))


def code(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.data["error"]["code"]


@pytest.fixture
def secret(alice) -> str:
    return issue_key(alice, name="laptop")[1]


@pytest.mark.parametrize(
    "header", [("X-Api-Key", "{}"), ("Authorization", "Bearer {}"), ("Authorization", "bearer  {} ")]
)
def test_a_key_lets_its_owner_in(secret, header):
    answer = knock(**{header[0]: header[1].format(secret)})

    assert (answer.status_code, answer.data) == (200, {"email": "alice@example.org", "key": "laptop"})


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}])
def test_no_key_is_told_apart_from_a_wrong_one(secret, headers):
    assert code(knock(**headers)) == (401, "missing_api_key")
    assert knock(**headers).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("wrong", ["", "cm_wrong", "ключ", "cm_" + "x" * 5000])
def test_a_wrong_key_is_refused(secret, wrong):
    assert code(knock(**{"X-Api-Key": wrong})) == (401, "invalid_api_key")
    assert code(knock(view=OpenDoor, **{"X-Api-Key": wrong})) == (401, "invalid_api_key")


def test_disabled_expired_and_closed_accounts_are_refused_alike(secret, alice):
    expiring = issue_key(alice, name="e")[1]
    ApiKey.objects.filter(name="e").update(expires_at=timezone.now() - timedelta(seconds=1))
    disabled, gone = issue_key(alice, name="d")
    disable_key(disabled)
    answers = [knock(**{"X-Api-Key": key}).data["error"]["message"] for key in (expiring, gone, "cm_wrong")]
    alice.is_active = False
    alice.save()
    answers.append(knock(**{"X-Api-Key": secret}).data["error"]["message"])

    assert len(set(answers)) == 1


def test_an_open_door_needs_no_key(db):
    assert knock(view=OpenDoor).data == {"is_known": False}


def test_a_scope_is_needed(alice):
    _, secret = issue_key(alice, name="narrow", scopes=["uploads"])

    answer = knock(**{"X-Api-Key": secret})

    assert code(answer) == (403, "forbidden_scope")
    assert "jobs:read" in answer.data["error"]["message"]


def test_an_unknown_scope_is_a_fault_of_ours():
    with pytest.raises(ValueError, match="no such scope"):
        requires("jobs:destroy")


def test_use_is_noted_once_a_minute(secret, django_assert_num_queries):
    with django_assert_num_queries(2):
        knock(**{"X-Api-Key": secret})
    noted = ApiKey.objects.get().last_used_at

    with django_assert_num_queries(1):
        knock(**{"X-Api-Key": secret})

    assert ApiKey.objects.get().last_used_at == noted
    assert timezone.now() - noted < timedelta(minutes=1)
