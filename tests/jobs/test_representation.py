from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Mail, User
from apps.engine.options import Background
from apps.jobs import services
from apps.jobs.models import Job
from apps.jobs.representation import as_json, many
from apps.webhooks import services as webhooks
from apps.webhooks.models import Delivery
from tests.factories import make_asset, make_job, make_output, make_project
from tests.jobs.conftest import CHROMA

KEYS = [
    "id", "job_id", "status", "progress", "stage", "queue_position", "eta_seconds", "frames_done", "frames_total",
    "model", "model_version", "device", "output_format", "bg_type", "background", "video_url", "input", "output_url",
    "outputs", "error", "error_code", "credits", "warnings", "project", "metadata", "webhook_url", "webhook_events",
    "pricing_version", "retried_from", "preview_duration", "created_at", "started_at", "completed_at", "expires_at",
]  # fmt: skip
"""The contract's list of what a job answers, and what its retries and previews are known by."""

OUTPUT_KEYS = [
    "id", "kind", "format", "url", "bytes", "sha256", "width", "height", "frames", "duration", "alpha_mode",
    "has_audio",
]  # fmt: skip


def test_a_job_answers_exactly_the_contracts_keys_in_every_state(alice: User) -> None:
    for status in Job.Status.values:
        told = as_json(make_job(alice, status=status))
        assert sorted(told) == sorted(KEYS)
        assert json.loads(json.dumps(told)) == told
        assert told["status"] == status
        assert (told["error"] is not None, told["error_code"] is not None) == (status == "failed", status == "failed")


def test_a_finished_job_has_working_links(client: Client, alice: User) -> None:
    job = make_job(alice, status="completed")
    make_output(job, kind="matte")
    make_output(job, kind="poster", format_="webp")  # for pages only

    told = as_json(Job.objects.with_details().get(pk=job.pk))

    result, matte = told["outputs"]
    assert sorted(result) == sorted(OUTPUT_KEYS)
    assert (result["kind"], matte["kind"]) == ("result", "matte")
    assert told["output_url"] == result["url"]
    assert (result["bytes"], result["width"], result["frames"], result["alpha_mode"]) == (8, 320, 250, "straight")
    assert parse_qs(urlsplit(result["url"]).query)["filename"] == ["clip-cutout.webm"]
    answer = client.get(result["url"])
    assert (answer.status_code, b"".join(answer.streaming_content)) == (200, b"a cutout")
    assert told["credits"] == {"estimated": 7.5, "held": 0, "charged": 7.5}


def test_source_background_and_project_are_told(alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    job = make_job(
        alice, project=project, background=Background("color", (9, 162, 70)), metadata={"order": 7}, output_format="mp4"
    )

    told = as_json(job)

    assert told["bg_type"] == "color"
    assert told["background"] == {"type": "color", "color": "#09a246", "image_url": None, "image_id": None, "fit": None}
    assert told["project"] == {"id": str(project.pk), "name": "Launch film", "external_id": "shop-7"}
    assert (told["video_url"], told["metadata"]) == ("https://example.org/clip.mp4", {"order": 7})
    assert (told["input"]["duration"], told["input"]["bytes"], len(told["input"]["sha256"])) == (10.0, 16, 64)
    assert (told["stage"], told["queue_position"]) == ("waiting", 1)
    assert told["credits"] == {"estimated": 7.5, "held": 7.5, "charged": 0}
    assert told["created_at"].endswith("Z")


def test_a_background_picture_is_told_with_an_address(alice: User) -> None:
    picture = make_asset(alice, kind="background", content_type="image/png")
    job = make_job(alice, background=Background("image", None, "contain"), background_asset=picture)

    told = as_json(job)["background"]

    assert (told["type"], told["image_id"], told["fit"]) == ("image", str(picture.pk), "contain")
    assert told["image_url"].startswith(f"http://testserver/media/assets/{picture.pk}/source?")


def test_webhook_events_say_how_each_delivery_stands(alice: User) -> None:
    job = services.submit(alice, asset=make_asset(alice), options=CHROMA, webhook_url="https://example.org/hook")
    services.claim(job.pk, 1, "w")
    Delivery.objects.filter(event="job.started").update(state="sent")

    services.cancel(job)

    assert as_json(Job.objects.with_details().get(pk=job.pk))["webhook_events"] == {
        "job.started": "sent",
        "job.canceled": "pending",
    }
    body = json.loads(Delivery.objects.get(event="job.canceled").body)
    assert (body["event"], body["data"]["id"], body["data"]["status"]) == ("job.canceled", str(job.pk), "canceled")
    assert sorted(body["data"]) == sorted(KEYS)


def test_many_jobs_cost_the_queries_of_one(alice: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            told = many(list(Job.objects.with_details().order_by("queued_at")))
        assert [job["queue_position"] for job in told] == list(range(1, len(told) + 1))
        return len(captured)

    make_job(alice, project=make_project(alice), background_asset=make_asset(alice, kind="background"))
    at_one = queries()
    for _ in range(2):
        make_job(alice, project=make_project(alice), background_asset=make_asset(alice, kind="background"))

    assert queries() == at_one


def test_an_event_counts_as_sent_when_every_receiver_took_it(alice: User) -> None:
    webhooks.create_endpoint(alice, url="https://example.org/all")
    job = services.submit(alice, asset=make_asset(alice), options=CHROMA, webhook_url="https://example.org/hook")
    services.cancel(job)
    mine, account = Delivery.objects.filter(subject=job.pk).order_by("endpoint")
    shown = []

    for states in (("sent", "pending"), ("sent", "failed"), ("failed", "pending"), ("sent", "sent")):
        for delivery, state in zip((mine, account), states, strict=True):
            Delivery.objects.filter(pk=delivery.pk).update(state=state)
        shown.append(as_json(Job.objects.with_details().get(pk=job.pk))["webhook_events"]["job.canceled"])

    assert shown == ["pending", "failed", "pending", "sent"]


def test_an_owner_who_wants_it_is_mailed_of_the_end_but_not_of_a_cancel(alice: User) -> None:
    User.objects.update(mails_finished_jobs=True)
    for end in (lambda job: services.fail(job, "timeout", "It took too long."), services.cancel):
        end(services.submit(alice, asset=make_asset(alice), options=CHROMA))
    preview = replace(CHROMA, preview_duration=1.0)
    services.fail(services.submit(alice, asset=make_asset(alice), options=preview), "timeout", "It took too long.")

    (letter,) = Mail.objects.all()

    assert (letter.kind, letter.context["name"], letter.context["error"]) == (
        "job_finished",
        "clip.mp4",
        "It took too long.",
    )
