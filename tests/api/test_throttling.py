"""Writes and reads of a key are counted for a minute from the first one."""

from __future__ import annotations

import threading

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisConnectionError

from apps.api import throttling
from tests.api.conftest import JSON

pytestmark = [pytest.mark.urls("tests.api.machinery"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def small(settings) -> None:
    settings.API_WRITES_PER_MINUTE = 2
    settings.API_READS_PER_MINUTE = 3


def rates(response) -> tuple[str, str]:
    return response["RateLimit-Limit"], response["RateLimit-Remaining"]


def test_reads_over_the_limit_are_a_429_that_says_when_to_come_back(api):
    answers = [api.get("/v1/echo") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [rates(answer) for answer in answers] == [("3", "2"), ("3", "1"), ("3", "0"), ("3", "0"), ("3", "0")]
    assert answers[3].json()["error"]["code"] == "rate_limited"
    assert answers[3].json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(answers[3]["Retry-After"]) <= 60
    assert answers[3]["RateLimit-Reset"] == answers[3]["Retry-After"]
    assert "Retry-After" not in answers[0]


def test_writes_are_counted_apart_from_reads(api):
    writes = [api.post("/v1/echo", "{}", content_type=JSON) for _ in range(3)]

    assert [answer.status_code for answer in writes] == [201, 201, 429]
    assert api.get("/v1/echo").status_code == 200


def test_refused_requests_carry_the_numbers_too(api):
    assert rates(api.get("/v1/echo?limit=0")) == ("3", "2")


def test_keys_are_counted_apart(api, alice, caller):
    for _ in range(4):
        api.get("/v1/echo")

    assert caller(alice).get("/v1/echo").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "cm_wrong"}])
def test_callers_without_a_key_that_works_are_counted_by_their_address(anonymous, api, headers):
    """Before they are refused, so that guessing and hammering have an end; others behind the address go on."""
    answers = [anonymous.get("/v1/echo", headers=headers) for _ in range(4)]
    elsewhere = anonymous.get("/v1/echo", headers=headers, REMOTE_ADDR="192.0.2.7")

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert rates(answers[3]) == ("3", "0")
    assert 1 <= int(answers[3]["Retry-After"]) <= 60
    assert elsewhere.status_code == 401
    assert api.get("/v1/echo").status_code == 200


def test_calls_without_the_scope_count_too(alice, caller):
    narrow = caller(alice, scopes=("uploads",))

    assert [narrow.get("/v1/echo").status_code for _ in range(4)] == [403, 403, 403, 429]


def test_the_window_ends(api, monkeypatch):
    for _ in range(4):
        api.get("/v1/echo")
    now = throttling.time.time()
    monkeypatch.setattr(throttling.time, "time", lambda: now + 61)

    assert rates(api.get("/v1/echo")) == ("3", "2")


def test_nobody_is_shut_out_while_the_counters_are_down(api, monkeypatch):
    """The rows are in the database: a job asked for now is kept, and its ring is made up for later."""

    def gone(*_: object) -> object:
        raise RedisConnectionError("Connection refused.")

    monkeypatch.setattr(throttling.cache, "incr", gone, raising=False)

    answer = api.post("/v1/echo", "{}", content_type=JSON)

    assert (answer.status_code, answer.has_header("RateLimit-Limit")) == (201, False)


def test_no_request_of_a_crowd_is_missed():
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.extend(throttling.count("crowd", limit=9).used for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen) == list(range(1, 401))
    cache.clear()
