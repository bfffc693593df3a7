"""What the upload of a page asks."""

from __future__ import annotations

from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.requests import SignedInRequest
from apps.errors import AppError, Unavailable
from apps.projects import resumable
from apps.projects.forms import UploadForm
from apps.projects.models import Upload
from apps.projects.representation import state_json
from apps.projects.templatetags.clips import here
from apps.projects.uploads import View


def told_to_a_person(view: View) -> View:
    """For what the page's script asks: a refusal is a fragment to show, and a 200 as for any form.

    Browsers would write other statuses to the console as errors of the page. What is not there is a 404 all the same.
    """

    @wraps(view)
    def asked(request: SignedInRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except Unavailable:
            # The script tries again by itself.
            return HttpResponse(status=503)
        except AppError as problem:
            context = {"problem": problem, "title": "This file was not taken."}
            status = 404 if problem.status == 404 else 200
            return render(request, "projects/_refused.html", context, status=status)

    return asked


@login_required
@require_POST
@told_to_a_person
def begin_upload(request: SignedInRequest) -> HttpResponse:
    form = UploadForm(request.POST, user=request.user)
    if not form.is_valid():
        if "size" in form.errors:
            raise AppError("unsupported_media", "The file is empty.", param="size")
        raise AppError("invalid_request", "Choose a video file.", param="filename")
    project = form.cleaned_data["project"]
    upload = resumable.begin(
        request.user,
        filename=form.cleaned_data["filename"],
        size=form.cleaned_data["size"],
        project=str(project.pk) if project else "",
        makes_room=True,
    )
    return JsonResponse(state_json(upload))


@login_required
@require_safe
@told_to_a_person
def upload_state(request: SignedInRequest, upload_id: UUID) -> HttpResponse:
    """For the script to take up what a reload or a lost connection broke off."""
    return JsonResponse(state_json(_own(request, upload_id)))


@login_required
@require_POST
@told_to_a_person
def part_url(request: SignedInRequest, upload_id: UUID, number: int) -> HttpResponse:
    """Where to send one part: to this very site under the name it was opened with, or to the store."""
    [part] = resumable.urls(_own(request, upload_id), [number])
    return JsonResponse({**part, "url": here(part["url"])})


@login_required
@require_POST
@told_to_a_person
def complete_upload(request: SignedInRequest, upload_id: UUID) -> HttpResponse:
    """The fragment that says what arrived, or why it was refused; 202 while another request is at it, or parts lack."""
    try:
        asset = resumable.complete(_own(request, upload_id))
    except AppError as refusal:
        if refusal.code == "conflict":
            return HttpResponse(status=202)
        raise
    return render(request, "projects/_source.html", {"asset": asset}, status=201)


@login_required
@require_POST
@told_to_a_person
def cancel_upload(request: SignedInRequest, upload_id: UUID) -> HttpResponse:
    resumable.discard(_own(request, upload_id))
    return HttpResponse(status=204)


def _own(request: SignedInRequest, upload_id: UUID) -> Upload:
    upload = resumable.find(request.user, upload_id)
    if upload is None:
        raise AppError("not_found", "This upload was given up or has expired: choose the file again.")
    return upload
