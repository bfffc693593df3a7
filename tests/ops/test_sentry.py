"""Sentry: not even loaded by default; what it is told is a fault and where it was, and nothing about people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import brotli
import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.ops import sentry
from tests.fakes import webhook_receiver
from tests.security.test_deploy import python

FAULT = """
import logging, sys
import django
django.setup()
if "sentry_sdk" in sys.modules:
    import sentry_sdk
    from apps.api import request_id
    def work(password):
        raise ConnectionError("redis://:hunter2@queue:6379/0 refused ann@example.org")
    with request_id.bound("trace-me-7"):
        try:
            work("correct horse")
        except ConnectionError:
            logging.getLogger("x").exception("job=7 failed for ann@example.org")
    sentry_sdk.flush(5)
print("sentry_sdk" in sys.modules)
"""


def test_it_is_off_and_not_loaded_by_default(tmp_path: Path) -> None:
    assert python(tmp_path, "-c", FAULT).stdout.strip() == "False"


def test_a_fault_is_told_without_what_people_sent(tmp_path: Path) -> None:
    with webhook_receiver() as receiver:
        done = python(tmp_path, "-c", FAULT, SENTRY_DSN=f"http://public@{receiver.target}/1")
        sent = b"".join(brotli.decompress(request.body) for request in receiver.requests).decode()

    assert done.stdout.strip() == "True", done.stderr
    event = next(json.loads(line) for line in sent.splitlines() if '"exception"' in line)
    (fault,) = event["exception"]["values"]
    assert (fault["type"], fault["value"]) == ("ConnectionError", "redis://:•••@queue:6379/0 refused •••")
    assert event["tags"]["request_id"] == "trace-me-7"
    private = ("hunter2", "ann@example.org", "correct horse", "sys.argv")
    assert {word for word in private if word in sent} == set()


def test_parts_that_hold_what_people_sent_are_left_out() -> None:
    event = {
        "message": "m",
        "request": {"url": "/x?a=b"},
        "user": {"id": 1},
        "extra": {},
        "breadcrumbs": [("cm_" + "a" * 20,)],
    }

    kept = sentry.scrubbed(event)

    assert kept == {"message": "m", "breadcrumbs": [["cm_•••"]], "tags": {"request_id": "-"}}


def test_a_missing_client_is_said_with_the_command_that_installs_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SENTRY_DSN = "https://public@sentry.example.org/1"

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)

    with pytest.raises(ImproperlyConfigured, match=r"pip install --require-hashes -r requirements-sentry.lock"):
        sentry.start()
