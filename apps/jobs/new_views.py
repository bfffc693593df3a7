"""The workbench: the page on which cutouts are made, and what it asks for while it is open."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from apps.accounts.requests import SignedInRequest, caller_of
from apps.api import request_id
from apps.credits import prices
from apps.credits.amounts import from_credits
from apps.credits.services import open_wallet
from apps.credits.templatetags.amounts import credits as in_words
from apps.engine.composition import ANCHORS
from apps.errors import AppError
from apps.jobs import newest, previews, services
from apps.jobs.bill import Bill, make_bill
from apps.jobs.choices import format_groups, measured_cards, model_cards
from apps.jobs.forms import BACKGROUNDS, CANVASES, FITS, MOST_CLIPS, PREVIEW_SECONDS, STATE, SWATCHES, CutoutForm
from apps.jobs.models import Job
from apps.jobs.player import playing
from apps.jobs.presets import Change, switch
from apps.jobs.representation import as_json
from apps.jobs.terms import terms_for
from apps.projects.models import Asset, Project
from apps.projects.services import asset_url, create_asset
from apps.projects.uploads import takes_files

DOUBLE_CLICK_SECONDS = 600
"""How long a page's Start button is remembered as pressed."""


@takes_files
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """The workbench. Only the Start button spends; everything else ends at the page with its price shown."""
    form = _form(request)
    problem = None
    if request.method == "POST" and form.is_valid():
        try:
            return _go_on(request, form)
        except AppError as refusal:
            problem = refusal
    return render(
        request, "jobs/new.html", {**_workbench(form), **_bill(form), **_tried(form.tried), "problem": problem}
    )


@login_required
@require_POST
def price(request: SignedInRequest) -> HttpResponse:
    """The exact price of the choices as they stand, for the page to show before anything is spent."""
    return render(request, "jobs/_price.html", _bill(_form(request)))


@login_required
@require_POST
def choices(request: SignedInRequest) -> HttpResponse:
    """The choices when the project was changed: with its defaults, and with what that changed in words."""
    form = _form(request)
    data, said = _with_project(form)
    after = CutoutForm(data, user=request.user)
    context = {
        **_offered(), "form": after, "chosen": after.chosen, "changes": said, "picture_url": _picture_url(after),
    }  # fmt: skip
    return trigger_client_event(render(request, "jobs/_choices.html", context), "price", after="settle")


@takes_files
@require_POST
def background(request: SignedInRequest) -> HttpResponse:
    """Take in the picture behind the cutout as soon as it is chosen, so that a reload does not lose it."""
    form = _form(request)
    if form.is_valid() and (sent := form.cleaned_data["bg_image"]):
        try:
            picture = create_asset(form.project_chosen, sent, filename=sent.name, kind=Asset.Kind.BACKGROUND)
            form = CutoutForm({**request.POST.dict(), "bg_image_id": str(picture.pk)}, user=request.user)
        except AppError as refusal:
            form.add_error("bg_image", f"{sent.name}: {refusal.message}")
    context = {"form": form, "picture_url": _picture_url(form), "is_answer": True}
    return render(request, "jobs/_picture.html", context)


@login_required
@never_cache
@require_safe
def tried(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """The free preview beside the clip, as far as it is."""
    job = get_object_or_404(Job.objects.for_user(request.user).with_details(), pk=job_id)
    return render(request, "jobs/_tried.html", _tried(job))


def _form(request: SignedInRequest) -> CutoutForm:
    if request.method == "POST":
        return CutoutForm(request.POST, request.FILES, user=request.user)
    return CutoutForm.opened(request.GET, user=request.user)


def _offered() -> dict[str, Any]:
    return {
        "models": measured_cards(),
        "formats": format_groups(),
        "backgrounds": BACKGROUNDS,
        "fits": FITS,
        "swatches": SWATCHES,
        "canvases": CANVASES,
        "anchors": sorted(ANCHORS, key=lambda name: ANCHORS[name][::-1]),
    }


def _workbench(form: CutoutForm) -> dict[str, Any]:
    return {
        **_offered(),
        "picture_url": _picture_url(form),
        "limits": prices.limits(),
        "most_clips": MOST_CLIPS,
        "state": " ".join(STATE),
        "once": uuid4(),
    }


def _picture_url(form: CutoutForm) -> str:
    return asset_url(form.background_found) if form.background_found else ""


def _bill(form: CutoutForm) -> dict[str, Any]:
    wallet = open_wallet(form.user)
    # The head of the page shows it too, and finds it there.
    wallet.user = form.user
    bill = Bill(wallet.available)
    if form.is_valid() and form.request:
        bill = make_bill(form.user, form.assets, form.request.options, available=wallet.available)
    refused = [line.refusal for line in bill.lines if line.refusal]
    if refused and not bill.possible:
        # What is wrong with all of them is wrong with the choices.
        form.refuse(refused[0])
    return {
        "form": form,
        "chosen": form.chosen,
        "wallet": wallet,
        "bill": bill,
        "rows": _rows(form, bill),
        "card": next((card for card in model_cards() if card.name == form.chosen["model"]), None),
        "allowance": previews.allowance(form.user),
        "preview_seconds": PREVIEW_SECONDS,
    }


def _rows(form: CutoutForm, bill: Bill) -> list[dict[str, Any]]:
    """The list of clips: where each can be seen, the page without it, and its line of the bill where there is one."""
    lines = {line.asset: line for line in bill.lines}
    keys = [asset.pk for asset in form.assets]
    return [
        {
            "asset": asset,
            "url": asset_url(asset),
            "without": form.address(asset=[key for key in keys if key != asset.pk]),
            # Of one clip alone the bill says it all.
            "line": lines.get(asset) if len(keys) > 1 else None,
        }
        for asset in form.assets
    ]


def _tried(job: Job | None) -> dict[str, Any]:
    if job is None:
        return {}
    said = as_json(job)
    outputs = {output["kind"]: output for output in said["outputs"]}
    return {
        "tried": job,
        "tried_said": said,
        "tried_result": outputs.get("result"),
        "tried_playing": playing(outputs.get("result"), outputs.get("preview")),
        "tried_has_newest": job.status == Job.Status.PROCESSING and newest.get(job.pk) is not None,
    }


def _with_project(form: CutoutForm) -> tuple[Any, list[Change]]:
    """The form's data after a change of project, and what it changed."""
    form.is_valid()
    before = form.cleaned_data.get("project_was") or form.project_chosen
    laid_over, said = switch(form.chosen, before, form.project_chosen)
    data = QueryDict(mutable=True)
    data.update(form.data)
    for name, value in laid_over.items():
        data[name] = value
    data["project_was"] = str(form.project_chosen.pk)
    return data, said


def _go_on(request: SignedInRequest, form: CutoutForm) -> HttpResponse:
    """Take in what came with the form; start only when asked to, and never a clip whose price was not shown."""
    picture, project = form.background_found, form.project_chosen
    if sent := form.cleaned_data["bg_image"]:
        picture = create_asset(project, sent, filename=sent.name, kind=Asset.Kind.BACKGROUND)
    kept = {"bg_image_id": picture.pk if picture else None}
    if request.FILES.getlist("file"):
        return redirect(form.address(asset=_take_in(request, form, project), **kept))
    if form.goal == "price":
        was = form.cleaned_data["project_was"]
        if was and was != project:
            return _changed_project(request, form)
        return redirect(form.address(**kept))
    if form.goal == "preview":
        return _once(form, lambda: _preview(request, form, picture))
    return _once(form, lambda: _submit(request, form, picture))


def _take_in(request: SignedInRequest, form: CutoutForm, project: Project) -> list[UUID]:
    """The page's clips with those that came with the form; one that is refused does not cost the others."""
    clips = [asset.pk for asset in form.assets]
    for file in request.FILES.getlist("file"):
        if len(clips) == MOST_CLIPS:
            messages.error(request, f"{file.name}: at most {MOST_CLIPS} clips at once. Start these first.")
            continue
        try:
            clips.append(create_asset(project, file, filename=file.name or "").pk)
        except AppError as refusal:
            messages.error(request, f"{file.name}: {refusal.message} Nothing of it was kept, and nothing was charged.")
    return clips


def _changed_project(request: SignedInRequest, form: CutoutForm) -> HttpResponse:
    """Without the script another project shows its choices first, like the price."""
    data, said = _with_project(form)
    for change in said:
        stays = "stays as you chose it" if change.kept else f"is {change.after} now"
        messages.info(request, f"{change.label} {stays}: {form.project_chosen.name} has {change.after}.")
    return redirect(CutoutForm(data, user=request.user).address())


def _how(request: SignedInRequest, form: CutoutForm, picture: Asset | None) -> dict[str, Any]:
    """What all the jobs of this page have in common."""
    assert form.request is not None
    over_picture = form.request.options.background.type == "image"
    return {
        "options": form.request.options,
        "background_asset": picture if over_picture else None,
        "background_url": form.request.background_url,
        "webhook_url": form.request.webhook_url,
        "project": form.project_chosen,
        "request_id": request_id.of(request),
        "caller": caller_of(request),
    }


def _submit(request: SignedInRequest, form: CutoutForm, picture: Asset | None) -> str:
    """Start, or keep as drafts until they are paid; where to go then."""
    how = {**_how(request, form, picture), "auto_start": form.goal == "start"}
    if form.these:
        _agree(form)
        jobs = services.submit_all(form.user, form.these, **how)
    elif url := form.cleaned_data["video_url"]:
        jobs = [services.submit(form.user, video_url=url, **how)]
    else:
        raise _no_clip()
    if len(jobs) == 1:
        # What its credits do not cover yet waits as a draft while they are bought.
        return reverse("web:job-buy" if form.goal == "buy" else "web:job", args=[jobs[0].pk])
    held = in_words(sum(job.estimated for job in jobs))
    messages.success(request, f"{len(jobs)} cutouts are started, {held} credits set aside.")
    return reverse("web:jobs")


def _preview(request: SignedInRequest, form: CutoutForm, picture: Asset | None) -> str:
    """The free preview of the clip that is looked at, shown on this same page."""
    if not form.assets:
        raise _no_clip()
    assert form.request is not None
    looked_at = next((asset for asset in form.assets if str(asset.pk) == form.data.get("look")), form.assets[0])
    how = _how(request, form, picture)
    job = services.submit(form.user, asset=looked_at, **{**how, "options": form.request.for_preview(PREVIEW_SECONDS)})
    kept = {"bg_image_id": picture.pk if picture else None}
    return f"{form.address(tried=job.pk, **kept)}#tried"


def _no_clip() -> AppError:
    return AppError("invalid_request", "Choose a video first: drop a file, or paste an address.", param="file")


def _agree(form: CutoutForm) -> None:
    """Refuse to spend more than what the button said: a choice may have changed a moment before it was pressed."""
    assert form.request is not None
    if (shown := form.cleaned_data["shown"]) is None:
        return
    options, most = form.request.options, from_credits(shown)
    at = terms_for(form.user, options.model)
    costs = sum(from_credits(services.estimate(form.user, one.facts, options, at=at)["credits"]) for one in form.these)
    if costs > most:
        told = f"With these choices it costs {in_words(costs)} credits, not {in_words(most)}."
        raise AppError("conflict", f"{told} Nothing has started: press Start again.")


def _once(form: CutoutForm, act: Callable[[], str]) -> HttpResponse:
    """A second click on the same button of the same page goes where the first one went instead of doing it again."""
    choices = sha256(form.address().encode()).hexdigest()[:16]
    key = f"{form.goal}:{form.user.pk}:{form.cleaned_data['once'] or uuid4()}:{choices}"
    if not cache.add(key, "", DOUBLE_CLICK_SECONDS):
        return redirect(cache.get(key) or "web:jobs")
    try:
        address = act()
    except BaseException:
        cache.delete(key)
        raise
    cache.set(key, address, DOUBLE_CLICK_SECONDS)
    return redirect(address)
