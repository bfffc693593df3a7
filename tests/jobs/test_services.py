from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.credits.models import Hold
from apps.engine.composition import Composition
from apps.engine.edge import Edge
from apps.engine.options import Background, Options
from apps.jobs import attempts, projects, services
from apps.jobs.models import Job, JobEvent
from apps.jobs.options import parse_request
from apps.jobs.representation import as_json, options_of
from apps.projects.models import Asset, Project
from tests.factories import make_asset, make_project
from tests.jobs.conftest import CHROMA, a_result
from tests.jobs.steps import HOOK, LIGHT, claimed, purse, refusal, stored, submitted, timeline

# submit


def test_submit_prices_holds_and_queues_a_known_asset(alice: User) -> None:
    job = submitted(alice, request_id="req_1", metadata={"order": 7})

    assert (job.status, job.stage, job.estimated, job.held_seconds) == ("queued", "waiting", 10_00, 10.0)
    assert job.hold is not None
    assert (job.hold.amount, job.hold.state, job.hold.reference) == (10_00, "open", str(job.pk))
    assert purse(alice) == (100_00, 10_00)
    assert (job.metadata, job.request_id, job.frames_total) == ({"order": 7}, "req_1", 250)
    assert job.project == Project.objects.get(owner=alice, is_default=True)
    assert timeline(job) == ["created", "queued"]


def test_submit_bills_only_the_seconds_kept(alice: User) -> None:
    job = submitted(alice, options=Options(model="chroma", trim=(2.0, 5.5)))

    assert (job.estimated, job.held_seconds, job.frames_total) == (3_50, 3.5, 88)
    assert purse(alice) == (100_00, 3_50)


def test_submit_without_credits_leaves_nothing(bob: User) -> None:
    asset = make_asset(bob)

    error = refusal(lambda: services.submit(bob, asset=asset, options=CHROMA))

    details = {"needed": 10, "available": 0, "buy_url": "http://testserver/credits"}
    assert (error.code, error.status, error.details) == ("insufficient_credits", 402, details)
    assert (Job.objects.count(), Hold.objects.count(), JobEvent.objects.count()) == (0, 0, 0)
    assert purse(bob) == (0, 0)


def test_submit_refuses_a_model_that_is_not_installed(alice: User, settings: Any, tmp_path: Any) -> None:
    settings.MODELS_DIR = tmp_path

    error = refusal(lambda: submitted(alice, options=Options(model="pro")))

    assert (error.code, error.status, error.param) == ("model_not_installed", 503, "model")
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("facts", "options", "code", "param", "fix"),
    [
        ({"duration": 20.5}, Options("chroma", "gif"), "limit_exceeded", "output_format", '"end": 20'),
        ({"width": 1280, "height": 722}, Options("chroma", "webp"), "limit_exceeded", "output_format", "720 px"),
        ({}, Options("chroma", trim=(10.0, None)), "invalid_request", "trim.start", "10.00 s long"),
    ],
)
def test_submit_refuses_what_the_format_cannot_hold_with_the_fix(
    alice: User, facts: dict[str, Any], options: Options, code: str, param: str, fix: str
) -> None:
    asset = make_asset(alice, **facts)

    error = refusal(lambda: services.submit(alice, asset=asset, options=options))

    assert (error.code, error.param, error.status) == (code, param, 422)
    assert fix in error.message
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)


def test_submit_refuses_a_canvas_larger_than_this_site_makes(alice: User, settings: Any) -> None:
    settings.MAX_SIDE = 1920

    error = refusal(lambda: submitted(alice, options=Options("chroma", composition=Composition((1921, 100)))))

    assert (error.code, error.param, error.status) == ("limit_exceeded", "composition.canvas", 422)


def test_a_clip_cut_to_its_formats_limit_is_billed_for_what_is_kept(alice: User) -> None:
    asset = make_asset(alice, duration=60.0, frames=1500)
    options = Options("chroma", "gif", trim=(5.0, None), on_limit="reduce")

    job = submitted(alice, asset=asset, options=options)

    assert (job.estimated, job.held_seconds, job.frames_total) == (20_00, 20.0, 500)
    assert services.estimate(alice, asset.facts, options)["billed_seconds"] == 20.0
    assert services.estimate(alice, asset.facts, options)["credits"] == 20


def test_composition_and_edge_do_not_change_the_price(alice: User) -> None:
    asset = make_asset(alice)
    plain, shaped = Options("chroma"), Options("chroma", composition=Composition((64, 64)), edge=Edge(2.0, 1.0, 0.0))

    assert {**services.estimate(alice, asset.facts, plain), "output_bytes": {}} == {
        **services.estimate(alice, asset.facts, shaped),
        "output_bytes": {},
    }


def test_a_trim_brings_a_long_clip_within_a_formats_limit(alice: User) -> None:
    job = submitted(alice, asset=make_asset(alice, duration=60.0), options=Options("chroma", "gif", trim=(5.0, 25.0)))

    assert (job.status, job.estimated) == ("queued", 20_00)


def test_submit_refuses_a_source_that_is_gone(alice: User) -> None:
    asset = make_asset(alice)
    Asset.objects.filter(pk=asset.pk).update(status="deleted")
    asset.refresh_from_db()

    error = refusal(lambda: services.submit(alice, asset=asset, options=CHROMA))

    assert (error.code, error.status) == ("source_expired", 409)


def test_submit_refuses_a_picture_as_video_and_a_video_as_picture(alice: User) -> None:
    video, picture = make_asset(alice), make_asset(alice, kind="background")
    on_image = Options("chroma", background=Background("image"))

    assert refusal(lambda: services.submit(alice, asset=picture, options=CHROMA)).param == "video_url"
    assert (
        refusal(lambda: services.submit(alice, asset=video, background_asset=video, options=on_image)).param
        == "bg_image_url"
    )


def test_an_upload_is_found_by_id_and_by_address_and_only_by_its_owner(alice: User, charlie: User) -> None:
    asset = make_asset(alice)
    address = f"http://testserver/media/assets/{asset.pk}/source?expires=1&signature=old"

    by_id = services.submit(alice, video_url=str(asset.pk), options=CHROMA)
    by_address = services.submit(alice, video_url=address, options=CHROMA)

    assert (by_id.asset, by_address.asset) == (asset, asset)
    assert (by_id.video_url, by_address.video_url) == (address.split("?")[0], address)
    for text in (str(asset.pk), address):
        error = refusal(lambda text=text: services.submit(charlie, video_url=text, options=CHROMA))
        assert (error.code, error.param) == ("invalid_request", "video_url")
    assert Job.objects.for_user(charlie).count() == 0


def test_submit_request_reads_a_whole_request(alice: User) -> None:
    asset, picture = make_asset(alice), make_asset(alice, kind="background", width=64, height=64)
    fields = {
        "video_id": str(asset.pk),
        "model": "light",
        "background": {"type": "image", "image_id": str(picture.pk), "fit": "contain"},
        "project": "shop-7",
        "metadata": {"order": 7},
        "webhook_url": HOOK,
        "auto_start": False,
    }

    job = services.submit_request(alice, parse_request(fields), request_id="req_1")

    assert (job.status, job.asset, job.background_asset) == ("created", asset, picture)
    assert (job.project and job.project.external_id, job.metadata, job.webhook_url) == ("shop-7", {"order": 7}, HOOK)
    assert (job.requested, job.request_id) == (fields, "req_1")


def test_an_address_elsewhere_is_fetched_before_it_is_priced(alice: User) -> None:
    job = services.submit(alice, video_url="https://example.org/a%20clip.mp4", options=CHROMA)

    assert (job.status, job.stage, job.estimated, job.hold) == ("queued", "fetching", 0, None)
    assert job.asset is not None
    assert (job.asset.status, job.asset.source_url, job.asset.filename) == (
        "pending",
        "https://example.org/a%20clip.mp4",
        "a clip.mp4",
    )
    assert purse(alice) == (100_00, 0)
    assert services.queue_position(job) is None


# drafts


@pytest.mark.usefixtures("weights_here")
def test_a_draft_holds_nothing_until_it_is_started(alice: User) -> None:
    draft = submitted(alice, options=LIGHT, auto_start=False)
    assert (draft.status, draft.hold, draft.estimated, purse(alice)) == ("created", None, 7_50, (100_00, 0))

    job = services.start(draft)

    assert (job.status, job.stage, purse(alice)) == ("queued", "waiting", (100_00, 7_50))
    assert timeline(job) == ["created", "queued"]


@pytest.mark.usefixtures("weights_here")
def test_start_may_override_any_field(alice: User) -> None:
    other, project = make_asset(alice, duration=4.0), make_project(alice)
    request = parse_request({"video_id": str(make_asset(alice).pk), "bg_type": "white", "auto_start": False})
    draft = services.submit_request(alice, request)

    job = services.start(
        draft,
        video_id=str(other.pk),
        background={"type": "color", "color": "#102030"},
        output_format="png_sequence",
        model="light",
        trim={"start": 1},
        metadata={"a": 1},
        project=str(project.pk),
        webhook_url=HOOK,
    )

    assert options_of(job) == Options("light", "png_sequence", Background("color", (16, 32, 48)), (1.0, None))
    assert (job.status, job.asset, job.project, job.metadata) == ("queued", other, project, {"a": 1})
    assert (job.webhook_url, job.held_seconds, job.estimated) == (HOOK, 3.0, 2_25)


@pytest.mark.usefixtures("weights_here")
def test_start_keeps_what_was_not_overridden(alice: User) -> None:
    picture = make_asset(alice, kind="background")
    fields = {"video_id": str(make_asset(alice).pk), "bg_type": "image", "bg_image_id": str(picture.pk)}
    draft = services.submit_request(alice, parse_request({**fields, "auto_start": False}))

    job = services.start(draft, model="human")

    assert (job.model, job.background_asset, job.asset) == ("human", picture, draft.asset)
    assert options_of(job).background == Background("image")


@pytest.mark.usefixtures("weights_here")
def test_start_without_credits_leaves_the_draft(bob: User) -> None:
    draft = services.submit(bob, asset=make_asset(bob), options=LIGHT, auto_start=False)

    assert refusal(lambda: services.start(draft)).code == "insufficient_credits"

    draft.refresh_from_db()
    assert (draft.status, draft.hold, timeline(draft)) == ("created", None, ["created"])


def test_only_a_draft_can_be_started(alice: User) -> None:
    job = submitted(alice)

    assert refusal(lambda: services.start(job)).code == "conflict"


# the source comes later


def test_reserve_prices_holds_and_queues_what_was_fetched(alice: User) -> None:
    job = services.submit(alice, video_url="https://example.org/clip.mp4", options=CHROMA)
    taken = attempts.claim_preparation(job.pk, 1, "w")
    assert taken is not None
    assert attempts.claim_preparation(job.pk, 1, "w") is None
    Asset.objects.filter(pk=taken.asset_id).update(status="ready", facts=make_asset(alice).facts)
    taken = Job.objects.with_details().get(pk=job.pk)

    reserved = services.reserve(taken)

    assert (reserved.status, reserved.stage, reserved.estimated, reserved.lease) == ("queued", "waiting", 10_00, None)
    assert purse(alice) == (100_00, 10_00)
    assert services.claim(job.pk, 1, "w") is not None


def test_reserve_after_a_cancel_holds_nothing(alice: User) -> None:
    job = services.submit(alice, video_url="https://example.org/clip.mp4", options=CHROMA)
    taken = attempts.claim_preparation(job.pk, 1, "w")
    assert taken is not None
    Asset.objects.filter(pk=taken.asset_id).update(status="ready", facts=make_asset(alice).facts)
    taken = Job.objects.with_details().get(pk=job.pk)
    services.cancel(job)

    assert services.reserve(taken).status == "canceled"

    assert (Hold.objects.count(), purse(alice)) == (0, (100_00, 0))


# retry, estimate, delete


def test_retry_makes_a_new_job_of_the_same_request(alice: User) -> None:
    job = claimed(alice, metadata={"order": 7}, options=Options("chroma", "mov", trim=(0.0, 5.0)))
    services.fail(job, "internal_error", "oops")

    job = Job.objects.get(pk=job.pk)
    again = services.retry(job, request_id="req_2")

    assert again.pk != job.pk
    assert (again.retried_from, again.status, again.attempt, again.asset) == (job, "queued", 1, job.asset)
    assert (again.metadata, again.options, again.output_format) == ({"order": 7}, job.options, "mov")
    assert (again.request_id, again.webhook_url, purse(alice)) == ("req_2", HOOK, (100_00, 5_00))
    assert as_json(again)["retried_from"] == str(job.pk)


def test_retry_needs_the_source_and_an_end(alice: User) -> None:
    job = submitted(alice)
    assert refusal(lambda: services.retry(job)).code == "conflict"
    services.cancel(job)
    Asset.objects.filter(pk=job.asset_id).update(status="deleted", file="")

    error = refusal(lambda: services.retry(Job.objects.get(pk=job.pk)))

    assert (error.code, error.status) == ("source_expired", 409)
    assert Job.objects.count() == 1


def test_nothing_is_retried_into_a_deleted_project(alice: User) -> None:
    """Its result would be swept away with the project's, and paid."""
    project = make_project(alice)
    job = services.submit(alice, video_url="https://example.org/c.mp4", options=CHROMA, project=project)
    services.cancel(job)
    projects.delete(project)

    error = refusal(lambda: services.retry(Job.objects.get(pk=job.pk)))

    assert (error.code, error.status) == ("conflict", 409)
    assert "project of this job has been deleted" in error.message
    assert (Job.objects.count(), Asset.objects.count()) == (1, 1)


def test_retry_of_a_failed_fetch_fetches_again(alice: User) -> None:
    job = services.submit(alice, video_url="https://example.org/clip.mp4", options=CHROMA)
    Asset.objects.filter(pk=job.asset_id).update(status="failed", error_code="fetch_failed")
    services.fail(job, "fetch_failed", "not there")

    again = services.retry(Job.objects.get(pk=job.pk))

    assert (again.status, again.stage) == ("queued", "fetching")
    assert again.asset is not None
    assert again.asset.pk != job.asset_id
    assert (again.asset.status, again.asset.source_url) == ("pending", "https://example.org/clip.mp4")


def test_estimate_is_what_submit_would_hold(alice: User) -> None:
    options = Options("chroma", trim=(0.0, 2.5))
    asset = make_asset(alice)

    told_before = services.estimate(alice, asset.facts, options)
    job = submitted(alice, asset=asset, options=options)

    sizes = told_before.pop("output_bytes")
    assert told_before == {"credits": 2.5, "billed_seconds": 2.5, "eta_seconds": None, "balance_after": 97.5}
    assert 0 < sizes["low"] < sizes["high"]
    assert as_json(job)["credits"] == {"estimated": 2.5, "held": 2.5, "charged": 0}


def test_estimate_learns_from_finished_jobs(alice: User) -> None:
    job = claimed(alice)
    services.complete(job, a_result(frames=250), [stored()])
    Job.objects.filter(pk=job.pk).update(started_at=timezone.now() - timedelta(seconds=50), completed_at=timezone.now())

    estimate = services.estimate(alice, make_asset(alice).facts, Options("chroma", trim=(0.0, 5.0)))

    assert estimate["eta_seconds"] == pytest.approx(25, abs=0.2)


def test_queue_positions_count_those_who_came_first(alice: User, charlie: User) -> None:
    first, second, third = submitted(alice), submitted(charlie), submitted(alice)

    assert [services.queue_position(job) for job in (first, second, third)] == [1, 2, 3]
    services.claim(first.pk, 1, "w")
    assert [services.queue_position(job) for job in (first, second, third)] == [None, 1, 2]
