"""The pages on webhooks: endpoints made and changed, secrets shown on request only, and the log with its buttons."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.webhooks import sending, services, signing
from apps.webhooks.models import Delivery, Endpoint
from tests.factories import make_job
from tests.fakes import webhook_receiver

HOOK = "https://example.org/hook"
JOB = UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def endpoint(alice) -> Endpoint:
    return services.create_endpoint(alice, url=HOOK)[0]


def act(browser, name: str, row, **fields):
    return browser.post(reverse(name, args=[row.pk]), fields, follow=True)


def delivered(alice, status: int = 503, answer: str = "come back later") -> Delivery:
    (delivery,) = services.emit(alice, "job.completed", body={"note": "✂ <b>"}, subject=make_job(alice).pk)
    sending.claim(1)
    sending.settle(Delivery.objects.get(pk=delivery.pk), sending.Outcome(status, answer, "", 12))
    return Delivery.objects.get(pk=delivery.pk)


def test_an_endpoint_is_made_and_its_secret_shown_on_request_only(browser, alice):
    made = browser.post(reverse("web:webhooks"), {"url": HOOK, "events": ["job.failed"]}, follow=True)

    endpoint = Endpoint.objects.get(user=alice)
    secret = signing.of_endpoint(endpoint).secret
    assert made.redirect_chain[-1][0] == reverse("web:webhook", args=[endpoint.pk])
    assert (endpoint.url, endpoint.events) == (HOOK, ["job.failed"])
    assert secret not in made.content.decode()
    shown = act(browser, "web:webhook-secret", endpoint)
    assert secret in shown.content.decode()
    assert "no-store" in shown.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "https://user:pw@example.org", "events": ["*"]}, "url"),
        ({"url": "nowhere", "events": ["*"]}, "url"),
        ({"url": HOOK}, "events"),
        ({"url": HOOK, "events": ["job.exploded"]}, "events"),
    ],
)
def test_a_wrong_field_is_told_beside_it(browser, fields, wrong):
    page = browser.post(reverse("web:webhooks"), fields)

    assert list(page.context["form"].errors) == [wrong]
    assert Endpoint.objects.count() == 0


def test_one_endpoint_too_many_is_refused_in_words(browser, endpoint, monkeypatch):
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 1)

    page = browser.post(reverse("web:webhooks"), {"url": HOOK, "events": ["*"]})

    assert b"at most 1 webhook endpoints" in page.content


def test_an_endpoint_is_changed_disabled_enabled_and_deleted(browser, endpoint):
    act(browser, "web:webhook", endpoint, url=f"{HOOK}/2", description="orders", events=["credits.low", "job.failed"])
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.description, endpoint.events) == (
        f"{HOOK}/2",
        "orders",
        ["job.failed", "credits.low"],
    )

    assert b"is told nothing until it is enabled" in act(browser, "web:webhook-disable", endpoint).content
    endpoint.refresh_from_db()
    assert endpoint.is_enabled is False

    act(browser, "web:webhook-enable", endpoint)
    endpoint.refresh_from_db()
    assert endpoint.is_enabled is True

    gone = act(browser, "web:webhook-delete", endpoint)
    assert gone.redirect_chain[-1][0] == reverse("web:webhooks")
    assert browser.get(reverse("web:webhook", args=[endpoint.pk])).status_code == 404


@pytest.mark.parametrize(("hours", "both"), [("24", True), ("0", False)])
def test_a_new_secret_is_made_and_the_overlap_told(browser, endpoint, hours, both):
    old = signing.of_endpoint(endpoint).secret

    page = act(browser, "web:webhook-rotate", endpoint, overlap=hours)

    kept = signing.of_endpoint(endpoint)
    assert kept.secret != old
    assert kept.previous_secret == (old if both else "")
    assert (b"the old secret signs too" in page.content) == both


def test_the_secret_for_receivers_of_jobs_is_shown_on_request_and_exchanged(browser, alice):
    secret = signing.of_account(alice).secret

    assert secret not in browser.get(reverse("web:webhooks")).content.decode()
    assert secret in browser.post(reverse("web:webhooks-secret")).content.decode()
    browser.post(reverse("web:webhooks-rotate"), {"overlap": "24"})
    assert (signing.of_account(alice).secret != secret, signing.of_account(alice).previous_secret) == (True, secret)


def test_a_test_is_sent_and_its_page_shows_the_answer(browser, endpoint, settings):
    with webhook_receiver() as receiver:
        settings.EGRESS_ALLOW = [receiver.target]
        services.change_endpoint(endpoint, url=receiver.url)
        waiting = act(browser, "web:webhook-test", endpoint)
        sending.send_due()
        there = browser.get(waiting.redirect_chain[-1][0])

    assert b"about to be made" in waiting.content
    assert b'hx-trigger="every 2s"' in waiting.content
    assert b"Answered 200" in there.content
    assert b"thank you" in there.content
    assert b'hx-trigger="every 2s"' not in there.content


def test_a_delivery_shows_what_was_sent_and_answered_as_text(browser, alice, endpoint):
    delivery = delivered(alice, answer="<script>alert(1)</script>")

    page = browser.get(reverse("web:webhook-delivery", args=[delivery.pk])).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "✂ &lt;b&gt;" in page
    assert "Answered 503" in page
    assert reverse("web:job", args=[delivery.subject]) in page
    assert "Next attempt" in page


def test_a_failed_delivery_is_sent_again(browser, alice, endpoint):
    delivery = delivered(alice)
    Delivery.objects.update(state="failed", next_attempt_at=None)

    act(browser, "web:webhook-replay", delivery)

    assert list(sending.due()) == [delivery]


def test_a_replay_to_a_disabled_endpoint_is_refused_in_words(browser, alice, endpoint):
    delivery = delivered(alice)
    services.disable_endpoint(endpoint)

    page = act(browser, "web:webhook-replay", delivery)

    assert b"The endpoint is disabled: enable it, then send again." in page.content


def test_the_log_is_filtered_and_one_of_everything_holds_receivers_of_jobs_too(browser, alice, endpoint):
    sent, waiting = delivered(alice, 200), delivered(alice)
    (of_job,) = services.emit(alice, "job.failed", body={}, url="https://other.example/", subject=JOB)[1:]
    own = reverse("web:webhook", args=[endpoint.pk])

    def seen(address: str) -> list[Delivery]:
        return list(browser.get(address).context["page"])

    assert seen(f"{own}?state=sent") == [sent]
    assert {row.pk for row in seen(own)} >= {sent.pk, waiting.pk}
    assert of_job not in seen(own)
    assert of_job in seen(reverse("web:webhook-deliveries"))
    services.delete_endpoint(endpoint)
    assert seen(reverse("web:webhook-deliveries")) == [of_job]


def test_a_failing_endpoint_says_so(browser, alice, endpoint):
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=2))

    assert b">failing<" in browser.get(reverse("web:webhooks")).content
    assert b"it has taken nothing. After five days" in browser.get(reverse("web:webhook", args=[endpoint.pk])).content


def test_lists_cost_the_same_at_one_row_and_at_three(browser, alice, endpoint):
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(path).status_code == 200
        return len(seen)

    paths = [reverse("web:webhooks"), reverse("web:webhook", args=[endpoint.pk]), reverse("web:webhook-deliveries")]
    delivered(alice)
    for path in paths:
        browser.get(path)
    one = [queries(path) for path in paths]
    for _ in range(2):
        delivered(alice)
        services.create_endpoint(alice, url=f"{HOOK}/other", events=["credits.low"])

    assert [queries(path) for path in paths] == one
