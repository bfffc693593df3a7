"""The deletion of an account: shut at once, carried through however often it breaks, and no name left anywhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.core import serializers
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from apps.accounts import closing, mail
from apps.accounts.models import ApiKey, DataRequest, Mail, User
from apps.accounts.services import issue_key
from apps.api.models import IdempotencyRecord
from apps.credits import audit
from apps.credits import services as credits
from apps.credits.models import LedgerEntry, Purchase, StripeEvent, Wallet
from apps.errors import AppError, Unavailable
from apps.jobs import leaving, retention
from apps.jobs.models import Job, Output
from apps.projects.models import Asset, Project, Upload, media_storage
from apps.webhooks import services as webhooks
from apps.webhooks.models import Delivery, Endpoint, SigningSecret
from tests.factories import make_asset, make_job, make_output, make_project

ADDRESS = "203.0.113.77"
PERSONAL = ("alice", "secret-word", ADDRESS)
"""What stands in everything that she named."""
KEPT_WORDS = {
    "status",
    "stage",
    "model",
    "need",
    "output_format",
    "request_id",
    "delete_request",
    "worker",
    "model_version",
    "device",
    "error_code",
}
"""Texts of a job that are ours; every other one counts as hers, also those that later versions add."""


@pytest.fixture
def hers(alice: User) -> dict[str, Any]:
    """One of everything, with something personal in every text that may hold it."""
    User.objects.filter(pk=alice.pk).update(name="Alice secret-word", mails_finished_jobs=True)
    alice.refresh_from_db()
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "x"})
    project = make_project(alice, name="secret-word film", external_id="secret-word-7", defaults={"model": "pro"})
    asset = make_asset(alice, project=project, filename="secret-word.mp4")
    named: dict[str, Any] = {
        "metadata": {"client": "secret-word"},
        "video_url": "https://cdn.example.org/alice/secret-word.mp4?key=1",
        "requested": {"metadata": {"client": "secret-word"}},
        "webhook_url": "https://alice.example.org/secret-word",
        "result": {"log_tail": "secret-word.mp4: fine", "seconds": 2.5},
    }
    done = make_job(alice, asset=asset, project=project, status="completed", **named)
    texts = [field for field in Job._meta.get_fields() if isinstance(field, models.CharField | models.TextField)]
    hers = {field.name: "secret-word" for field in texts if field.name not in {*KEPT_WORDS, "video_url", "webhook_url"}}
    addresses = [f for f in Job._meta.get_fields() if isinstance(f, models.GenericIPAddressField)]
    Job.objects.filter(pk=done.pk).update(**hers, **{field.name: ADDRESS for field in addresses})
    make_output(done, kind="matte")
    make_output(done, kind="poster", format_="webp")
    fetched = Asset.objects.create(owner=alice, project=project, source_url="https://a.example.org/secret-word.mp4")
    waiting = make_job(alice, asset=make_asset(alice, filename="alice.mp4"), status="queued", metadata={"a": "alice"})
    endpoint, _ = webhooks.create_endpoint(alice, url="https://alice.example.org/secret-word")
    webhooks.emit(
        alice, "job.completed", body={"who": "secret-word"}, url="https://x.example.org/alice", subject=done.pk
    )
    mail.job_finished(alice, job_id=done.pk, name="secret-word.mp4", is_completed=True, error="")
    purchase = Purchase.objects.create(
        user=alice, pack="starter", credits=1, amount=1, currency="usd", pricing_version=1, status="paid",
        session_id="cs_1", session_url="https://pay.example.org/alice", payment_intent="pi_1",
    )  # fmt: skip
    paid = {"id": "cs_1", "amount_total": 900, "customer_details": {"email": alice.email, "name": "Alice secret-word"}}
    event = StripeEvent.objects.create(id="evt_1", type="x", payload={"data": {"object": paid}})
    IdempotencyRecord.objects.create(
        user=alice, key="secret-word", fingerprint="f", lease_until=timezone.now(), body='{"a": "secret-word"}'
    )
    Upload.objects.create(
        owner=alice, size=10, part_size=10, filename="secret-word.mov", expires_at=timezone.now() + timedelta(hours=1)
    )
    _, key = issue_key(alice, name="secret-word laptop")
    return {"done": done, "waiting": waiting, "asset": asset, "fetched": fetched, "endpoint": endpoint, "key": key,
            "purchase": purchase, "event": event, "project": project}  # fmt: skip


def left_of(words: tuple[str, ...]) -> list[str]:
    """Every row of the whole database in which one of these words stands."""
    found = []
    for model in (model for model in apps.get_models() if model._meta.managed):
        rows = serializers.serialize("python", model._default_manager.all())
        found += [
            f"{row['model']} {row['pk']} {row['fields']}" for row in rows if any(w in str(row).lower() for w in words)
        ]
    return found


def close_and_clear(user: User) -> DataRequest:
    asked = closing.close(user)
    assert leaving.go_on() == 1
    asked.refresh_from_db()
    return asked


def test_at_once_nobody_is_let_in_any_more(client: Client, alice: User, hers: dict[str, Any]) -> None:
    browser = Client()
    browser.force_login(alice)

    closing.close(alice)

    assert browser.get("/account").status_code == 302
    assert client.get("/v1/credits", headers={"x-api-key": hers["key"]}).status_code == 401
    assert not client.login(email="alice@example.org", password="correct horse battery")
    alice.refresh_from_db()
    assert (alice.is_active, alice.has_usable_password(), alice.email) == (False, False, f"{alice.pk}@deleted.invalid")


def test_nothing_that_names_her_is_left_in_the_database(alice: User, hers: dict[str, Any]) -> None:
    """Looked for in every column of every table, so that a new one cannot be forgotten."""
    assert len(left_of(PERSONAL)) > 10

    close_and_clear(alice)

    assert left_of(PERSONAL) == []


def test_files_keys_and_webhooks_are_gone(alice: User, hers: dict[str, Any]) -> None:
    names = [str(file) for file in (*Output.objects.values_list("file", flat=True), hers["asset"].file.name)]

    close_and_clear(alice)

    assert len(names) == 4
    assert [name for name in names if media_storage().exists(name)] == []
    mine = (ApiKey, Endpoint, SigningSecret, Mail, Authenticator, EmailAddress, IdempotencyRecord, Delivery)
    assert [model.__name__ for model in mine if model._default_manager.exists()] == []
    assert Asset.objects.get(pk=hers["fetched"].pk).status == "deleted"


def test_the_books_and_the_records_of_jobs_stay(alice: User, hers: dict[str, Any]) -> None:
    close_and_clear(alice)

    done = Job.objects.get(pk=hers["done"].pk)
    assert (done.owner_id, done.project_id, done.status, done.model) == (
        alice.pk,
        hers["project"].pk,
        "completed",
        "light",
    )
    assert (done.charged, done.video_url, done.result) == (7_50, "https://cdn.example.org", {"seconds": 2.5})
    assert (done.asset.sha256, done.asset.facts["duration"]) == (hers["asset"].sha256, 10.0)
    assert Job.objects.get(pk=hers["waiting"].pk).status == "canceled"
    assert list(LedgerEntry.objects.order_by("id").values_list("kind", "amount")) == [
        ("grant", 100_00), ("capture", -7_50), ("lapse", -92_50),
    ]  # fmt: skip
    wallet = Wallet.objects.get(user=alice)
    assert (wallet.balance, wallet.held) == (0, 0)
    assert Purchase.objects.get(pk=hers["purchase"].pk).payment_intent == "pi_1"
    assert StripeEvent.objects.get().payload["data"]["object"] == {"id": "cs_1", "amount_total": 900}
    assert audit.audit() == []
    assert Project.objects.get(pk=hers["project"].pk).deleted_at


def test_others_keep_everything(alice: User, charlie: User, hers: dict[str, Any]) -> None:
    project = make_project(charlie, name="His film", external_id="his")
    job = make_job(charlie, status="completed", project=project, metadata={"a": 1})
    _, key = issue_key(charlie, name="laptop")
    before = serializers.serialize("json", [project, job, job.asset, *job.outputs.all(), charlie])

    close_and_clear(alice)

    rows = [type(row)._default_manager.get(pk=row.pk) for row in (project, job, job.asset, *job.outputs.all(), charlie)]
    assert serializers.serialize("json", rows) == before
    assert Client().get("/v1/credits", headers={"x-api-key": key}).status_code == 200


def test_a_round_that_is_killed_anywhere_is_taken_up_by_the_next(
    alice: User, hers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("_stop_work", "_delete_files", "_forget_programs", "_forget_words", "_forget_payments")
    closing.close(alice)

    for step in steps:
        with monkeypatch.context() as broken:
            broken.setattr(leaving, step, kill)
            with pytest.raises(KeyboardInterrupt):
                leaving.go_on()
    assert leaving.go_on() == 1

    assert left_of(PERSONAL) == []
    assert LedgerEntry.objects.filter(kind="lapse").count() == 1


def kill(*_: object) -> None:
    raise KeyboardInterrupt


def test_while_the_store_is_away_the_account_stays_shut_and_others_do_not_wait(
    alice: User, charlie: User, hers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, asked = hers["done"].outputs.first().file.name, [closing.close(alice), closing.close(charlie)]
    delete = media_storage().delete

    def away(name: str) -> None:
        if name == stuck:
            raise Unavailable("The store does not answer.")
        delete(name)

    with monkeypatch.context() as broken:
        broken.setattr(type(media_storage()), "delete", lambda storage, name: away(name))
        leaving.go_on()
    states = [DataRequest.objects.get(pk=one.pk).cleared_at is not None for one in asked]
    leaving.go_on()

    assert states == [False, True]
    assert left_of(PERSONAL) == []


def test_many_files_go_batch_by_batch(alice: User, hers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    closing.close(alice)

    rounds = 1
    while not leaving.go_on():
        rounds += 1

    assert 3 <= rounds <= 6
    assert not Output.objects.exclude(file="").exists()


def test_what_was_under_way_at_the_time_goes_with_the_last_look(alice: User, hers: dict[str, Any]) -> None:
    asked = close_and_clear(alice)
    late = make_asset(alice, filename="secret-word.mp4")
    at_once = leaving.go_on()
    DataRequest.objects.filter(pk=asked.pk).update(created_at=timezone.now() - leaving.UNDER_WAY)

    assert (at_once, leaving.go_on(), leaving.go_on()) == (0, 1, 0)
    asked.refresh_from_db()
    assert asked.done_at is not None
    assert Asset.objects.get(pk=late.pk).file.name == ""
    assert left_of(PERSONAL) == []


def test_the_address_may_sign_up_anew_but_gets_no_second_free_credits(alice: User, hers: dict[str, Any]) -> None:
    close_and_clear(alice)

    again = User.objects.create_user("Alice@example.org", "another good password")
    other = User.objects.create_user("new@example.org", "another good password")

    assert again.pk != alice.pk
    assert (credits.open_wallet(again).balance, credits.open_wallet(other).balance > 0) == (0, True)


def test_the_mark_of_an_address_outlives_a_change_of_the_sites_secret(alice: User, settings: Any) -> None:
    closing.close(alice)

    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another secret for tests"

    assert closing.had_account("Alice@example.org ")
    assert not closing.had_account("bob@example.org")


def test_closing_twice_is_closing_once(alice: User, hers: dict[str, Any]) -> None:
    first = closing.close(alice)

    assert closing.close(User.objects.get(pk=alice.pk)) == first
    assert closing.had_account("alice@example.org")


def test_staff_are_not_deleted_here(sue: User) -> None:
    with pytest.raises(AppError, match="rights in the admin"):
        closing.close(sue)

    sue.refresh_from_db()
    assert sue.is_active


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_mail_says_it_to_the_old_address(mailoutbox: list[Any]) -> None:
    """For an owner who did not do it."""
    assert connection.in_atomic_block is False
    closing.close(User.objects.create_user("dora@example.org", "correct horse battery"))

    assert [(letter.to, letter.subject) for letter in mailoutbox] == [(["dora@example.org"], "Your account is deleted")]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://cdn.example.org/people/alice.mp4?sig=1", "https://cdn.example.org"),
        ("https://alice:pw@cdn.example.org:8443/a", "https://cdn.example.org"),
        ("http://testserver/media/assets/1/source?filename=alice.mp4", "http://testserver/media/assets/1/source"),
        ("", ""),
        ("not a url", ""),
    ],
)
def test_of_a_source_only_where_it_came_from_is_kept(url: str, kept: str) -> None:
    assert leaving.without_path(url) == kept
