"""The same POST sent twice takes effect once, also in a race and after a crash."""

from __future__ import annotations

import json
import os
import signal
import threading
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.api import idempotency
from apps.api.models import IdempotencyRecord
from apps.jobs import reconcile
from apps.projects.models import Project
from config.urls import urlpatterns
from tests.api import machinery
from tests.api.conftest import JSON
from tests.live import wait_for

pytestmark = [pytest.mark.urls("tests.api.machinery"), pytest.mark.django_db]


def post(client: Client, name: str, *, key: str = "k1", path: str = "/v1/echo"):
    return client.post(path, json.dumps({"name": name}), content_type=JSON, headers={"idempotency-key": key})


def code(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_the_first_answer_is_given_again(api):
    first, again = post(api, "one"), post(api, "one")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert again["X-Request-Id"] != first["X-Request-Id"]
    assert Project.objects.filter(name="one").count() == 1


def test_the_order_of_fields_does_not_matter(api):
    headers = {"idempotency-key": "k"}
    first = api.post("/v1/echo", '{"name": "a", "x": 1}', content_type=JSON, headers=headers)
    again = api.post("/v1/echo", '{ "x":1, "name":"a" }', content_type=JSON, headers=headers)

    assert again.json() == first.json()


def test_another_body_under_the_same_key_is_a_mismatch(api):
    post(api, "one")

    assert code(post(api, "two")) == (409, "idempotency_mismatch")
    assert Project.objects.filter(name="two").count() == 0


def test_keys_are_apart_by_account(api, bob, caller):
    assert post(api, "one").json() != post(caller(bob), "one").json()


def test_two_keys_of_one_account_share_their_idempotency_keys(api, alice, caller):
    assert post(caller(alice), "one").json() == post(api, "one").json()


def test_without_a_key_nothing_is_kept(api):
    for _ in range(2):
        api.post("/v1/echo", '{"name": "twice"}', content_type=JSON)

    assert Project.objects.filter(name="twice").count() == 2
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "two words"])
def test_a_key_that_is_none_is_refused(api, key):
    response = post(api, "one", key=key)

    assert code(response) == (422, "invalid_request")
    assert response.json()["error"]["param"] == "Idempotency-Key"


@pytest.mark.parametrize("name", ["refused", "poor", "limited"])
def test_a_refusal_is_an_answer_and_leaves_nothing_behind(api, name):
    first, again = post(api, name), post(api, name)

    assert first.status_code == again.status_code
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert len(machinery.calls) == 1
    assert Project.objects.filter(name=name).count() == 0


@pytest.mark.parametrize(("name", "status"), [("broken", 500), ("locked", 503), ("throttled", 429), ("model", 503)])
def test_faults_and_throttles_are_not_kept(api, name, status):
    first, again = post(api, name), post(api, name)

    assert (first.status_code, again.status_code) == (status, status)
    assert "Idempotent-Replayed" not in again
    assert len(machinery.calls) == 2
    assert Project.objects.filter(name=name).count() == 0
    assert IdempotencyRecord.objects.count() == 0


def test_after_a_day_the_key_is_free(api):
    post(api, "one")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    assert post(api, "two").status_code == 201


def test_a_key_whose_process_died_is_taken_over_when_its_lease_is_over(api):
    post(api, "one")
    record = IdempotencyRecord.objects.filter(key="k1")
    record.update(state="running", lease_until=timezone.now() + timedelta(seconds=30))

    assert code(post(api, "one")) == (409, "idempotency_in_progress")

    record.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert post(api, "one").status_code == 201
    assert post(api, "one")["Idempotent-Replayed"] == "true"


def test_old_answers_are_swept_whoever_they_were_for(api, bob, caller):
    post(api, "old")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    post(caller(bob), "new")

    assert reconcile.forget_answers() == 1

    assert IdempotencyRecord.objects.get().user == bob


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_request_whose_process_is_killed_leaves_nothing_and_can_be_sent_again(api):
    """By SIGKILL in the middle of its work, as when memory runs out."""
    connections.close_all()
    process = os.fork()
    if process == 0:
        post(api, "killed")
        os._exit(1)
    _, status = os.waitpid(process, 0)

    assert os.WTERMSIG(status) == signal.SIGKILL
    assert Project.objects.filter(name="killed").count() == 0
    assert code(post(api, "killed")) == (409, "idempotency_in_progress")
    IdempotencyRecord.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(machinery.HABITS, "killed")
        assert post(api, "killed").status_code == 201
    assert Project.objects.filter(name="killed").count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_in_a_race_one_row_results(api):
    """Ten at once: one works, and each answer is its 201 or "in progress"."""
    barrier = threading.Barrier(10)
    answers = []

    def send() -> None:
        barrier.wait()
        answers.append(post(api, "race"))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 10
    made = [answer for answer in answers if answer.status_code == 201]
    others = [code(answer) for answer in answers if answer.status_code != 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert set(others) <= {(409, "idempotency_in_progress")}
    assert Project.objects.filter(name="race").count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_an_uploads_lease_is_renewed_while_its_process_lives_and_no_longer(api, monkeypatch):
    monkeypatch.setattr(idempotency, "RENEWED_EVERY", timedelta(milliseconds=10))
    record = idempotency.claim(User.objects.get(), "k", fingerprint="f")
    IdempotencyRecord.objects.update(lease_until=timezone.now() - timedelta(hours=1))

    with idempotency.renewed(record):
        wait_for(lambda: IdempotencyRecord.objects.get().lease_until > timezone.now(), seconds=10)

    assert "idempotency-lease" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_work_that_lost_its_lease_is_rolled_back(api):
    """A request that was too slow and was taken over must not take effect beside the one that took over."""
    original, taken = machinery.Project.objects.create, []

    def take_over(**fields):
        project = original(**fields)
        # On SQLite the writer's lock keeps others out while the view runs, so the takeover is written here.
        taken.append(IdempotencyRecord.objects.update(lease="00000000-0000-4000-8000-000000000000"))
        return project

    machinery.Project.objects.create = take_over
    try:
        response = post(api, "slowpoke")
    finally:
        del machinery.Project.objects.create

    assert taken == [1]
    assert code(response) == (409, "idempotency_in_progress")
    assert Project.objects.filter(name="slowpoke").count() == 0


def upload(client: Client, contents: bytes, *, filename: str = "a.mp4", **fields: str):
    data = {"file": SimpleUploadedFile(filename, contents), **fields}
    return client.post("/v1/files", data, headers={"idempotency-key": "u"})


def test_an_upload_is_known_by_its_fields_and_contents(api):
    first = upload(api, b"x" * 100)

    assert first.json() == {"size": 100, "read": 100}
    assert upload(api, b"x" * 100, filename="renamed.mp4")["Idempotent-Replayed"] == "true"
    assert code(upload(api, b"y" * 100)) == (409, "idempotency_mismatch")
    assert code(upload(api, b"x" * 100, purpose="background")) == (409, "idempotency_mismatch")
    assert len(machinery.calls) == 1


def test_every_post_of_the_api_is_idempotent():
    found = []
    patterns = [(pattern, "") for pattern in urlpatterns]
    while patterns:
        pattern, prefix = patterns.pop()
        address = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            patterns += [(inner, address) for inner in pattern.url_patterns]
        elif "post" in (actions := getattr(pattern.callback, "actions", None) or {}):
            method = getattr(pattern.callback.cls, actions["post"])
            assert getattr(method, "is_idempotent", False), address
            found.append(address)

    assert "v1/jobs" in found
