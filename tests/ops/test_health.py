"""/health: what monitors are told when each part is in order and when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from apps.ops import checks
from apps.ops.checks import Check

PARTS = ["database", "queue", "storage", "workers", "models"]


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queue and workers live outside the house; here they are in order."""
    monkeypatch.setattr(checks, "queue", lambda: Check(ok=True, facts={"waiting": {"cpu": 0}}))
    monkeypatch.setattr(checks, "workers", lambda: Check(ok=True, facts={"cpu": 1}))
    monkeypatch.setattr(checks, "models", lambda: Check(ok=True, facts={"light": "installed"}))


@pytest.mark.django_db
@pytest.mark.usefixtures("well")
def test_health_needs_no_key_and_names_every_part(client: Client) -> None:
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert list(answer.json()) == ["status", "version", "checks"]
    assert list(answer.json()["checks"]) == PARTS
    assert answer.json()["checks"]["models"] == {"ok": True, "light": "installed"}


@pytest.mark.django_db
@pytest.mark.usefixtures("well")
@pytest.mark.parametrize("part", PARTS)
def test_health_is_503_when_a_part_fails(client: Client, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(checks, part, lambda: Check(ok=False, detail="broken"))

    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"][part] == {"ok": False, "detail": "broken"}


def test_live_asks_nothing(client: Client) -> None:
    """No database mark on this test: a query would fail it."""
    answer = client.get("/health/live")

    assert answer.status_code == 200
    assert answer.json()["checks"] == {}


@pytest.mark.django_db
@pytest.mark.usefixtures("well")
def test_ready_does_not_wait_for_models(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "models", lambda: Check(ok=False, detail="no model is installed yet"))

    assert client.get("/health/ready").status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("well")
@pytest.mark.parametrize("part", ["database", "queue", "storage", "workers"])
def test_not_ready_when_nobody_could_work(client: Client, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(checks, part, lambda: Check(ok=False, detail="broken"))

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert [name for name, found in answer.json()["checks"].items() if not found["ok"]] == [part]


@pytest.mark.parametrize(("silent_for", "alive"), [(80, True), (100, False)])
def test_a_worker_that_was_silent_for_too_long_is_not_counted(silent_for: int, alive: bool) -> None:
    beat = datetime.now(UTC) - timedelta(seconds=silent_for)
    worker = SimpleNamespace(last_heartbeat=beat.replace(tzinfo=None), hostname="elsewhere", pid=1)

    assert checks.is_alive(worker) == alive


@pytest.mark.django_db
def test_database_check_says_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise DatabaseError("password=secret")

    monkeypatch.setattr(connection, "cursor", refuse)

    assert checks.database() == Check(ok=False, detail="the database does not answer")


def test_queue_and_workers_say_when_no_server_answers(settings: object) -> None:
    """The tests' settings name a server that is not there."""
    assert checks.queue() == Check(ok=False, detail="the queue server does not answer")
    assert checks.workers() == Check(ok=False, detail="the queue server does not answer")


def test_health_takes_no_posts(client: Client) -> None:
    assert client.post("/health").status_code == 405
