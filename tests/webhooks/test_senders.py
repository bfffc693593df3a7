"""Senders side by side, and senders that die: each event goes out, none twice at once, none holds another up."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.webhooks import doorbell, sending
from apps.webhooks.models import Attempt, Delivery
from tests.fakes import Receiver, webhook_receiver
from tests.webhooks.conftest import emit, make_due

State = Delivery.State
LATER = UUID(int=2)

# --- side by side ------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_senders_make_one_attempt(alice: User, receiver: Receiver) -> None:
    receiver.pause = 0.3
    emit(alice, receiver.url)
    done: list[int] = []

    def sender() -> None:
        done.append(sending.send_due())
        connection.close()

    threads = [threading.Thread(target=sender) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(done) == [0] * 5 + [1]
    assert len(receiver.requests) == 1
    assert [row.number for row in Attempt.objects.all()] == [1]


def test_a_dead_receivers_backlog_holds_up_nobody(
    alice: User, charlie: User, receiver: Receiver, settings: Settings
) -> None:
    """Thirty deliveries wait at a receiver that does not answer; the others are told while it holds the first two."""
    with webhook_receiver() as dead:
        settings.EGRESS_ALLOW = [receiver.target, dead.target]
        dead.hold = threading.Event()
        backlog = [emit(alice, dead.url, subject=uuid4()) for _ in range(30)]
        her_other, his = emit(alice, receiver.url), emit(charlie, receiver.url)
        told = threading.Event()

        def let_go() -> None:
            receiver.wait_for(2)
            told.set()
            sending.stop_sign.set()
            dead.hold.set()

        watch = threading.Thread(target=let_go)
        watch.start()
        try:
            sending.send_due()
        finally:
            watch.join()
            sending.stop_sign.clear()

    assert told.is_set()
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert (states[her_other.pk], states[his.pk]) == (State.SENT, State.SENT)
    tried = Delivery.objects.filter(pk__in=[row.pk for row in backlog], attempts__gt=0)
    assert tried.count() == sending.AT_ONCE_PER_HOST


def test_one_account_fills_only_its_share_of_a_sender(alice: User, charlie: User) -> None:
    for number in range(20):
        emit(alice, f"https://host{number}.example/", subject=uuid4())
    his = emit(charlie, "https://host0.example/")

    taken = [delivery for delivery, _ in sending.claim(sending.AT_ONCE)]

    assert len([row for row in taken if row.user == alice]) == sending.AT_ONCE_PER_ACCOUNT
    assert his in taken


def test_the_events_of_a_job_arrive_in_their_order(alice: User, receiver: Receiver) -> None:
    started, _ = (emit(alice, receiver.url, event) for event in ("job.started", "job.completed"))
    assert list(sending.due()) == [started]

    assert sending.send_due() == 2

    assert [got.headers["x-webhook-event"] for got in receiver.requests] == ["job.started", "job.completed"]


def test_an_event_does_not_wait_for_the_retries_of_the_one_before(alice: User, receiver: Receiver) -> None:
    started, completed = (emit(alice, receiver.url, event) for event in ("job.started", "job.completed"))
    receiver.answers.append(503)

    sending.send_due()

    started.refresh_from_db()
    completed.refresh_from_db()
    assert (started.state, completed.state) == (State.PENDING, State.SENT)


def test_a_stopping_worker_ends_what_is_under_way_and_takes_nothing_more(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda name: rung.append(name) or True)
    emit(alice, receiver.url)
    sending.stop_sign.set()
    try:
        assert sending.send_due() == 0
    finally:
        sending.stop_sign.clear()

    assert receiver.requests == []
    assert len(rung) == 1, "the next worker is told"


# --- senders that die --------------------------------------------------------------------------


def lose_a_sender(delivery: Delivery) -> None:
    """As kill -9 in the middle of an exchange leaves things."""
    (taken,) = sending.claim(1)
    assert taken[0] == delivery


def test_a_sender_that_died_leaves_its_attempt_and_the_next_is_due_a_minute_later(
    alice: User, receiver: Receiver
) -> None:
    delivery = emit(alice, receiver.url)
    lose_a_sender(delivery)
    delivery.refresh_from_db()
    assert delivery.next_attempt_at is not None
    wait = (delivery.next_attempt_at - timezone.now()).total_seconds()
    assert sending.send_due() == 0, "its sender may still be there"
    make_due(delivery)

    assert sending.send_due() == 1

    assert 50 < wait <= 60
    assert receiver.requests[0].headers["webhook-id"] == str(delivery.pk)
    rows = [(row.number, row.status_code, row.error) for row in Attempt.objects.all()]
    assert rows == [(1, None, sending.LOST), (2, 200, "")]


def test_a_delivery_that_kills_its_senders_is_given_up_after_its_attempts(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    for _ in range(10):
        lose_a_sender(delivery)
        make_due(delivery)

    assert sending.send_due() == 0

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.FAILED, 10)
    assert delivery.note == "The sender was lost during the last attempt."


def test_an_answer_that_comes_after_the_next_attempt_began_changes_nothing(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    lose_a_sender(delivery)
    slow = Delivery.objects.get()
    make_due(delivery)
    lose_a_sender(delivery)

    sending.settle(slow, sending.Outcome(200))

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.PENDING, 2)
    assert [row.status_code for row in Attempt.objects.all()] == [200, None]


def test_the_reconciler_rings_when_something_is_due_and_only_then(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda name: rung.append(name) or True)
    delivery = emit(alice, receiver.url)

    assert sending.ring_for_due() == 1
    sending.send_due()
    assert sending.ring_for_due() == 0
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING, next_attempt_at=timezone.now() + timedelta(hours=1)
    )
    assert sending.ring_for_due() == 0

    assert len(rung) == 1
