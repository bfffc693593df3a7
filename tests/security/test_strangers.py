"""Nobody reaches what is someone else's by its id: every address of the url table, asked by a stranger."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.core import serializers
from django.test import Client

from apps.accounts.models import User
from tests.security.routes import Route, routes

JSON = "application/json"
METHODS = ("get", "post", "put", "patch", "delete")
BY_SECRET = {
    "media": "signed; tests/projects/test_media.py",
    "account_confirm_email": "a token that was mailed",
    "mail-html": "the sandbox's letter box, open to whoever sits at the machine",
    "account_reset_password_from_key": "a token that was mailed; test_sign_in.py",
    "v1/uploads/<uuid:pk>/parts/<int:number>": "signed, so that a part needs no key; tests/api/resumable/",
}
"""Addresses whose parameter is itself the secret."""
OPEN = {
    *("stripe-webhook", "openapi", "pricing-list", "", "docs", "guide", "health", "health-live", "health-ready"),
    "metrics",  # its own token opens it (tests/ops/test_metrics.py)
    *("home", "pricing", "mail", "account_login", "account_logout", "account_signup", "account_inactive"),
    *("account_email_verification_sent", "account_reset_password", "account_reset_password_done"),
    *("account_reset_password_from_key_done", "account_confirm_login_code", "mfa_authenticate"),
}
"""Addresses that anonymous visitors may ask for: what they show is nobody's."""
TOLD_TO_A_SCRIPT = {
    "new/uploads/<uuid:upload_id>",
    "new/uploads/<uuid:upload_id>/parts/<int:number>",
    "new/uploads/<uuid:upload_id>/complete",
    "new/uploads/<uuid:upload_id>/cancel",
}
"""A browser would write a 404 to the console as a fault of the page; these say "gone" in words, to everybody alike."""
VARIABLE = re.compile(rb"req_[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}|csrfmiddlewaretoken\" value=\"[^\"]+\"")

OWNED = [route for route in routes() if route.parameters and not {route.name, route.pattern} & set(BY_SECRET)]
CLOSED = [route for route in routes() if not route.parameters and route.name not in OPEN]


def ids(chosen: Iterable[Route]) -> dict[str, Any]:
    found = list(chosen)
    return {"argvalues": found, "ids": [route.pattern for route in found]}


def answers(client: Client, path: str) -> dict[str, tuple[int, bytes]]:
    """Status and body, less what differs in each answer, by method."""
    found = {}
    for method in METHODS:
        answer = getattr(client, method)(path, **({} if method == "get" else {"data": "{}", "content_type": JSON}))
        found[method] = (answer.status_code, VARIABLE.sub(b"", answer.content))
    return found


def ids_of(route: Route, hers: dict[str, Any]) -> list[object]:
    """Hers for each id in the address, and 1 for each number."""
    owner = max((prefix for prefix in hers if route.pattern.startswith(prefix)), key=len, default=None)
    assert owner is not None, f"{route.pattern} is new: add what it names to `hers` in conftest.py"
    found = hers[owner]
    rows = iter(found if isinstance(found, tuple) else (found,))
    return [1 if kind == "int" else next(rows).pk for kind in route.kinds]


@pytest.mark.parametrize("route", **ids(OWNED))
def test_a_stranger_cannot_tell_what_is_someones_from_what_is_not_there(
    route: Route,
    hers: dict[str, Any],
    charlie: User,
    at: Callable[[User], Client],
    caller: Callable[[User], Client],
) -> None:
    """Neither by status nor by a word of the body; and nothing of hers has changed."""
    stranger = (caller if route.is_api else at)(charlie)
    rows = [row for thing in hers.values() for row in (thing if isinstance(thing, tuple) else (thing,))]
    before = serializers.serialize("json", rows)
    mine = ids_of(route, hers)

    there = answers(stranger, route.path(*mine))
    not_there = answers(stranger, route.path(*(value if value == 1 else uuid.uuid4() for value in mine)))

    assert there == not_there
    statuses = {status for status, _ in there.values()}
    if route.pattern not in TOLD_TO_A_SCRIPT:
        assert statuses <= {404, 405}
        assert 404 in statuses
    for row in rows:
        row.refresh_from_db()
    assert serializers.serialize("json", rows) == before


@pytest.mark.parametrize("route", **ids([*OWNED, *CLOSED]))
def test_the_anonymous_get_nothing_without_signing_in(route: Route, hers: dict[str, Any]) -> None:
    values = ids_of(route, hers) if route.parameters else []

    found = {status for status, _ in answers(Client(), route.path(*values)).values()}

    assert found <= ({401, 405} if route.is_api else {302, 405})
    assert found & {401, 302}


def test_the_lists_of_exceptions_name_addresses_that_exist() -> None:
    known = {word for route in routes() for word in (route.name, route.pattern)}

    assert {*BY_SECRET, *OPEN} <= known


@pytest.mark.parametrize(
    ("field", "thing"),
    [("video_id", "asset"), ("bg_image_id", "asset"), ("project", "v1/projects/")],
)
def test_a_body_that_names_someone_elses_thing_is_answered_as_one_that_names_nothing(
    field: str, thing: str, hers: dict[str, Any], charlie: User, caller: Callable[[User], Client]
) -> None:
    """A project of that id is his own new one, as for any word that he calls a project by."""
    program = caller(charlie)
    fields = {"video_url": "https://example.org/a.mp4", "auto_start": False}
    if field == "video_id":
        del fields["video_url"]
    if field == "bg_image_id":
        fields |= {"bg_type": "image", "output_format": "mp4"}

    found = [
        program.post("/v1/jobs", {**fields, field: str(value)}, content_type=JSON)
        for value in (hers[thing].pk, uuid.uuid4())
    ]

    assert found[0].status_code == found[1].status_code
    if field == "project":
        assert charlie.projects.filter(pk=hers[thing].pk).count() == 0
        assert hers[thing].jobs.count() == 1
    else:
        assert found[0].status_code in (404, 422)
        assert VARIABLE.sub(b"", found[0].content) == VARIABLE.sub(b"", found[1].content)


@pytest.mark.parametrize("field", ["id", "owner", "status", "charged", "hold", "estimated", "is_staff", "progress"])
def test_what_only_the_site_decides_cannot_be_sent(field: str, alice: User, caller: Callable[[User], Client]) -> None:
    program = caller(alice)

    job = program.post("/v1/jobs", {"video_url": "https://example.org/a.mp4", field: 1}, content_type=JSON)
    project = program.post("/v1/projects", {"name": "film", field: 1}, content_type=JSON)

    for answer in (job, project):
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
