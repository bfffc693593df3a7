"""Jobs, over the API."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.accounts.permissions import requires
from apps.accounts.requests import caller_of
from apps.api import request_id
from apps.api.idempotency import idempotent
from apps.api.pagination import PageQuery
from apps.api.strict import Choice, StrictFields, Text
from apps.api.views import ApiViewSet
from apps.errors import AppError
from apps.jobs import representation, services
from apps.jobs import serializers as shapes
from apps.jobs.lookout import lookout
from apps.jobs.models import Job, JobEvent
from apps.jobs.options import JobRequest, merge, parse_request
from apps.jobs.projects import with_defaults
from apps.projects import services as projects
from apps.projects.models import Asset, Project


class JobsQuery(PageQuery):
    status = Choice(choices=Job.Status.values, required=False)
    project = Text(max_length=200, required=False, help_text="A project's id, or your external_id of one.")


class JobQuery(StrictFields):
    wait = serializers.IntegerField(
        min_value=0, max_value=30, default=0, help_text="Answer when the job is final, or after this many seconds."
    )


def told(job: Job, *, status: int = 200, message: str = "") -> Response:
    fields = representation.as_json(job)
    return Response({"success": True, "message": message or f"Job {fields['status']}", **fields}, status=status)


class JobsViewSet(ApiViewSet):
    lookup_value_converter = "id"
    queries = {"list": JobsQuery, "retrieve": JobQuery, "events": PageQuery}  # noqa: RUF012
    refusals = {"quality": {409}}  # noqa: RUF012
    reads = ("list", "retrieve", "events", "quality")

    def get_permissions(self) -> list[Any]:
        return [requires("jobs:read" if self.action in self.reads else "jobs:write")()]

    def get_queryset(self) -> QuerySet[Job]:
        return Job.objects.for_user(self.user).with_details().order_by("-created_at", "id")

    def get_object(self) -> Job:
        job: Job = super().get_object()
        return job

    def one(self, job: Job, *, status: int = 200, message: str = "") -> Response:
        """A job as it is now, read again because what was done to it is in the database."""
        return told(self.get_queryset().get(pk=job.pk), status=status, message=message)

    def origin(self, request: Request) -> dict[str, Any]:
        """Kept with a job for whoever has to find out later what went wrong."""
        return {"request_id": request_id.of(request), "api_key": self.key, "caller": caller_of(request)}

    @extend_schema(responses=shapes.JobJson(many=True), tags=["jobs"], operation_id="jobs_list")
    def list(self, request: Request) -> Response:
        """Your jobs, newest first."""
        query = self.query
        rows = self.get_queryset()
        if status := query.get("status"):
            rows = rows.filter(status=status)
        if project := query.get("project"):
            rows = rows.filter(named(self.user, project))
        return self.page(rows, representation.many)

    @extend_schema(
        request=shapes.JobFields, responses={201: shapes.JobAnswer}, tags=["jobs"], operation_id="jobs_create"
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Start a job, or with `auto_start: false` make a draft.

        With an uploaded video it is priced and its credits are held at once. With any other URL that
        happens once the file has been fetched; a job that is not covered then fails and costs nothing.
        """
        asked = wanted(self.user, request.data)
        return told(services.submit_request(self.user, asked, **self.origin(request)), status=201)

    @extend_schema(responses=shapes.JobJson, tags=["jobs"], operation_id="jobs_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """One job. `output_url` and the URLs of its outputs are good for an hour and fresh in each answer."""
        job = self.get_object()
        if self.query["wait"] and not job.is_final and lookout.wait(job.pk, self.query["wait"]):
            job = self.get_object()
        return Response(representation.as_json(job))

    @extend_schema(responses={200: shapes.JobAnswer}, tags=["jobs"], operation_id="jobs_delete")
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the job's files now; a job that is not final is canceled first. Its record stays."""
        job = self.get_object()
        if not job.is_final:
            job = services.cancel(job)
        services.delete_media(job)
        return self.one(job, message="Media deleted")

    @extend_schema(request=shapes.StartFields, responses=shapes.JobAnswer, tags=["jobs"], operation_id="jobs_start")
    @action(detail=True, methods=["post"])
    @idempotent
    def start(self, request: Request, pk: str) -> Response:
        """Start a draft. Any field of the job may be overridden."""
        return self.one(services.start(self.get_object(), api_key=self.key, **known(request.data)))

    @extend_schema(request=None, responses=shapes.JobAnswer, tags=["jobs"], operation_id="jobs_cancel")
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop a job. It costs nothing."""
        self.body(StrictFields)
        return self.one(services.cancel(self.get_object()))

    @extend_schema(request=None, responses={201: shapes.JobAnswer}, tags=["jobs"], operation_id="jobs_retry")
    @action(detail=True, methods=["post"])
    @idempotent
    def retry(self, request: Request, pk: str) -> Response:
        """Make a new job like this one, with the same source."""
        self.body(StrictFields)
        again = services.retry(self.get_object(), **self.origin(request))
        return self.one(again, status=201)

    @extend_schema(request=shapes.JobFields, responses=shapes.Estimate, tags=["jobs"], operation_id="jobs_estimate")
    @action(detail=False, methods=["post"])
    @idempotent
    def estimate(self, request: Request) -> Response:
        """What a job would cost, without making one. The video must be uploaded."""
        asked = wanted(self.user, request.data)
        asset = projects.find_own_asset(self.user, asked.video_url or asked.video_id or "")
        if asset is None or asset.kind != Asset.Kind.VIDEO or asset.status != Asset.Status.READY:
            message = "An estimate needs a video that was uploaded here: its video_url or video_id."
            raise AppError("invalid_request", message, param="video_url" if asked.video_url else "video_id")
        services.check_background(self.user, asked)
        return Response(services.estimate(self.user, asset.facts, asked.options, api_key=self.key))

    @extend_schema(responses=shapes.EventJson(many=True), tags=["jobs"], operation_id="jobs_events")
    @action(detail=True, methods=["get"])
    def events(self, request: Request, pk: str) -> Response:
        """What happened to the job, oldest first."""
        rows = JobEvent.objects.filter(job=self.get_object()).order_by("id")
        return self.page(rows, lambda page: list(shapes.EventJson(page, many=True).data))

    @extend_schema(responses=shapes.QualityJson, tags=["jobs"], operation_id="jobs_quality")
    @action(detail=True, methods=["get"])
    def quality(self, request: Request, pk: str) -> Response:
        """How steady the matte is over time: three scores in plain words, and the moments to look at.

        409 while the job is not final; 404 when it ended without a result, or before this site wrote such reports.
        """
        return Response(representation.quality(self.get_object()))


def known(data: Any) -> dict[str, Any]:
    """The body, if each of its fields is one of the contract's; null does not hide an unknown one."""
    return merge({}, data)


def wanted(user: User, data: Any) -> JobRequest:
    """The request as it was meant: with the defaults of the project that it names."""
    return parse_request(with_defaults(user, known(data)))


def named(user: User, project: str) -> Q:
    """Jobs of the account's projects with this id or external_id, deleted ones too; looked up first: they are few."""
    condition = Q(external_id=project)
    with suppress(ValueError):
        condition |= Q(pk=uuid.UUID(project))
    return Q(project__in=list(Project.objects.filter(condition, owner=user).values_list("pk", flat=True)))
