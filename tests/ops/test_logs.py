"""What is written of one job: all of it under its request's id, and nothing that is nobody else's business."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.api.request_id import RequestIdFilter
from apps.jobs import tasks
from apps.jobs.models import Job
from apps.ops.logs import JsonFormatter
from apps.webhooks import sending, signing
from tests import clips
from tests.fakes import webhook_receiver
from tests.live import open_keyer_door
from tests.security.test_deploy import python

FILE_NAME = "grandmas-birthday.mp4"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger says, as a collector gets it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RequestIdFilter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_one_id_leads_from_the_request_to_the_job_the_engine_and_the_webhook(
    log: io.StringIO, alice: User, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_keyer_door(monkeypatch)
    clip = clips.make_clip(tmp_path / FILE_NAME, frames=5)
    key = issue_key(alice, name="laptop")[1]
    api = Client(headers={"x-api-key": key})
    with webhook_receiver() as receiver, clip.open("rb") as file:
        settings.EGRESS_ALLOW = [receiver.target]
        video = api.post("/v1/uploads", {"file": file}).json()
        asked = {"video_url": video["video_url"], "model": "chroma", "webhook_url": f"{receiver.url}?token=hidden-1"}
        api.get("/v1/jobs?note=hidden-2")
        made = api.post("/v1/jobs", asked, "application/json", headers={"x-request-id": "trace-me-7"})
        tasks.run_next()
        sending.send_due()

    job = Job.objects.get(pk=made.json()["id"])
    assert (job.status, job.request_id, len(receiver.requests)) == ("completed", "trace-me-7", 2)
    told = [line for line in lines(log) if line["request_id"] == "trace-me-7" and "job" in line]
    assert {line["job"] for line in told} == {str(job.pk)}
    said = [line["event"].replace(str(job.pk), "ID") for line in told]
    assert said[0] == "job=ID created model=chroma format=webm"
    assert said[1].startswith("job=ID started attempt=1 worker=")
    assert said[2].startswith("job=ID engine: INFO apps.engine completed frames=5 ")
    assert said[3] == "job=ID completed charged=2"
    assert [line["status"] for line in told[4:]] == ["200", "200"]
    secret = signing.of_account(alice).secret
    private = (key, secret, FILE_NAME, "grandma", alice.email, "hidden-1", "hidden-2", "signature=")
    assert {word for word in private if word in log.getvalue()} == set()


def test_a_traceback_is_one_line_with_its_secrets_blotted(log: io.StringIO) -> None:
    try:
        raise ConnectionError("redis://:hunter2@queue:6379/0 for ann@example.org\nsecond line")
    except ConnectionError:
        logging.getLogger("x").exception("job=7 lost /media/a?signature=abc")

    (line,) = lines(log)
    assert (line["level"], line["logger"], line["job"], line["event"]) == ("error", "x", "7", "job=7 lost /media/a?•••")
    assert "ConnectionError: redis://:•••@queue:6379/0 for •••\nsecond line" in line["exception"]


def test_a_message_cannot_pass_itself_off_as_another_line(log: io.StringIO) -> None:
    logging.getLogger("x").info("request_id=forged level=debug\n%s", '{"level": "error"}')

    (line,) = lines(log)
    assert (line["level"], line["request_id"]) == ("info", "-")


@pytest.mark.parametrize(
    ("sandbox", "expected"), [("0", "apps.ops.logs.JsonFormatter"), ("1", "apps.ops.logs.Formatter")]
)
def test_a_real_site_writes_json_and_the_sandbox_for_people(sandbox: str, expected: str, tmp_path: Path) -> None:
    show = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print(s.LOGGING['formatters'][s.LOGGING['handlers']['console']['formatter']]['()'])"
    )

    done = python(tmp_path, "-c", show, SANDBOX=sandbox)

    assert done.stdout.strip() == expected
