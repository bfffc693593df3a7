"""Everything under /v1 and /api answers in one JSON shape, whatever went wrong."""

from __future__ import annotations

import json
import logging

import pytest
from django.conf import settings
from django.test import Client

from apps.api.errors import MEANINGS
from apps.errors import STATUS_BY_CODE
from tests.api.conftest import JSON

pytestmark = [pytest.mark.urls("tests.api.machinery"), pytest.mark.django_db]


def post(client: Client, body: object, **headers: str):
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post("/v1/echo", data, content_type=JSON, headers=headers)


def told(response) -> tuple[int, str, str | None]:
    """Status, code and param, after checking that the envelope is whole."""
    assert response["Content-Type"] == JSON
    assert response["X-Request-Id"]
    body = response.json()
    assert list(body) == ["error"]
    error = body["error"]
    assert {"code", "message", "type", "param", "request_id", "doc_url"} <= set(error)
    assert error["request_id"] == response["X-Request-Id"]
    assert error["doc_url"] == f"http://testserver/docs#error-{error['code']}"
    assert isinstance(error["message"], str)
    assert error["message"]
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/echo/", "/api", "/api/upload", "/v1/%00", "/v1/ÿ"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PROPFIND"])
def test_an_unknown_address_is_a_404_in_json(anonymous, path, method):
    assert told(anonymous.generic(method, path)) == (404, "not_found", None)


def test_an_unknown_address_is_no_matter_of_csrf():
    strict = Client(enforce_csrf_checks=True)

    assert told(strict.post("/v1/jobs/", {}, content_type=JSON)) == (404, "not_found", None)
    assert told(strict.post("/api/upload")) == (404, "not_found", None)


def test_pages_keep_their_own_404(anonymous):
    assert anonymous.get("/v1x")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_is_a_405_with_the_right_ones(api, method):
    response = api.generic(method, "/v1/echo")

    assert told(response) == (405, "method_not_allowed", None)
    assert response["Allow"] == "GET, POST, HEAD"


def test_a_wrong_method_is_told_before_a_fault_of_its_query(api):
    """Whoever opens an address that takes only PUT, its signature and all, reads what is wrong."""
    assert told(api.delete("/v1/echo?x=1")) == (405, "method_not_allowed", None)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        "nonsense",
        '{"name": NaN}',
        b'{"name": "\xff"}',
        b"\x00",
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a":' + "[" * 100_000,
        '{"a": ' + "[" * 40 + "]" * 40 + "}",
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": 1e400}',
        '{"a": 1, "b": {"c": 1, "c": 2}}',
    ],
)
def test_a_body_that_cannot_be_read_is_a_400(api, body):
    expected = (201, None) if body == "" else (400, "invalid_request")
    response = post(api, body)

    assert (response.status_code, response.json().get("error", {}).get("code")) == expected


@pytest.mark.parametrize("body", [[], [1], "text", 1, None, True])
def test_a_body_that_is_no_object_is_a_422(api, body):
    assert told(post(api, json.dumps(body))) == (422, "invalid_request", None)


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000b", "\\ud800"])
def test_text_that_no_database_can_keep_is_refused_by_its_field(api, text):
    assert told(post(api, '{"name": "' + text + '"}')) == (422, "invalid_request", "name")
    assert told(post(api, '{"metadata": {"deep": ["' + text + '"]}}')) == (422, "invalid_request", "metadata")
    assert told(post(api, '{"metadata": {"' + text + '": 1}}')) == (422, "invalid_request", "metadata")
    assert told(post(api, '{"' + text + '": 1}'))[:2] == (422, "invalid_request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_another_content_type_is_a_415(api, kind):
    response = api.generic("POST", "/v1/echo", b'{"name": "x"}', content_type=kind)

    assert told(response) == (415, "unsupported_media_type", None)
    assert "This address takes application/json." in response.json()["error"]["message"]


def test_json_with_a_charset_is_json(api):
    response = api.generic("POST", "/v1/echo", b'{"name": "x"}', content_type="application/JSON; charset=utf-8")

    assert response.status_code == 201


def test_a_body_over_the_limit_is_a_413(api):
    body = {"name": "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE}

    assert told(post(api, body)) == (413, "file_too_large", None)


def test_a_chunked_body_is_refused_and_not_taken_for_an_empty_one(api):
    assert told(post(api, "", **{"transfer-encoding": "chunked"})) == (400, "invalid_request", None)


def test_a_wrong_host_is_a_400(api):
    assert told(api.get("/v1/echo", headers={"host": "evil.example"})) == (400, "invalid_request", None)


def test_accept_does_not_matter(api):
    response = api.get("/v1/echo", headers={"accept": "text/html"})

    assert (response.status_code, response["Content-Type"]) == (200, JSON)


@pytest.mark.parametrize(
    ("name", "expected", "kind"),
    [
        ("refused", (409, "conflict", "name"), "invalid_request_error"),
        ("poor", (402, "insufficient_credits", None), "payment_error"),
        ("limited", (422, "limit_exceeded", "file"), "invalid_request_error"),
        ("model", (503, "model_not_installed", None), "api_error"),
        ("locked", (503, "service_unavailable", None), "api_error"),
        ("throttled", (429, "rate_limited", None), "rate_limit_error"),
        ("broken", (500, "internal_error", None), "api_error"),
        ("memory", (500, "internal_error", None), "api_error"),
    ],
)
def test_refusals_and_faults_have_their_code_and_type(api, name, expected, kind):
    response = post(api, {"name": name})

    assert told(response) == expected
    assert response.json()["error"]["type"] == kind
    assert "secret detail" not in response.content.decode()


def test_insufficient_credits_says_how_much(api):
    error = post(api, {"name": "poor"}).json()["error"]

    assert (error["needed"], error["available"]) == (7.5, 0)


def test_a_fault_is_logged_once_with_its_traceback_and_request_id(api, caplog):
    with caplog.at_level(logging.INFO):
        response = post(api, {"name": "broken"})

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is not None
    assert "secret detail" in str(errors[0].exc_info[1])
    assert response.json()["error"]["request_id"] == response["X-Request-Id"]


def test_a_refusal_is_not_an_error_in_the_log(api, caplog):
    with caplog.at_level(logging.INFO):
        post(api, {"name": "refused"})

    assert [record.levelname for record in caplog.records if record.name == "apps.api.errors"] == ["INFO"]


def test_every_code_has_a_meaning():
    assert set(MEANINGS) == set(STATUS_BY_CODE)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=6", "limit"),
        ("offset=-1", "offset"),
        (f"offset={10**30}", "offset"),
        ("offset=%00", "offset"),
        ("page=2", "page"),
        ("%ff=1", "\ufffd"),
    ],
)
def test_a_wrong_or_unknown_query_parameter_is_named(api, query, param):
    assert told(api.get(f"/v1/echo?{query}")) == (422, "invalid_request", param)


def test_a_post_takes_no_query_parameters(api):
    response = api.post("/v1/echo?name=x", "{}", content_type=JSON)

    assert told(response) == (422, "invalid_request", "name")
