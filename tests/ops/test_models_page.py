"""The staff's page of models: who sees it, and that its speeds are those of the jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.jobs.models import Job
from apps.ops.models_page import Pace, paces
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def finished(user: User, *, seconds: float, worker: str, **fields: Any) -> None:
    now = timezone.now()
    job = make_job(user, status="completed")
    fields |= {"started_at": now - timedelta(seconds=seconds), "completed_at": now, "worker": worker}
    Job.objects.filter(pk=job.pk).update(device="cpu", frames_done=250, result={"decoded_seconds": 10.0}, **fields)


def test_speeds_are_told_by_host_and_count_all_of_a_jobs_time(alice: User) -> None:
    finished(alice, seconds=40, worker="one:17")
    finished(alice, seconds=10, worker="one:18")
    finished(alice, seconds=5, worker="two:17")

    assert list(paces()) == [Pace("light", "one", "cpu", 2, 10.0, 0.4), Pace("light", "two", "cpu", 1, 50.0, 2.0)]


def test_staff_read_licence_hash_self_test_and_speed(alice: User, sue: User, settings: Any, tmp_path: Path) -> None:
    finished(alice, seconds=40, worker="one:17")
    browser = Client()
    browser.force_login(sue, backend="django.contrib.auth.backends.ModelBackend")

    with CaptureQueriesContext(connection) as queries:
        installed = browser.get("/admin/models").content.decode()
    settings.MODELS_DIR = tmp_path
    missing = browser.get("/admin/models").content.decode()

    assert [word for word in ("Apache-2.0", "SHA-256", "Self-test", "6.3", "0.25") if word not in installed] == []
    assert "not installed, lacks u2net" in missing
    assert len(queries) < 12
    assert 'href="/admin/models"' in browser.get("/admin/").content.decode()


def test_nobody_else_gets_in(alice: User) -> None:
    browser = Client()
    assert browser.get("/admin/models").status_code == 302
    browser.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")

    assert browser.get("/admin/models").status_code == 302
    assert browser.post("/admin/models").status_code in (302, 403)
