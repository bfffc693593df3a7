"""Support finds the proof of a deletion by whatever is left of the file."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.jobs import retention
from apps.projects.models import Deletion
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def test_a_proof_is_found_and_cannot_be_changed(alice: User, sue: User) -> None:
    job = make_job(alice, status="completed")
    retention.delete_media(job)
    browser = Client()
    browser.force_login(sue, backend="django.contrib.auth.backends.ModelBackend")

    for term in (job.pk, job.asset.sha256, job.outputs.get().sha256, f"assets/{job.asset.pk}/source"):
        page = browser.get("/admin/projects/deletion/", {"q": term}).content.decode()
        assert "its owner or support deleted it" in page, term
    proof = Deletion.objects.get(kind="result")

    shown = browser.get(f"/admin/projects/deletion/{proof.pk}/change/").text
    told = browser.get(f"/admin/jobs/job/{job.pk}/change/").text

    assert f"/admin/jobs/job/{job.pk}/change/" in shown
    assert [f"/admin/projects/deletion/{one.pk}/change/" in told for one in Deletion.objects.all()] == [True, True]
    assert browser.post(f"/admin/projects/deletion/{proof.pk}/delete/").status_code == 403
    assert browser.post(f"/admin/projects/deletion/{proof.pk}/change/", {"size": 1}).status_code == 403
