"""Pages about what you bring: the upload, and the list of projects."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.requests import SignedInRequest
from apps.errors import AppError
from apps.projects.forms import ProjectForm, UploadForm
from apps.projects.models import Project
from apps.projects.services import create_asset, default_project, resolve_project
from apps.projects.uploads import takes_files

PAGE = 24


@takes_files
@require_POST
def upload(request: SignedInRequest) -> HttpResponse:
    """The script's upload: answers the fragment that says what arrived, or why it was refused.

    A refusal is an answer to a person, so it is a 200 as for any form; browsers
    would write other statuses to the console as errors of the page.
    """
    form = UploadForm(request.POST, request.FILES, user=request.user)
    if not form.is_valid():
        return _refused(request, AppError("invalid_request", "Choose a video file.", param="file"))
    project = form.cleaned_data["project"] or default_project(request.user)
    file = form.cleaned_data["file"]
    try:
        asset = create_asset(project, file, filename=file.name)
    except AppError as problem:
        return _refused(request, problem)
    return render(request, "projects/_source.html", {"asset": asset}, status=201)


def _refused(request: SignedInRequest, problem: AppError) -> HttpResponse:
    context = {"problem": problem, "title": "This file was not taken."}
    return render(request, "projects/_refused.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def projects(request: SignedInRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect("web:project", resolve_project(request.user, form.cleaned_data["name"]).pk)
    default_project(request.user)
    own = Project.objects.filter(owner=request.user).order_by("-is_default", "name")
    rows = own.annotate(job_count=Count("jobs"), last_job_at=Max("jobs__created_at"))
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    return render(request, "projects/projects.html", {"page": page, "form": form, "query": ""})
