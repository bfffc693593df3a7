"""Webhook endpoints over the API: kept, changed, tried out, and their secrets told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.webhooks import sending, services, signing
from apps.webhooks.models import Delivery, Endpoint
from tests.api.conftest import JSON
from tests.fakes import webhook_receiver

pytestmark = pytest.mark.django_db

HOOK = "https://example.org/hook"
JOB = UUID("11111111-2222-3333-4444-555555555555")


def post(client: Client, path: str, body: object = None, **headers: str) -> Any:
    return client.post(f"/v1/webhooks{path}", body or {}, content_type=JSON, headers=headers)


def patch(client: Client, endpoint: Endpoint, **fields: object) -> Any:
    return client.patch(f"/v1/webhooks/{endpoint.pk}", fields, content_type=JSON)


@pytest.fixture
def endpoint(alice: User) -> Endpoint:
    return services.create_endpoint(alice, url=HOOK)[0]


def delivered(alice: User, endpoint: Endpoint) -> Delivery:
    (delivery,) = services.emit(alice, "job.completed", body={"id": str(JOB)}, subject=JOB, request_id="req_1")
    sending.claim(1)
    sending.settle(Delivery.objects.get(pk=delivery.pk), sending.Outcome(503, "come back later", "", 12))
    return Delivery.objects.get(pk=delivery.pk)


def test_an_endpoint_is_made_and_its_secret_told_once(api: Client, alice: User) -> None:
    made = post(api, "", {"url": HOOK, "events": ["job.failed", "job.completed"], "description": "orders"})

    endpoint = Endpoint.objects.get(user=alice)
    body = made.json()
    assert made.status_code == 201
    assert body.pop("secret") == signing.of_endpoint(endpoint).secret
    assert body == {
        "id": str(endpoint.pk),
        "url": HOOK,
        "description": "orders",
        "events": ["job.completed", "job.failed"],
        "enabled": True,
        "disabled_because": None,
        "disabled_at": None,
        "failing_since": None,
        "old_secret_until": None,
        "created_at": endpoint.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert api.get(f"/v1/webhooks/{endpoint.pk}").json() == body
    assert api.get("/v1/webhooks").json()["data"] == [body]


def test_without_events_an_endpoint_is_told_of_all(api: Client) -> None:
    assert post(api, "", {"url": HOOK}).json()["events"] == ["*"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://user:pw@example.org"}, "url"),
        ({"url": "https://example.org/" + "x" * 2000}, "url"),
        ({"url": HOOK, "events": []}, "events"),
        ({"url": HOOK, "events": "job.failed"}, "events"),
        ({"url": HOOK, "events": ["job.exploded"]}, "events"),
        ({"url": HOOK, "events": [1]}, "events"),
        ({"url": HOOK, "description": "x" * 201}, "description"),
        ({"url": HOOK, "secret": "whsec_mine"}, "secret"),
    ],
)
def test_a_wrong_field_is_named(api: Client, body: dict[str, object], param: str) -> None:
    refused = post(api, "", body)

    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"].split(".")[0]) == (422, "invalid_request", param)
    assert Endpoint.objects.count() == 0


def test_an_account_has_no_more_endpoints_than_allowed(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 1)
    post(api, "", {"url": HOOK})

    refused = post(api, "", {"url": HOOK})

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "limit_exceeded")


def test_what_is_given_is_changed_and_the_rest_stays(api: Client, endpoint: Endpoint) -> None:
    changed = patch(api, endpoint, events=["credits.low"], enabled=False).json()

    assert (changed["url"], changed["events"], changed["enabled"]) == (HOOK, ["credits.low"], False)
    assert changed["disabled_because"] == "owner"
    again = patch(api, endpoint, url=f"{HOOK}/2", enabled=True, description="").json()
    assert (again["url"], again["enabled"], again["disabled_because"]) == (f"{HOOK}/2", True, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"enabled": "yes"}, "enabled"), ({"url": ""}, "url"), ({"events": []}, "events"), ({"secret": "x"}, "secret")],
)
def test_a_wrong_change_changes_nothing(api: Client, endpoint: Endpoint, fields: dict[str, Any], param: str) -> None:
    refused = patch(api, endpoint, **{"description": "new", **fields})

    assert (refused.status_code, refused.json()["error"]["param"]) == (422, param)
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.is_enabled) == ("", True)


def test_a_deleted_endpoint_is_not_found_again(api: Client, endpoint: Endpoint) -> None:
    gone = api.delete(f"/v1/webhooks/{endpoint.pk}")

    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(f"/v1/webhooks/{endpoint.pk}").status_code == 404
    assert api.get("/v1/webhooks").json()["total"] == 0


def test_a_rotation_tells_the_new_secret_once_and_until_when_the_old_one_signs(api: Client, endpoint: Endpoint) -> None:
    old = signing.of_endpoint(endpoint).secret

    told = post(api, f"/{endpoint.pk}/rotate", {"overlap_hours": 2}).json()

    kept = signing.of_endpoint(endpoint)
    assert (told["secret"], kept.previous_secret) == (kept.secret, old)
    assert told["old_secret_until"] is not None
    assert "secret" not in api.get(f"/v1/webhooks/{endpoint.pk}").json()
    assert post(api, f"/{endpoint.pk}/rotate", {"overlap_hours": 0}).json()["old_secret_until"] is None


@pytest.mark.parametrize("hours", [-1, 169, 1.5, "2", True])
def test_an_overlap_is_a_whole_number_of_hours_within_a_week(api: Client, endpoint: Endpoint, hours: object) -> None:
    refused = post(api, f"/{endpoint.pk}/rotate", {"overlap_hours": hours})

    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "overlap_hours")


def test_a_key_sent_twice_makes_one_endpoint_and_one_rotation(api: Client, endpoint: Endpoint) -> None:
    bodies = [post(api, "", {"url": HOOK}, idempotency_key="a").json() for _ in range(2)]
    rotated = [post(api, f"/{endpoint.pk}/rotate", idempotency_key="b").json() for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert rotated[0] == rotated[1]
    assert Endpoint.objects.count() == 2


def test_the_log_shows_each_delivery_with_its_attempts(api: Client, alice: User, endpoint: Endpoint) -> None:
    delivery = delivered(alice, endpoint)

    (row,) = api.get(f"/v1/webhooks/{endpoint.pk}/deliveries").json()["data"]

    (attempt,) = row.pop("attempts")
    assert (row["id"], row["event"], row["state"], row["job_id"]) == (
        str(delivery.pk),
        "job.completed",
        "pending",
        str(JOB),
    )
    assert (row["request_id"], row["url"], row["next_attempt_at"] is None) == ("req_1", HOOK, False)
    del attempt["created_at"]
    assert attempt == {
        "number": 1,
        "status_code": 503,
        "error": "",
        "response_excerpt": "come back later",
        "duration_ms": 12,
    }
    one = api.get(f"/v1/webhooks/{endpoint.pk}/deliveries/{delivery.pk}").json()
    assert one["body"] == delivery.body


def test_an_attempt_that_is_under_way_is_not_told_as_lost(api: Client, alice: User, endpoint: Endpoint) -> None:
    services.emit(alice, "job.completed", body={}, subject=JOB)
    sending.claim(1)
    path = f"/v1/webhooks/{endpoint.pk}/deliveries"

    (attempt,) = api.get(path).json()["data"][0]["attempts"]
    Delivery.objects.update(sending_until=timezone.now() - timedelta(seconds=1))
    (lost,) = api.get(path).json()["data"][0]["attempts"]

    assert (attempt["status_code"], attempt["error"]) == (None, "It is being sent now.")
    assert lost["error"] == sending.LOST


def test_the_log_is_filtered(api: Client, alice: User, endpoint: Endpoint) -> None:
    delivered(alice, endpoint)
    path = f"/v1/webhooks/{endpoint.pk}/deliveries"

    totals = [
        api.get(f"{path}?{query}").json().get("total")
        for query in ("state=pending", "state=sent", "event=job.completed", "event=job.failed", "limit=1&offset=1")
    ]

    assert totals == [1, 0, 1, 0, 1]
    assert api.get(f"{path}?state=lost").status_code == 422


def test_a_test_and_a_replay_are_sent_and_seen_in_the_log(api: Client, endpoint: Endpoint, settings: Any) -> None:
    with webhook_receiver() as receiver:
        settings.EGRESS_ALLOW = [receiver.target]
        patch(api, endpoint, url=receiver.url)
        made = post(api, f"/{endpoint.pk}/test")
        sending.send_due()
        replayed = post(api, f"/{endpoint.pk}/deliveries/{made.json()['id']}/replay")
        sending.send_due()

    assert (made.status_code, made.json()["event"], made.json()["state"]) == (201, "webhook.test", "pending")
    assert (replayed.status_code, replayed.json()["state"]) == (200, "pending")
    assert [request.headers["webhook-id"] for request in receiver.requests] == [made.json()["id"]] * 2
    (row,) = api.get(f"/v1/webhooks/{endpoint.pk}/deliveries").json()["data"]
    assert (row["state"], [attempt["status_code"] for attempt in row["attempts"]]) == ("sent", [200, 200])


def test_what_a_jobs_own_receiver_was_told_is_seen_and_sent_again(api: Client, alice: User, settings: Any) -> None:
    """It has no endpoint, so it is found under no endpoint."""
    with webhook_receiver() as receiver:
        settings.EGRESS_ALLOW = [receiver.target]
        services.emit(alice, "job.completed", body={"id": str(JOB)}, subject=JOB, url=receiver.url)
        services.emit(alice, "job.completed", body={}, subject=uuid4(), url=receiver.url)
        sending.send_due()
        (row,) = api.get(f"/v1/webhooks/deliveries?job_id={JOB}").json()["data"]
        replayed = post(api, f"/deliveries/{row['id']}/replay")
        sending.send_due()

    assert (row["endpoint_id"], row["job_id"], row["url"], row["state"]) == (None, str(JOB), receiver.url, "sent")
    assert (replayed.status_code, replayed.json()["state"]) == (200, "pending")
    one = api.get(f"/v1/webhooks/deliveries/{row['id']}").json()
    assert [attempt["status_code"] for attempt in one["attempts"]] == [200, 200]
    told = [request.body.decode() for request in receiver.requests if request.headers["webhook-id"] == row["id"]]
    assert told == [one["body"]] * 2


def test_all_deliveries_are_those_of_the_account(
    api: Client, alice: User, charlie: User, caller: Any, endpoint: Endpoint
) -> None:
    delivery = delivered(alice, endpoint)
    his = services.emit(charlie, "job.failed", body={}, subject=JOB, url=HOOK)[0]
    path = "/v1/webhooks/deliveries"

    assert [row["id"] for row in api.get(path).json()["data"]] == [str(delivery.pk)]
    assert [api.get(f"{path}?{query}").json()["total"] for query in ("state=sent", "event=job.completed")] == [0, 1]
    assert [api.get(f"{path}?{query}").status_code for query in ("job_id=x", "endpoint=1")] == [422, 422]
    assert api.get(f"{path}/{his.pk}").status_code == 404
    assert post(api, f"/deliveries/{his.pk}/replay").status_code == 404
    assert caller(alice, scopes=("jobs:read",)).get(path).status_code == 403
    api.delete(f"/v1/webhooks/{endpoint.pk}")
    assert api.get(path).json()["total"] == 0


def test_nothing_is_replayed_to_a_disabled_endpoint(api: Client, alice: User, endpoint: Endpoint) -> None:
    delivery = delivered(alice, endpoint)
    patch(api, endpoint, enabled=False)

    refused = post(api, f"/{endpoint.pk}/deliveries/{delivery.pk}/replay")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")


def test_a_delivery_is_found_under_its_own_endpoint_only(api: Client, alice: User, endpoint: Endpoint) -> None:
    delivery = delivered(alice, endpoint)
    other, _ = services.create_endpoint(alice, url=HOOK)

    assert api.get(f"/v1/webhooks/{other.pk}/deliveries/{delivery.pk}").status_code == 404
    assert post(api, f"/{other.pk}/deliveries/{delivery.pk}/replay").status_code == 404


def test_a_key_without_the_scope_is_refused(caller: Any, alice: User, endpoint: Endpoint) -> None:
    client = caller(alice, scopes=("jobs:read", "jobs:write"))

    answers = [
        client.get("/v1/webhooks"),
        post(client, "", {"url": HOOK}),
        patch(client, endpoint, enabled=False),
        client.delete(f"/v1/webhooks/{endpoint.pk}"),
        post(client, f"/{endpoint.pk}/rotate"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert answers[0].json()["error"]["code"] == "forbidden_scope"


def test_lists_cost_the_same_at_one_row_and_at_three(api: Client, alice: User, endpoint: Endpoint) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert api.get(path).status_code == 200
        return len(seen)

    paths = ("/v1/webhooks", f"/v1/webhooks/{endpoint.pk}/deliveries", "/v1/webhooks/deliveries")
    delivered(alice, endpoint)
    for path in paths:
        api.get(path)
    one = [queries(path) for path in paths]
    for _ in range(2):
        delivered(alice, endpoint)
        services.create_endpoint(alice, url=f"{HOOK}/other", events=["job.failed"])

    assert [queries(path) for path in paths] == one
