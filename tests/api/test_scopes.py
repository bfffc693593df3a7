"""Every call of the API needs a scope, read from the url table, so that a new one without it fails here."""

from __future__ import annotations

import re

import pytest
from django.urls import URLPattern, get_resolver

from apps.accounts.models import SCOPES, ApiKey
from tests.api.conftest import JSON

pytestmark = pytest.mark.django_db

OPEN = {"v1/pricing", "api/pricing", "v1/openapi.json"}
"""What anybody may read."""
SIGNED = {("put", "v1/uploads/<uuid:pk>/parts/<int:number>")}
"""Whoever was given such an address may use it, as on S3; tests/api/resumable/."""
READS = {"jobs": "jobs:read", "projects": "jobs:read", "credits": "credits:read", "usage": "credits:read"}
WRITES = {"jobs": "jobs:write", "projects": "jobs:write"}
EITHER = {"uploads": "uploads", "webhooks": "webhooks"}
ID = "0b6e3f53-8a55-4f0e-9a2e-0d6f3a9b1c11"
ANY = {"uuid": ID, "id": ID, "int": "1", "str": "x", "slug": "x"}


def calls(patterns=None, prefix: str = ""):
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        address = f"{prefix}{entry.pattern}"
        if not isinstance(entry, URLPattern):
            yield from calls(entry.url_patterns, address)
        elif address.startswith(("v1/", "api/")) and address not in OPEN:
            for method in getattr(entry.callback, "actions", None) or {"get": ""}:
                yield method, address


CALLS = [call for call in dict.fromkeys(calls()) if call[0] != "head" and call not in SIGNED]


def ask(client, method: str, address: str):
    path = re.sub(r"<(?:(\w+):)?\w+>", lambda found: ANY[found[1] or "str"], f"/{address}")
    return client.generic(method.upper(), path, "{}", content_type=JSON)


def expected(method: str, address: str) -> str:
    noun = address.split("/")[1]
    return {**EITHER, **(READS if method == "get" else WRITES)}[noun]


def refused_for(response) -> str | None:
    """The scope that was lacking."""
    error = response.json()["error"] if response.status_code == 403 else {}
    return error.get("scope") if error.get("code") == "forbidden_scope" else None


@pytest.mark.parametrize(("method", "address"), CALLS)
def test_a_call_needs_its_scope_and_no_other(alice, caller, method, address):
    scope = expected(method, address)
    assert scope in SCOPES
    without = caller(alice, scopes=tuple(other for other in SCOPES if other != scope))
    only = caller(alice, scopes=(scope,))

    assert refused_for(ask(without, method, address)) == scope
    assert ask(only, method, address).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "address"), CALLS)
def test_a_call_needs_a_key(anonymous, method, address):
    answer = ask(anonymous, method, address)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")


def test_the_table_is_the_whole_api():
    assert {("post", "v1/jobs"), ("get", "v1/credits"), ("delete", "v1/jobs/<id:pk>")} <= set(CALLS)


def test_a_key_costs_one_query_and_its_use_is_noted_rarely(api, django_assert_num_queries):
    api.get("/v1/credits")
    ApiKey.objects.update(scopes=[])

    with django_assert_num_queries(1):
        assert api.get("/v1/credits").status_code == 403
