"""Endpoints, and who is to be told of what."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import django_rq
import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.errors import AppError
from apps.webhooks import sending, services, signing
from apps.webhooks.models import Delivery, Endpoint
from tests.fakes import Receiver
from tests.webhooks.conftest import JOB, emit

State = Delivery.State
HOOK = "https://example.org/h"


def told(user: User, event: str, url: str = "") -> list[str]:
    """Who was written down to be told."""
    return [row.url for row in services.emit(user, event, url=url, body={}, subject=JOB)]


# --- emit --------------------------------------------------------------------------------------


def test_emit_fixes_the_body_and_who_it_is_for(alice: User) -> None:
    (delivery,) = services.emit(alice, "job.failed", url=HOOK, body={"id": str(JOB)}, subject=JOB, request_id="req_1")

    body = json.loads(delivery.body)
    created_at = body.pop("created_at")
    assert body == {"event": "job.failed", "id": str(delivery.pk), "data": {"id": str(JOB)}}
    assert datetime.fromisoformat(created_at).tzinfo is not None
    assert (delivery.user, delivery.request_id, delivery.state, delivery.attempts) == (alice, "req_1", State.PENDING, 0)
    assert (delivery.endpoint, delivery.host) == (None, "example.org")


def test_emit_without_a_receiver_writes_nothing(alice: User) -> None:
    assert told(alice, "job.started") == []
    assert services.emit(None, "job.started", url=HOOK, body={}, subject=JOB) == []
    assert Delivery.objects.count() == 0


def test_emit_tells_the_endpoints_that_asked_and_the_jobs_own_receiver(alice: User, charlie: User) -> None:
    services.create_endpoint(alice, url="https://all.example/")
    services.create_endpoint(alice, url="https://some.example/", events=["job.failed", "credits.low"])
    services.disable_endpoint(services.create_endpoint(alice, url="https://off.example/")[0])
    services.delete_endpoint(services.create_endpoint(alice, url="https://gone.example/")[0])
    services.create_endpoint(charlie, url="https://his.example/")

    assert told(alice, "job.completed", HOOK) == ["https://all.example/", HOOK]
    assert told(alice, "job.failed") == ["https://all.example/", "https://some.example/"]
    assert told(alice, "credits.low") == ["https://all.example/", "https://some.example/"]


def test_a_jobs_receiver_that_is_an_endpoint_too_is_told_once(alice: User) -> None:
    endpoint, _ = services.create_endpoint(alice, url=HOOK, events=["credits.low"])

    (delivery,) = services.emit(alice, "job.started", url=HOOK, body={}, subject=JOB)

    assert delivery.endpoint == endpoint


def test_an_event_nobody_knows_is_a_fault(alice: User) -> None:
    with pytest.raises(ValueError, match=r"job\.exploded"):
        services.emit(alice, "job.exploded", body={})


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_emit_leaves_nothing_when_the_transaction_fails(alice: User) -> None:
    with transaction.atomic():
        emit(alice, HOOK)
        transaction.set_rollback(True)

    assert Delivery.objects.count() == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_emit_stands_when_the_queue_is_down(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell cannot be rung, the caller is not told, and the row waits for the reconciler."""
    monkeypatch.setitem(django_rq.settings.QUEUES["webhooks"], "URL", "redis://127.0.0.1:1/0")

    delivery = emit(alice, HOOK)

    assert list(sending.due()) == [delivery]


def test_the_secret_for_receivers_of_jobs_is_one_per_account(alice: User, charlie: User) -> None:
    secret = signing.of_account(alice).secret

    assert secret.startswith("whsec_")
    assert signing.of_account(alice).secret == secret
    assert signing.of_account(charlie).secret != secret


# --- endpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "example.org/hook",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org/a b",
        "https://example.org:99999/",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_could_never_be_told_is_refused(alice: User, url: str) -> None:
    with pytest.raises(AppError) as refused:
        services.create_endpoint(alice, url=url)

    assert (refused.value.code, refused.value.param) == ("invalid_request", "url")
    assert Endpoint.objects.count() == 0


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["job.failed", "job.started", "job.failed"], ["job.started", "job.failed"]),
        (["job.failed", "*"], ["*"]),
    ],
)
def test_the_events_of_an_endpoint_are_kept_in_order_and_once(alice: User, asked: list[str], kept: list[str]) -> None:
    endpoint, _ = services.create_endpoint(alice, url=HOOK, events=asked)

    assert endpoint.events == kept


@pytest.mark.parametrize("asked", [[], ["job.exploded"], ["webhook.test"]])
def test_events_that_cannot_be_asked_for_are_refused(alice: User, asked: list[str]) -> None:
    with pytest.raises(AppError) as refused:
        services.create_endpoint(alice, url=HOOK, events=asked)

    assert (refused.value.code, refused.value.param) == ("invalid_request", "events")


def test_an_account_has_twenty_endpoints_and_no_more(alice: User, charlie: User) -> None:
    for number in range(20):
        services.create_endpoint(alice, url=f"{HOOK}/{number}")

    with pytest.raises(AppError) as refused:
        services.create_endpoint(alice, url=HOOK)
    services.create_endpoint(charlie, url=HOOK)
    services.delete_endpoint(Endpoint.objects.for_user(alice)[0])
    services.create_endpoint(alice, url=HOOK)

    assert refused.value.code == "limit_exceeded"
    assert Endpoint.objects.for_user(alice).count() == 20


def test_a_changed_address_is_where_waiting_deliveries_go(alice: User, receiver: Receiver) -> None:
    endpoint, _ = services.create_endpoint(alice, url="https://old.example/", events=["job.started"])
    services.emit(alice, "job.started", body={}, subject=JOB)

    services.change_endpoint(endpoint, url=receiver.url, events=["*"], description="new")
    sending.send_due()

    assert len(receiver.requests) == 1
    assert (endpoint.url, endpoint.events, endpoint.description) == (receiver.url, ["*"], "new")


def test_a_disabled_endpoint_is_told_nothing_until_it_is_enabled(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    (waiting,) = services.emit(alice, "job.started", body={}, subject=JOB)

    assert services.disable_endpoint(endpoint) is True
    assert services.disable_endpoint(endpoint) is False
    assert told(alice, "job.completed") == []
    assert services.enable_endpoint(endpoint) is True
    assert services.enable_endpoint(endpoint) is False
    assert told(alice, "job.completed") == [receiver.url]

    waiting.refresh_from_db()
    assert (waiting.state, waiting.note) == (State.FAILED, "The endpoint was disabled by its owner.")


def test_a_deleted_endpoint_is_told_nothing_and_its_log_stays(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    (sent,) = services.emit(alice, "job.started", body={}, subject=JOB)
    sending.send_due()
    (waiting,) = services.emit(alice, "job.completed", body={}, subject=JOB)

    services.delete_endpoint(endpoint)
    services.delete_endpoint(endpoint)

    assert list(Endpoint.objects.for_user(alice)) == []
    assert sending.send_due() == 0
    states = [Delivery.objects.get(pk=row.pk).state for row in (sent, waiting)]
    assert states == [State.SENT, State.FAILED]


# --- once more ---------------------------------------------------------------------------------


def test_replay_sends_the_same_bytes_under_the_same_id_again(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    sending.send_due()

    services.replay(delivery)
    sending.send_due()

    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.SENT, 2)


def test_a_replay_of_what_had_ended_is_one_attempt(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    sending.send_due()
    receiver.answers.extend([500, 500])

    for _ in range(2):
        services.replay(delivery)
        sending.send_due()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.next_attempt_at) == (State.FAILED, None)

    assert [row.status_code for row in delivery.attempt_set.all()] == [200, 500, 500]


def test_a_replay_of_what_waits_keeps_the_rest_of_its_schedule(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.extend([500, 500])
    sending.send_due()

    services.replay(delivery)
    assert sending.send_due() == 1

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_attempt) == (State.PENDING, 2, 10)


def test_a_replay_while_it_is_being_sent_changes_nothing(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    sending.claim(1)

    services.replay(delivery)

    assert sending.send_due() == 0
    assert delivery.attempts == 1


def test_nothing_is_sent_again_to_a_disabled_endpoint(alice: User, endpoint: Endpoint, receiver: Receiver) -> None:
    (delivery,) = services.emit(alice, "job.started", body={}, subject=JOB)
    sending.send_due()
    services.disable_endpoint(endpoint)
    delivery.refresh_from_db()

    with pytest.raises(AppError) as refused:
        services.replay(delivery)

    assert refused.value.code == "conflict"


def test_a_test_reaches_even_a_disabled_endpoint_and_is_tried_once(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    services.disable_endpoint(endpoint)
    receiver.answers.append(500)

    delivery = services.send_test(endpoint)
    sending.send_due()

    assert json.loads(receiver.requests[0].body)["event"] == "webhook.test"
    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.attempts, endpoint.failing_since) == (State.FAILED, 1, None)


def test_old_deliveries_are_swept_and_with_the_last_one_a_deleted_endpoint(
    alice: User, endpoint: Endpoint, receiver: Receiver, settings: Settings
) -> None:
    settings.WEBHOOK_LOG_DAYS = 30
    kept, old = emit(alice, receiver.url), emit(alice, receiver.url, "job.failed")
    services.delete_endpoint(endpoint)
    sending.send_due()
    services.sweep()
    assert Endpoint.objects.count() == 1

    Delivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    services.sweep()

    assert list(Delivery.objects.all()) == [kept]
    assert Endpoint.objects.count() == 1
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    services.sweep()
    assert (Delivery.objects.count(), Endpoint.objects.count()) == (0, 0)


def test_a_secret_out_of_use_is_erased(alice: User, endpoint: Endpoint) -> None:
    signing.rotate(signing.of_endpoint(endpoint))
    services.sweep()
    assert signing.of_endpoint(endpoint).previous_secret != ""
    signing.SigningSecret.objects.update(previous_until=timezone.now() - timedelta(seconds=1))

    services.sweep()

    assert signing.of_endpoint(endpoint).previous_secret == ""
