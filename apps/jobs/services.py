"""What can be asked for a job: submit, start, cancel, retry, estimate, delete. The module that doors call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import ApiKey, User
from apps.accounts.requests import Caller
from apps.credits import prices
from apps.credits import services as credits
from apps.credits.amounts import to_credits
from apps.credits.models import PriceList
from apps.engine.errors import EngineError
from apps.engine.matting import weights
from apps.engine.options import MODELS, Options
from apps.engine.plan import Plan, make_plan
from apps.engine.report import Facts
from apps.engine.sizes import output_bytes
from apps.errors import AppError
from apps.jobs import caps, diary, doorbell, metadata, previews, room, turns, waiting
from apps.jobs.attempts import claim, claim_preparation, expire, give_back, reap, requeue, tick
from apps.jobs.endings import StoredFile, cancel, complete, fail, lock_wallet
from apps.jobs.models import Job, JobEvent
from apps.jobs.needs import need_of
from apps.jobs.options import JobRequest, as_fields, merge, parse_request, refusal, source_fields
from apps.jobs.pricing import price
from apps.jobs.representation import options_of
from apps.jobs.retention import delete_media
from apps.jobs.states import move
from apps.jobs.terms import Terms, terms_for
from apps.projects import services as projects
from apps.projects.models import Asset, Project

__all__ = [
    "StoredFile", "cancel", "claim", "claim_preparation", "complete", "delete_media", "estimate", "expire", "fail",
    "give_back", "queue_position", "reap", "requeue", "reserve", "retry", "start", "submit", "submit_all",
    "submit_request", "tick",
]  # fmt: skip

log = logging.getLogger(__name__)

S = Job.Status


class Overtaken(Exception):
    """Somebody ended or took the job first; raised inside a transaction so that all of it is undone."""


NOBODY = Caller()


def submit_request(
    user: User, request: JobRequest, *, request_id: str = "", api_key: ApiKey | None = None, caller: Caller = NOBODY
) -> Job:
    """`submit` for a request as it was read; refused means that the project it named was not made either."""
    with transaction.atomic():
        return submit(
            user,
            video_url=request.video_url or request.video_id,
            options=request.options,
            background_url=request.background_url or request.background_id,
            project=projects.resolve_project(user, request.project),
            metadata=request.metadata,
            webhook_url=request.webhook_url,
            auto_start=request.auto_start,
            requested=request.requested,
            request_id=request_id,
            api_key=api_key,
            caller=caller,
        )


def submit(
    user: User,
    *,
    options: Options,
    video_url: str | None = None,
    asset: Asset | None = None,
    background_asset: Asset | None = None,
    background_url: str | None = None,
    project: Project | None = None,
    metadata: Mapping[str, Any] | None = None,
    webhook_url: str = "",
    auto_start: bool = True,
    requested: Mapping[str, Any] | None = None,
    request_id: str = "",
    api_key: ApiKey | None = None,
    caller: Caller = NOBODY,
) -> Job:
    """A new job: a draft, or queued at once. Refused (AppError) means no job, no hold and no asset is left.

    A source that is here is priced and held now; one that must be fetched first, once it has been probed.
    """
    project, named = project or projects.default_project(user), source_fields(requested or {})
    with transaction.atomic():
        asset = _source(user, project, asset, video_url, kind="video", named=named)
        if options.background.type == "image":
            background_asset = _source(user, project, background_asset, background_url, kind="background", named=named)
        job = Job(
            owner=user,
            project=project,
            asset=asset,
            background_asset=background_asset,
            video_url=_address(video_url, asset),
            metadata=dict(metadata or {}),
            webhook_url=webhook_url,
            request_id=request_id,
            **caller.fields(),
            api_key=api_key,
            requested=dict(requested or as_fields(options, background_id=_id(background_asset))),
        )
        return _create(job, options, auto_start=auto_start, detail={"request_id": request_id})


def submit_all(user: User, assets: Sequence[Asset], **how: Any) -> list[Job]:
    """One job for each clip, all with the same options: all of them or, refused, none. `how` is `submit`'s."""
    jobs = []
    with transaction.atomic():
        for asset in assets:
            try:
                jobs.append(submit(user, asset=asset, **how))
            except AppError as refusal:
                if len(assets) > 1:
                    refusal.message = f"{asset.filename or 'A clip'}: {refusal.message} None of them has started."
                raise
    return jobs


def start(job: Job, *, api_key: ApiKey | None = None, **overrides: Any) -> Job:
    """Start a draft; any field of the contract given here replaces the draft's. Refused leaves the draft as it was."""
    if job.owner is None or job.status != S.CREATED:
        raise AppError("conflict", f"Only a draft can be started; this job is {job.status}.")
    given = {name: value for name, value in overrides.items() if value is not None}
    request = parse_request(merge(job.requested, given), needs_video=False)
    need_installed(request.options)
    with transaction.atomic():
        lock_wallet(job)
        _override(job, request, given)
        # The starter's from now on, whoever wrote the draft: it is the start that spends.
        job.api_key = api_key
        written = ("project", "asset", "background_asset", "video_url", "metadata", "webhook_url", "requested",
                   "model", "output_format", "options", "need", "api_key")  # fmt: skip
        changes = {name: getattr(job, name) for name in written}
        if not Job.objects.filter(pk=job.pk, status=S.CREATED).update(**changes):
            raise AppError("conflict", "The job was started or canceled just now.")
        metadata.index(job)
        _queue(job, (S.CREATED,))
    return Job.objects.with_details().get(pk=job.pk)


def reserve(job: Job) -> Job:
    """Price and hold a job whose source has been fetched; AppError when it cannot be done or paid.

    A job that was canceled or taken over meanwhile stays as it is, without a hold.
    """
    try:
        with transaction.atomic():
            _queue(job, (S.QUEUED,), where={"lease": job.lease})
    except Overtaken:
        log.info("job=%s was ended or taken over while its source was fetched", job.pk)
    return Job.objects.with_details().get(pk=job.pk)


def retry(job: Job, request_id: str = "", api_key: ApiKey | None = None, caller: Caller = NOBODY) -> Job:
    """The same request once more, as a new job; 409 `source_expired` when the source is gone."""
    if not job.is_final or job.owner is None:
        raise AppError("conflict", f"The job is still {job.status}: wait until it ends, or cancel it.")
    if job.project and job.project.deleted_at:
        raise AppError("conflict", "The project of this job has been deleted: send its fields as a new job.")
    options = options_of(job)
    with transaction.atomic():
        again = Job(
            owner=job.owner,
            project=job.project,
            asset=_source_again(job.asset),
            background_asset=_source_again(job.background_asset) if options.background.type == "image" else None,
            retried_from=job,
            video_url=job.video_url,
            metadata=job.metadata,
            webhook_url=job.webhook_url,
            requested=job.requested,
            request_id=request_id,
            **caller.fields(),
            api_key=api_key,
        )
        return _create(again, options, auto_start=True, detail={"retried_from": str(job.pk)})


def estimate(
    user: User, facts: Mapping[str, Any], options: Options, *, at: Terms | None = None, api_key: ApiKey | None = None
) -> dict[str, Any]:
    """What such a job would cost and take, without making one; refuses what `submit` would refuse.

    `balance_after` is what its caller could spend then, also by the key's own cap: below zero means that the job
    would not be covered.
    """
    at = at or terms_for(user, options.model)
    amount, plan, _ = _price(options, facts, at.prices)
    low, high = output_bytes(plan, options, Facts.from_dict(facts))
    left = caps.left_of(api_key) if api_key else None
    return {
        "credits": to_credits(amount),
        "billed_seconds": 0 if options.is_preview else round(plan.seconds, 3),
        "eta_seconds": round(plan.frames / at.frames_a_second, 1) if at.frames_a_second else None,
        "output_bytes": {"low": low, "high": high},
        "balance_after": to_credits((at.available if left is None else min(at.available, left)) - amount),
    }


def check_background(user: User, request: JobRequest) -> None:
    """Refuse, as `submit` would, a background picture that is not one of the caller's own."""
    url_or_id, param = request.background_url or request.background_id, source_fields(request.requested)["background"]
    if url_or_id and (own := _find(user, url_or_id, param=param)):
        _usable(own, kind="background", param=param)


def queue_position(job: Job) -> int | None:
    """1 is next; None when the job does not wait in the queue."""
    ahead = waiting.outlook([job.pk]).get(job.pk)
    return ahead.position if ahead else None


def need_installed(options: Options) -> None:
    """Refuse a model whose networks are not here; never another one in silence."""
    if options.model not in MODELS:
        return  # the keyer of the command line and the tests has no weights
    is_permissive = settings.MODEL_LICENCES == "permissive"
    status = weights.model_status(settings.MODELS_DIR, permissive=is_permissive)[options.model]
    if not status.installed:
        coming = f" It is being installed: {status.installing}." if status.installing else ""
        message = f"The model {options.model} is not installed on this site yet.{coming}"
        raise AppError("model_not_installed", message, param="model")


def _create(job: Job, options: Options, *, auto_start: bool, detail: Mapping[str, Any]) -> Job:
    """Write a new job inside the caller's transaction, so that a refusal to queue it leaves no row."""
    _set_options(job, options)
    if not auto_start and job.asset and job.asset.status == Asset.Status.READY:
        job.estimated, plan, job.pricing_version = _price(options, job.asset.facts)
        job.held_seconds = plan.seconds
    job.save(force_insert=True)
    if job.metadata:
        metadata.index(job)
    JobEvent.objects.create(job=job, name="created", detail=dict(detail))
    if auto_start:
        need_installed(options)
        _queue(job, (S.CREATED,))
    log.info("job=%s created model=%s format=%s", job.pk, job.model, job.output_format)
    return Job.objects.with_details().get(pk=job.pk)


def _queue(job: Job, from_: tuple[str, ...], *, where: Mapping[str, Any] | None = None) -> None:
    """Into the queue, inside the caller's transaction: held and waiting, or, with something to fetch, fetching."""
    if S.CREATED in from_ and job.owner and options_of(job).is_preview:
        previews.need_one_left(job.owner)
    sources = [asset for asset in (job.asset, job.background_asset) if asset is not None]
    fields: dict[str, Any] = {"queued_at": timezone.now(), "lease": None, "lease_until": None}
    if any(asset.status == Asset.Status.PENDING for asset in sources):
        fields |= {"stage": Job.Stage.FETCHING}
    else:
        fields |= {"stage": Job.Stage.WAITING, **_hold(job, sources)}
    if not move(job.pk, from_, S.QUEUED, event="queued", detail={"stage": fields["stage"]}, where=where, **fields):
        raise Overtaken
    if S.QUEUED in from_:
        diary.end(job.pk, "fetched")
    doorbell.ring_on_commit(turns.line_of(job) if fields["stage"] == Job.Stage.WAITING else turns.FETCHES)


def _hold(job: Job, sources: list[Asset]) -> dict[str, Any]:
    options = options_of(job)
    amount, plan, version = _price(options, sources[0].facts)
    if job.owner is None:
        raise RuntimeError(f"job {job.pk} has nobody to pay for it")
    # The wallet is locked from here on; then the sources, so that none is
    # swept away between this look and the job that needs it.
    held = None
    if options.is_preview:
        # Not a hold of nothing: that would be refused to a wallet below zero.
        credits.lock_wallet(job.owner)
    else:
        held = credits.hold(job.owner, amount, key=f"job:{job.pk}", reference=str(job.pk))
        if job.api_key:
            caps.stay_within(job.api_key, amount)
    named = source_fields(job.requested)
    for asset in Asset.objects.select_for_update().filter(pk__in=[source.pk for source in sources]).order_by("pk"):
        _usable(asset, kind=asset.kind, param=named[asset.kind])
    need = room.need(options, plan, sources)
    written = {"frames_total": plan.frames, "scratch_bytes": need, "held_seconds": plan.seconds}
    return {"hold": held, "estimated": amount, "pricing_version": version, **written}


def _price(options: Options, facts: Mapping[str, Any], list_: PriceList | None = None) -> tuple[int, Plan, int]:
    """(1/100 credits, what will be made, version of the price list); refuses what the format cannot hold."""
    try:
        plan = make_plan(Facts.from_dict(facts), options)
    except EngineError as error:
        raise AppError.from_engine(error) from error
    side = max(plan.layout.width, plan.layout.height)
    if side > settings.MAX_SIDE:
        message = f"The canvas is {side} px long; this site makes at most {settings.MAX_SIDE} px a side."
        raise AppError("limit_exceeded", message, param="composition.canvas")
    list_ = list_ or prices.current()
    amount = 0 if options.is_preview else price(list_.rates[options.model], plan.seconds)
    return amount, plan, list_.version


def _set_options(job: Job, options: Options) -> None:
    asked = options.as_dict()
    job.model, job.output_format = asked.pop("model"), asked.pop("format")
    job.options, job.need = asked, need_of(options)


def _id(asset: Asset | None) -> str | None:
    return str(asset.pk) if asset else None


def _override(job: Job, request: JobRequest, given: Mapping[str, Any]) -> None:
    """Lay a starter's wishes over a draft; sources that were not named anew stay."""
    assert job.owner is not None
    if "project" in given:
        job.project = projects.resolve_project(job.owner, request.project)
    project = job.project or projects.default_project(job.owner)
    named = source_fields(request.requested)
    if {"video_url", "video_id"} & set(given):
        video = str(request.video_url or request.video_id)
        job.asset = _find_or_import(job.owner, project, video, kind="video", param=named["video"])
        job.video_url = _address(request.video_url, job.asset)
    picture = request.background_url or request.background_id
    if request.options.background.type != "image":
        job.background_asset = None
    elif picture and (job.background_asset is None or {"background", "bg_image_url", "bg_image_id"} & set(given)):
        found = _find_or_import(job.owner, project, picture, kind="background", param=named["background"])
        job.background_asset = found
    for asset, kind in ((job.asset, "video"), (job.background_asset, "background")):
        if asset is not None:
            _usable(asset, kind=kind, param=named[kind])
    job.metadata, job.webhook_url, job.requested = request.metadata, request.webhook_url, request.requested
    _set_options(job, request.options)


def _address(given: str | None, asset: Asset) -> str:
    """The source's address as given; our own for one that was named by its id."""
    return given if given and projects.is_url(given) else projects.address(asset)


def _find_or_import(user: User, project: Project, url_or_id: str, *, kind: str, param: str) -> Asset:
    """One of the caller's own files by id or address, else a file elsewhere that will be fetched."""
    return _find(user, url_or_id, param=param) or projects.import_url(project, url_or_id, kind=kind)


def _find(user: User, url_or_id: str, *, param: str) -> Asset | None:
    """One of the caller's own files; None for a file elsewhere."""
    own = projects.find_own_asset(user, url_or_id)
    if own is None and (projects.is_own_url(url_or_id) or not projects.is_url(url_or_id)):
        raise refusal(f"{param} names no upload of yours: upload the file first.", param)
    return own


def _source(
    user: User, project: Project, asset: Asset | None, url: str | None, *, kind: str, named: Mapping[str, str]
) -> Asset:
    asset = asset or _find_or_import(user, project, str(url or ""), kind=kind, param=named[kind])
    _usable(asset, kind=kind, param=named[kind])
    return asset


def _usable(asset: Asset, *, kind: str, param: str) -> None:
    if asset.kind != kind:
        wanted = "a video" if kind == "video" else "a picture uploaded with purpose=background"
        raise refusal(f"{param} must be {wanted}.", param)
    if asset.status == Asset.Status.FAILED:
        raise AppError("unsupported_media", asset.error or "This file could not be read.", param=param)
    if asset.status == Asset.Status.DELETED:
        hours = timedelta(hours=settings.SOURCE_HOURS).total_seconds() / 3600
        message = f"This file has been deleted (sources are kept {hours:g} hours): upload it again."
        raise AppError("source_expired", message, param=param)


def _source_again(asset: Asset | None) -> Asset:
    """The source of a retry: the same file, or for one that could not be fetched another try at its URL."""
    never_came = (Asset.Status.FAILED, Asset.Status.PENDING)
    if asset and asset.project and asset.source_url and asset.status in never_came:
        return projects.import_url(asset.project, asset.source_url, kind=asset.kind)
    if asset is None or asset.status != Asset.Status.READY or not asset.file:
        raise AppError("source_expired", "The source of this job has been deleted: upload it again.")
    return asset
