"""Deliveries over real HTTP: both signatures, every attempt kept, and nobody told twice by accident."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import django_rq
import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from apps.accounts.models import User
from apps.webhooks import services, tasks
from apps.webhooks.models import Attempt, Delivery
from tests.fakes import Receiver, webhook_receiver

JOB = UUID("11111111-2222-3333-4444-555555555555")
State = Delivery.State


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    with webhook_receiver() as running:
        settings.EGRESS_ALLOW = [running.target]
        yield running


def emit(user: User, url: str, event: str = "job.completed") -> Delivery:
    delivery = services.emit(user, event, url=url, body={"id": str(JOB), "note": "naïve ✂"}, subject=JOB)
    assert delivery is not None
    return delivery


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=timezone.now())


def test_emit_fixes_the_body_and_who_it_is_for(alice: User) -> None:
    delivery = services.emit(
        alice, "job.failed", url="https://example.org/h", body={"id": str(JOB)}, subject=JOB, request_id="req_1"
    )

    assert delivery is not None
    body = json.loads(delivery.body)
    created_at = body.pop("created_at")
    assert body == {"event": "job.failed", "id": str(delivery.pk), "data": {"id": str(JOB)}}
    assert datetime.fromisoformat(created_at).tzinfo is not None
    assert (delivery.user, delivery.request_id, delivery.state, delivery.attempts) == (alice, "req_1", State.PENDING, 0)
    assert delivery.secret == services.signing_secret(alice)


def test_emit_without_a_receiver_writes_nothing(alice: User) -> None:
    assert services.emit(alice, "job.started", url="", body={}, subject=JOB) is None
    assert services.emit(None, "job.started", url="https://example.org/h", body={}, subject=JOB) is None
    assert Delivery.objects.count() == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_emit_leaves_nothing_when_the_transaction_fails(alice: User) -> None:
    with transaction.atomic():
        emit(alice, "https://example.org/h")
        transaction.set_rollback(True)

    assert Delivery.objects.count() == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_emit_stands_when_the_queue_is_down(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell cannot be rung, the caller is not told, and the row waits for due()."""
    monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", "redis://127.0.0.1:1/0")

    delivery = emit(alice, "https://example.org/h")

    delivery.refresh_from_db()
    assert delivery.state == State.PENDING
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at <= timezone.now()


def test_the_signing_secret_is_one_per_account(alice: User, charlie: User) -> None:
    secret = services.signing_secret(alice)

    assert secret.startswith("whsec_")
    assert services.signing_secret(alice) == secret
    assert services.signing_secret(charlie) != secret


def test_a_delivery_carries_both_signatures_of_the_same_bytes(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)

    assert services.send(delivery.pk) is True

    (got,) = receiver.requests
    assert got.body == delivery.body.encode()
    assert json.loads(got.body)["data"] == {"id": str(JOB), "note": "naïve ✂"}
    assert Webhook(delivery.secret).verify(got.body, got.headers) == json.loads(delivery.body)
    stamp = got.headers["x-webhook-timestamp"]
    mine = hmac.new(delivery.secret.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-webhook-signature"] == f"sha256={mine}"
    assert datetime.fromisoformat(stamp).timestamp() == int(got.headers["webhook-timestamp"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp)) < timedelta(seconds=10)
    assert got.headers["x-webhook-event"] == "job.completed"
    assert got.headers["x-webhook-delivery-id"] == got.headers["webhook-id"] == str(delivery.pk)
    assert got.headers["content-type"] == "application/json"


def test_a_2xx_ends_it(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.append(201)

    services.send(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (State.SENT, 1, None)
    assert delivery.finished_at is not None
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.status_code, attempt.error, attempt.response_excerpt) == (1, 201, "", "thank you")
    assert services.send(delivery.pk) is False
    assert len(receiver.requests) == 1


def test_failures_are_tried_again_on_the_schedule_until_it_ends(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.extend([500] * 10)
    waits = []

    while True:
        make_due(delivery)
        assert services.send(delivery.pk) is True
        delivery.refresh_from_db()
        if delivery.next_attempt_at is None:
            break
        waits.append((delivery.next_attempt_at - timezone.now()).total_seconds())
        assert services.send(delivery.pk) is False, "not before its time"

    assert (delivery.state, delivery.attempts) == (State.FAILED, 10)
    assert [row.status_code for row in delivery.attempt_set.all()] == [500] * 10
    expected = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert len(waits) == len(expected)
    for wait, planned in zip(waits, expected, strict=True):
        assert planned * 0.9 - 1 <= wait <= planned * 1.1


def test_a_410_ends_it_at_once(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.append(410)

    services.send(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (State.FAILED, 1, None)


def test_a_redirect_is_a_failure_and_not_followed(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.append(302)
    receiver.headers["Location"] = "/elsewhere"

    services.send(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.PENDING, 1)
    assert [r.path for r in receiver.requests] == ["/hook"]
    assert Attempt.objects.get().status_code == 302


def test_an_address_inside_is_refused_and_the_refusal_kept(alice: User, receiver: Receiver, settings: Settings) -> None:
    settings.EGRESS_ALLOW = []
    delivery = emit(alice, receiver.url)

    services.send(delivery.pk)

    attempt = Attempt.objects.get()
    assert attempt.status_code is None
    assert attempt.error == "The URL points to an address that is not on the public internet."
    assert receiver.requests == []


def test_a_receiver_that_never_answers_is_left(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "ANSWER_SECONDS", 0.3)
    receiver.pause = 1.0
    delivery = emit(alice, receiver.url)

    services.send(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.state == State.PENDING
    assert Attempt.objects.get().error == "The server at that URL did not finish within 0.3 seconds."


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_senders_make_one_attempt(alice: User, receiver: Receiver) -> None:
    receiver.pause = 0.3
    delivery = emit(alice, receiver.url)
    done: list[bool] = []

    def sender() -> None:
        done.append(services.send(delivery.pk))
        connection.close()

    threads = [threading.Thread(target=sender) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(done) == [False] * 5 + [True]
    assert len(receiver.requests) == 1
    assert [row.number for row in Attempt.objects.all()] == [1]


def test_a_sender_that_died_leaves_its_attempt_and_the_next_is_due_a_minute_later(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = emit(alice, receiver.url)
    with monkeypatch.context() as patch:
        patch.setattr(services.egress, "post", killed)
        with pytest.raises(KeyboardInterrupt):
            services.send(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.next_attempt_at is not None
    wait = (delivery.next_attempt_at - timezone.now()).total_seconds()
    make_due(delivery)

    assert services.send(delivery.pk) is True

    assert 50 < wait <= 60
    rows = [(row.number, row.status_code, row.error) for row in Attempt.objects.all()]
    assert rows == [(1, None, services.LOST), (2, 200, "")]


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_answer_that_comes_after_the_next_attempt_began_changes_nothing(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    Delivery.objects.filter(pk=delivery.pk).update(attempts=2)

    services._settle(delivery, 200)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.PENDING, 2)


def test_due_rings_for_what_is_due_and_nothing_else(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[Delivery] = []
    monkeypatch.setattr(services, "_ring", rung.append)
    due_now = emit(alice, receiver.url)
    later, sent = emit(alice, receiver.url), emit(alice, receiver.url)
    Delivery.objects.filter(pk=later.pk).update(next_attempt_at=timezone.now() + timedelta(hours=1))
    services.send(sent.pk)

    assert services.due() == 1
    assert rung == [due_now]


def test_replay_sends_the_same_bytes_under_the_same_id_again(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    services.send(delivery.pk)

    services.replay(delivery)
    tasks.send_delivery(str(delivery.pk))

    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.SENT, 2)
