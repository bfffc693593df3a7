"""The pages about projects: find one, look through its jobs, decide over it, take or delete many results."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.requests import SignedInRequest
from apps.errors import AppError
from apps.jobs import bulk, posters
from apps.jobs import projects as jobs_of
from apps.jobs.models import Job
from apps.jobs.project_forms import ChosenForm, JobsFilter, ProjectSettingsForm, ProjectsFilter
from apps.jobs.retention import UNFINISHED
from apps.jobs.views import page_of
from apps.projects import archive
from apps.projects.forms import ProjectForm
from apps.projects.models import Project
from apps.projects.services import default_project, resolve_project

PAGE = 24
NAMED = 20
"""Clips that the page before a deletion calls by name; the rest it counts."""


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def projects(request: SignedInRequest) -> HttpResponse:
    """The list; a POST makes a project."""
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect("web:project", resolve_project(request.user, form.cleaned_data["name"]).pk)
    default_project(request.user)
    narrowing = ProjectsFilter(request.GET)
    own = narrowing.narrow(Project.objects.for_user(request.user)).order_by("-is_default", "name", "pk")
    page = Paginator(own, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "rows": _with_facts(page.object_list), "form": form, "narrowing": narrowing}
    return render(request, "projects/projects.html", {**context, "query": narrowing.query})


def _with_facts(projects: Any) -> list[dict[str, Any]]:
    """What a card tells, for all of a page in three queries."""
    shown = list(projects)
    # By columns of the index job_of_project: counted by their keys, all jobs of these projects would have to be read.
    running = Count("status", filter=Q(status__in=UNFINISHED))
    jobs = Job.objects.filter(project__in=shown).order_by().values("project")
    counted = {
        row["project"]: row for row in jobs.annotate(count=Count("status"), running=running, last=Max("created_at"))
    }
    pictures = posters.of_projects(shown)
    return [
        {**counted.get(project.pk, {"count": 0}), "project": project, "poster": pictures.get(project.pk)}
        for project in shown
    ]


@login_required
@require_safe
def project(request: SignedInRequest, project_id: UUID) -> HttpResponse:
    found = _own(request, project_id)
    narrowing = JobsFilter(request.GET)
    page = page_of(request, narrowing.narrow(Job.objects.filter(project=found)))
    context = {"project": found, "page": page, "narrowing": narrowing, "query": narrowing.query, "choosing": True}
    return render(request, "jobs/project.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: SignedInRequest, project_id: UUID) -> HttpResponse:
    found = _own(request, project_id)
    form = ProjectSettingsForm(request.POST if request.method == "POST" else None, project=found)
    if request.method == "POST" and form.is_valid():
        try:
            jobs_of.change(found, **form.wanted)
        except AppError as refusal:
            found.refresh_from_db()
            form.refuse(refusal)
        else:
            messages.success(request, "Saved.")
            return redirect("web:project", found.pk)
    return render(request, "jobs/project_settings.html", {"project": found, "form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: SignedInRequest, project_id: UUID) -> HttpResponse:
    """Says what goes with the project; a POST lets it go."""
    found = _own(request, project_id)
    if request.method == "POST":
        try:
            jobs_of.delete(found)
        except AppError as refusal:
            messages.error(request, refusal.message)
            return redirect("web:project", found.pk)
        messages.success(request, f"{found.name} is deleted with its media. The records of its jobs stay in History.")
        return redirect("web:projects")
    jobs = Job.objects.filter(project=found)
    context = {"project": found, "going": bulk.forecast(jobs), "jobs": jobs.count()}
    return render(request, "jobs/project_delete.html", context)


@login_required
@require_POST
def download(request: SignedInRequest, project_id: UUID) -> HttpResponseBase:
    """The chosen results as one ZIP."""
    found = _own(request, project_id)
    outputs = bulk.results(ChosenForm(request.POST, project=found).jobs)
    if not outputs.exists():
        messages.warning(request, "Nothing to download: tick jobs that are completed and whose results are still kept.")
        return redirect("web:project", found.pk)
    name = slugify(found.name) or "project"
    return archive.answer(bulk.entries(outputs), filename=f"{name}-{timezone.now():%Y-%m-%d}.zip")


@login_required
@require_POST
def delete_media(request: SignedInRequest, project_id: UUID) -> HttpResponse:
    """First the page that says what goes; deleted is what that page's button sends."""
    found = _own(request, project_id)
    form = ChosenForm(request.POST, project=found)
    jobs = form.jobs
    if "sure" in request.POST:
        if bulk.delete_media(jobs):
            messages.success(request, "The media are deleted. The records of the jobs stay.")
        else:
            messages.success(request, "So many media take a moment: the last of them go within a few minutes.")
        return redirect("web:project", found.pk)
    going = bulk.forecast(jobs)
    context = {"project": found, "going": going, "named": going.jobs[:NAMED], "more": going.jobs.count() - NAMED}
    return render(
        request, "jobs/delete_media.html", {**context, "carried": form.carried, "before": timezone.now().isoformat()}
    )


def _own(request: SignedInRequest, project_id: UUID) -> Project:
    return get_object_or_404(Project.objects.for_user(request.user), pk=project_id)
