"""Deliveries over real HTTP: both signatures, every attempt kept, nobody told twice by accident or kept waiting."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from apps.accounts.models import Mail, User
from apps.webhooks import sending, services, signing
from apps.webhooks.models import Attempt, Delivery, Endpoint
from tests.fakes import Receiver
from tests.webhooks.conftest import JOB, emit, make_due

State = Delivery.State
LATER = UUID(int=2)


def test_a_delivery_carries_both_signatures_of_the_same_bytes(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)

    assert sending.send_due() == 1

    (got,) = receiver.requests
    secret = signing.of_account(alice).secret
    assert got.body == delivery.body.encode()
    assert json.loads(got.body)["data"] == {"id": str(JOB), "note": "naïve ✂"}
    assert Webhook(secret).verify(got.body, got.headers) == json.loads(delivery.body)
    stamp = got.headers["x-webhook-timestamp"]
    mine = hmac.new(secret.encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-webhook-signature"] == f"sha256={mine}"
    assert datetime.fromisoformat(stamp).timestamp() == int(got.headers["webhook-timestamp"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp)) < timedelta(seconds=10)
    assert got.headers["x-webhook-event"] == "job.completed"
    assert got.headers["x-webhook-delivery-id"] == got.headers["webhook-id"] == str(delivery.pk)
    assert got.headers["content-type"] == "application/json"


def test_a_delivery_names_the_request_that_it_came_of(alice: User, receiver: Receiver) -> None:
    services.emit(alice, "job.completed", body={"of": "shop-1"}, url=receiver.url, subject=JOB, request_id="shop-1")
    services.emit(alice, "job.completed", body={"of": None}, url=receiver.url, subject=LATER)

    sending.send_due()

    told = [(got.headers.get("x-request-id"), json.loads(got.body)["data"]["of"]) for got in receiver.requests]
    assert sorted(told, key=str) == [("shop-1", "shop-1"), (None, None)]


def test_an_endpoint_is_signed_to_with_its_own_secret(alice: User, receiver: Receiver) -> None:
    _, secret = services.create_endpoint(alice, url=receiver.url)
    services.emit(alice, "credits.low", body={"available": 4.5})

    sending.send_due()

    (got,) = receiver.requests
    assert Webhook(secret).verify(got.body, got.headers)["data"] == {"available": 4.5}
    assert secret != signing.of_account(alice).secret


def test_a_2xx_ends_it(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.append(201)

    sending.send_due()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (State.SENT, 1, None)
    assert (delivery.finished_at is not None, delivery.sending_until) == (True, None)
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.status_code, attempt.error, attempt.response_excerpt) == (1, 201, "", "thank you")
    assert sending.send_due() == 0
    assert len(receiver.requests) == 1


def test_failures_are_tried_again_on_the_schedule_until_it_ends(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.extend([500] * 10)
    waits = []

    while True:
        make_due(delivery)
        assert sending.send_due() == 1
        delivery.refresh_from_db()
        if delivery.next_attempt_at is None:
            break
        waits.append((delivery.next_attempt_at - timezone.now()).total_seconds())
        assert sending.send_due() == 0, "not before its time"

    assert (delivery.state, delivery.attempts) == (State.FAILED, 10)
    assert [row.status_code for row in delivery.attempt_set.all()] == [500] * 10
    expected = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert len(waits) == len(expected)
    for wait, planned in zip(waits, expected, strict=True):
        assert planned * 0.9 - 1 <= wait <= planned * 1.1


def test_a_redirect_is_a_failure_and_not_followed(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url)
    receiver.answers.append(302)
    receiver.headers["Location"] = "/elsewhere"

    sending.send_due()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.PENDING, 1)
    assert [r.path for r in receiver.requests] == ["/hook"]
    assert Attempt.objects.get().status_code == 302


def test_an_address_inside_is_refused_and_the_refusal_kept(alice: User, receiver: Receiver, settings: Settings) -> None:
    settings.EGRESS_ALLOW = []
    emit(alice, receiver.url)

    sending.send_due()

    attempt = Attempt.objects.get()
    assert attempt.status_code is None
    assert attempt.error == "The URL points to an address that is not on the public internet."
    assert receiver.requests == []


def test_a_receiver_that_never_answers_is_left(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.3)
    receiver.pause = 1.0
    delivery = emit(alice, receiver.url)

    sending.send_due()

    delivery.refresh_from_db()
    assert delivery.state == State.PENDING
    assert Attempt.objects.get().error == "The server at that URL did not finish within 0.3 seconds."


def test_an_answer_that_never_ends_is_cut_off_and_its_status_counts(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.5)
    receiver.drip = True
    delivery = emit(alice, receiver.url)

    sending.send_due()

    delivery.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (delivery.state, attempt.status_code) == (State.SENT, 200)
    assert 0 < len(attempt.response_excerpt) < 100


def test_a_fault_of_ours_with_one_receiver_does_not_end_the_sender(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, well = emit(alice, "http://broken.example/"), emit(alice, receiver.url, subject=LATER)
    post = sending.egress.post
    monkeypatch.setattr(
        sending.egress, "post", lambda url, *rest, **how: 1 / 0 if "broken" in url else post(url, *rest, **how)
    )

    assert sending.send_due() == 2

    broken.refresh_from_db()
    well.refresh_from_db()
    assert (broken.state, well.state) == (State.PENDING, State.SENT)
    assert broken.attempt_set.get().error == "Something went wrong on our side and was noted."


# --- receivers that are gone -------------------------------------------------------------------


def test_a_410_disables_the_endpoint_and_ends_what_was_on_its_way(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    (first,) = services.emit(alice, "job.started", body={}, subject=JOB)
    (waiting,) = services.emit(alice, "job.started", body={}, subject=LATER)
    Delivery.objects.filter(pk=waiting.pk).update(next_attempt_at=timezone.now() + timedelta(hours=1), attempts=1)
    receiver.answers.append(410)

    sending.send_due()

    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "gone")
    (letter,) = Mail.objects.filter(user=alice, kind="webhook_disabled")
    assert (letter.context["url"], letter.context["because"]) == (endpoint.url, "it answered 410 Gone")
    rows = [Delivery.objects.get(pk=row.pk) for row in (first, waiting)]
    assert [(row.state, row.note) for row in rows] == [
        (State.FAILED, ""),
        (State.FAILED, "The endpoint was disabled because it answered 410 Gone."),
    ]
    assert services.emit(alice, "job.completed", body={}, subject=JOB) == []


def test_a_410_of_a_jobs_own_receiver_ends_the_telling_of_that_job(alice: User, receiver: Receiver) -> None:
    delivery = emit(alice, receiver.url, "job.started")
    receiver.answers.append(410)

    sending.send_due()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.FAILED, 1)
    assert services.emit(alice, "job.completed", body={}, url=receiver.url, subject=JOB) == []
    assert len(services.emit(alice, "job.completed", body={}, url=receiver.url, subject=LATER)) == 1


def exhaust(delivery: Delivery, receiver: Receiver) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(attempts=9)
    receiver.answers.append(500)
    sending.send_due()
    delivery.refresh_from_db()
    assert delivery.state == State.FAILED


@pytest.mark.parametrize(("days", "is_enabled"), [(4, True), (6, False)])
def test_an_endpoint_that_failed_for_days_is_disabled(
    alice: User, endpoint: Endpoint, receiver: Receiver, days: int, is_enabled: bool
) -> None:
    (delivery,) = services.emit(alice, "job.started", body={}, subject=JOB)
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=days))

    exhaust(delivery, receiver)

    endpoint.refresh_from_db()
    assert endpoint.is_enabled == is_enabled
    assert Mail.objects.filter(user=alice, kind="webhook_disabled").exists() == (not is_enabled)


def test_one_success_makes_an_endpoint_well_again(alice: User, endpoint: Endpoint, receiver: Receiver) -> None:
    services.emit(alice, "job.started", body={}, subject=JOB)
    receiver.answers.append(500)
    sending.send_due()
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None

    services.emit(alice, "job.started", body={}, subject=LATER)
    sending.send_due()

    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_what_slipped_in_while_its_endpoint_was_disabled_is_ended_and_not_sent(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    (delivery,) = services.emit(alice, "job.started", body={}, subject=JOB)
    Endpoint.objects.update(disabled_at=timezone.now(), disabled_because="owner")

    assert sending.send_due() == 0

    delivery.refresh_from_db()
    assert (delivery.state, delivery.note) == (State.FAILED, "The endpoint was disabled by its owner.")
    assert receiver.requests == []


# --- rotation ----------------------------------------------------------------------------------


def sent_now(alice: User, receiver: Receiver) -> tuple[bytes, dict[str, str]]:
    services.emit(alice, "credits.low", body={})
    sending.send_due()
    return receiver.requests[-1].body, receiver.requests[-1].headers


def x_secret(body: bytes, headers: dict[str, str], *secrets: str) -> str:
    """Which of these signed the X- family."""
    signed = headers["x-webhook-timestamp"].encode() + b"." + body
    (found,) = [
        secret
        for secret in secrets
        if headers["x-webhook-signature"] == "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    ]
    return found


def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    old = signing.of_endpoint(endpoint).secret
    new = signing.rotate(signing.of_endpoint(endpoint)).secret

    body, headers = sent_now(alice, receiver)

    assert Webhook(old).verify(body, headers) == Webhook(new).verify(body, headers) == json.loads(body)
    assert x_secret(body, headers, old, new) == old, "one place: those who verify it know only the old one yet"
    signing.SigningSecret.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    body, headers = sent_now(alice, receiver)
    assert headers["webhook-signature"].count("v1,") == 1
    assert Webhook(new).verify(body, headers)
    assert x_secret(body, headers, old, new) == new


def test_a_rotation_without_overlap_forgets_the_old_secret_at_once(
    alice: User, endpoint: Endpoint, receiver: Receiver
) -> None:
    old = signing.of_endpoint(endpoint).secret
    new = signing.rotate(signing.of_endpoint(endpoint), overlap=timedelta(0)).secret

    body, headers = sent_now(alice, receiver)

    assert headers["webhook-signature"].count("v1,") == 1
    assert x_secret(body, headers, old, new) == new
    assert signing.of_endpoint(endpoint).previous_secret == ""


def test_no_log_line_carries_a_secret_or_an_address(
    alice: User, endpoint: Endpoint, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    services.change_endpoint(endpoint, url=f"{receiver.url}?token=hidden")
    secret = signing.rotate(signing.of_endpoint(endpoint)).secret

    sent_now(alice, receiver)

    lines = [record.getMessage() for record in caplog.records if record.name.startswith("apps.")]
    assert any("webhook delivery=" in line for line in lines)
    assert [line for line in lines if "hidden" in line or secret in line] == []
