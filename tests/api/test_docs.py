"""What docs/api.md tells people to do is what the house does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings

from apps import egress
from apps.api.errors import MEANINGS
from apps.errors import STATUS_BY_CODE
from apps.webhooks import sending, signing
from apps.webhooks import services as webhooks
from tests.api.test_schema import PATHS
from tests.factories import make_job

DOCS = (settings.BASE_DIR / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_call_is_in_the_table():
    for path, methods in PATHS.items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in DOCS


def test_the_table_of_errors_is_complete():
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\d+)(?:, \d+)? \| .+ \|$", DOCS, re.MULTILINE))

    assert set(rows) == set(MEANINGS)
    for code, status in rows.items():
        assert int(status) == (400 if code == "invalid_request" else STATUS_BY_CODE[code])


@pytest.mark.django_db
def test_the_receivers_code_accepts_ours_and_nothing_else(alice, monkeypatch):
    sent: list[tuple[bytes, dict[str, str]]] = []

    def post(url: str, body: bytes, headers: dict[str, str], **_: Any) -> tuple[int, str]:
        sent.append((body, headers))
        return 204, ""

    monkeypatch.setattr(egress, "post", post)
    webhooks.emit(
        alice, "job.completed", url="https://example.org/hook", body={"name": "Grün"}, subject=make_job(alice).pk
    )
    assert sending.send_due() == 1
    (body, headers), secret = sent[0], signing.of_account(alice).secret
    receiver: dict[str, Any] = {}
    exec(next(code for code in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "is_genuine" in code), receiver)

    for check in (receiver["is_genuine"], receiver["is_genuine_standard"]):
        assert check(headers, body, secret)
        assert not check(headers, body + b" ", secret)
        assert not check(headers, body, secret[:-4] + "AAAA")
        monkeypatch.setattr(receiver["time"], "time", lambda: 0.0)
        assert not check(headers, body, secret)
        monkeypatch.undo()
