"""What docs/api.md tells people to do is what the house does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from django.conf import settings

from apps import egress
from apps.api.errors import MEANINGS
from apps.errors import STATUS_BY_CODE
from apps.webhooks import sending, signing
from apps.webhooks import services as webhooks
from apps.webhooks.models import EVENTS
from tests.api.test_schema import PATHS
from tests.conftest import missing
from tests.factories import make_job

JAVASCRIPT_RECEIVER = """
import { readFileSync } from "node:fs";
const { headers, body, secret } = JSON.parse(readFileSync(0));
const old = { ...headers, "x-webhook-timestamp": "2020-01-01T00:00:00Z", "webhook-timestamp": "1577836800" };
console.log(JSON.stringify([isGenuine, isGenuineStandard].map((check) => [
  check(headers, Buffer.from(body), secret),
  check(headers, Buffer.from(body + " "), secret),
  check(headers, Buffer.from(body), secret.slice(0, -4) + "AAAA"),
  check(old, Buffer.from(body), secret),
])));
"""

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


@pytest.fixture
def delivered(alice, monkeypatch) -> tuple[bytes, dict[str, str], str]:
    """A delivery as a receiver gets it: body, headers, and the secret it was told."""
    sent: list[tuple[bytes, dict[str, str]]] = []

    def post(url: str, body: bytes, headers: dict[str, str], **_: Any) -> tuple[int, str]:
        sent.append((body, headers))
        return 204, ""

    with monkeypatch.context() as patch:
        patch.setattr(egress, "post", post)
        webhooks.emit(
            alice, "job.completed", url="https://example.org/hook", body={"name": "Grün"}, subject=make_job(alice).pk
        )
        assert sending.send_due() == 1
    return *sent[0], signing.of_account(alice).secret


@pytest.mark.django_db
def test_the_receivers_python_accepts_ours_and_nothing_else(delivered, monkeypatch):
    body, headers, secret = delivered
    receiver: dict[str, Any] = {}
    exec(next(code for code in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "is_genuine" in code), receiver)

    for check in (receiver["is_genuine"], receiver["is_genuine_standard"]):
        assert check(headers, body, secret)
        assert not check(headers, body + b" ", secret)
        assert not check(headers, body, secret[:-4] + "AAAA")
        monkeypatch.setattr(receiver["time"], "time", lambda: 0.0)
        assert not check(headers, body, secret)
        monkeypatch.undo()


@pytest.mark.django_db
def test_the_receivers_javascript_accepts_ours_and_nothing_else(delivered, tmp_path):
    node = shutil.which("node") or missing("Node.js")
    body, headers, secret = delivered
    (code,) = (code for code in re.findall(r"```js\n(.*?)```", DOCS, re.DOTALL) if "isGenuine" in code)
    (tmp_path / "receiver.mjs").write_text(code + JAVASCRIPT_RECEIVER)
    said = {
        "headers": {name.lower(): value for name, value in headers.items()},
        "body": body.decode(),
        "secret": secret,
    }

    ran = subprocess.run(
        [node, tmp_path / "receiver.mjs"], input=json.dumps(said), capture_output=True, text=True, check=True
    )

    assert json.loads(ran.stdout) == [[True, False, False, False]] * 2


def test_what_the_docs_say_of_webhooks_in_numbers_is_so():
    section = " ".join(DOCS.split("## Webhooks", 1)[1].split())
    units = {"s": 1, "min": 60, "h": 3600}
    (said,) = re.findall(r"tried ten times: at once, then (.+?) after the attempt before", section)
    waits = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", said)]

    assert [0, *waits] == [wait.total_seconds() for wait in sending.SCHEDULE]
    assert f"about {sum(waits) // 3600} hours in all" in section
    assert f"at most {webhooks.MOST_ENDPOINTS} endpoints" in section
    assert f"within {sending.ANSWER_SECONDS} seconds" in section
    assert f"kept for {settings.WEBHOOK_LOG_DAYS} days" in section
    assert {event for event in EVENTS if f"`{event}`" not in section} == set()
