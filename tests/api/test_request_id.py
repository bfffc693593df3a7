"""Every answer names its request, and so do the logs; a caller's own name is kept only if it is harmless."""

from __future__ import annotations

import logging
import re

import pytest

from apps.api import request_id

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("given", ["abc-123", "A.b_c", "x" * 64])
def test_a_sane_request_id_is_kept(anonymous, given):
    assert anonymous.get("/v1/none", headers={"x-request-id": given})["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a\nb", "a;b", "<b>", "é", "a/b", "a\x00"])
def test_any_other_is_replaced(anonymous, given):
    response = anonymous.get("/v1/none", headers={"x-request-id": given})

    assert re.fullmatch(r"req_[0-9a-f]{32}", response["X-Request-Id"])
    assert response.json()["error"]["request_id"] == response["X-Request-Id"]


@pytest.mark.parametrize("path", ["/v1/pricing", "/v1/none", "/nowhere", "/admin/", "/static/none.css", "/docs"])
def test_every_answer_has_one_and_each_its_own(anonymous, path):
    ids = {anonymous.get(path)["X-Request-Id"] for _ in range(2)}

    assert len(ids) == 2


def test_log_lines_carry_it():
    record = logging.LogRecord("x", logging.INFO, "", 0, "", (), None)
    token = request_id.current.set("req_1")

    request_id.RequestIdFilter().filter(record)
    request_id.current.reset(token)

    assert record.request_id == "req_1"
    assert request_id.current.get() == "-"
