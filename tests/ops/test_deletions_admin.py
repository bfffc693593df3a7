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
    proof = Deletion.objects.all()[0]

    assert browser.get(f"/admin/projects/deletion/{proof.pk}/change/").status_code == 200
    assert browser.post(f"/admin/projects/deletion/{proof.pk}/delete/").status_code == 403
    assert browser.post(f"/admin/projects/deletion/{proof.pk}/change/", {"size": 1}).status_code == 403
