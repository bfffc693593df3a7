"""Several machines and stores that they cannot share: refused in a sentence, before anything starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.ops import hosts
from tests.security.test_deploy import python

SHARED = {
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "S3_BUCKET": "media",
}


@pytest.mark.parametrize("command", [("check", "--deploy"), ("rqworker", "cpu"), ("reconcile", "--once"), ("run",)])
def test_no_command_starts_on_several_hosts_with_stores_of_one(command: tuple[str, ...], tmp_path: Path) -> None:
    done = python(tmp_path, "manage.py", *command, SEVERAL_HOSTS="1")

    assert done.returncode != 0
    assert "SEVERAL_HOSTS=1, but the database is SQLite, which one machine has for itself" in done.stderr
    assert "(set DATABASE_URL to a PostgreSQL) and media are files on this machine's disk" in done.stderr
    assert "the queue server is the embedded one, which nobody else reaches (set REDIS_URL)." in done.stderr


def test_the_web_server_does_not_start_either(tmp_path: Path) -> None:
    command = ("-m", "gunicorn", "config.wsgi:application", "--config", "python:apps.ops.gunicorn_settings")
    done = python(tmp_path, *command, "--bind", "127.0.0.1:0", SEVERAL_HOSTS="1")

    assert done.returncode != 0
    assert "error: SEVERAL_HOSTS=1, but" in done.stderr


def test_stores_that_can_be_shared_are_accepted(tmp_path: Path) -> None:
    done = python(tmp_path, "manage.py", "check", "--deploy", SEVERAL_HOSTS="1", **SHARED)

    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("left_out", "said"), [("DATABASE_URL", "SQLite"), ("REDIS_URL", "embedded"), ("S3_BUCKET", "this machine's disk")]
)
def test_one_of_them_is_enough_for_a_refusal(
    left_out: str, said: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEVERAL_HOSTS = True
    monkeypatch.setattr(hosts, "connection", SimpleNamespace(vendor="postgresql"))
    settings.S3_BUCKET, settings.REDIS_URL_GIVEN = "media", "redis://queue"
    assert hosts.refusal() == ""

    if left_out == "DATABASE_URL":
        monkeypatch.setattr(hosts, "connection", SimpleNamespace(vendor="sqlite"))
    else:
        setattr(settings, {"REDIS_URL": "REDIS_URL_GIVEN"}.get(left_out, left_out), "")

    assert said in hosts.refusal()


def test_one_host_may_have_stores_of_its_own(settings: Any) -> None:
    settings.SEVERAL_HOSTS = False

    assert hosts.check() == []
