"""Projects, over the API. Here and not beside their models, because a project decides over its jobs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import requires
from apps.api.idempotency import idempotent
from apps.api.pagination import PageQuery
from apps.api.strict import StrictFields, Text
from apps.api.views import ApiViewSet
from apps.jobs import projects as jobs_of
from apps.projects import services as projects
from apps.projects.models import Project

AN_HOUR_IN_DAYS = 1 / 24


class Number(serializers.FloatField):
    """A JSON number; a text that looks like one is not turned into it."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError("must be a number.")
        return super().to_internal_value(data)


class ProjectChanges(StrictFields):
    name = Text(max_length=120, required=False)
    external_id = Text(
        max_length=200, required=False, allow_null=True, help_text="Your own name for it; unique in your account."
    )
    result_days = Number(
        min_value=AN_HOUR_IN_DAYS, required=False, allow_null=True,
        error_messages={"min_value": "must be at least an hour, which is 0.0417 days."},
        help_text="How long results are kept; null: as long as the site keeps them, and never longer.",
    )  # fmt: skip
    source_hours = Number(
        min_value=1, required=False, allow_null=True, help_text="The same for sources, counted from their upload."
    )
    defaults = serializers.DictField(
        required=False,
        help_text="Fields of a job, such as model or background, that it takes when they are left out.",
    )

    def validate_defaults(self, value: dict[str, Any]) -> dict[str, Any]:
        return jobs_of.check_defaults(value)


class ProjectFields(ProjectChanges):
    name = Text(max_length=120)


class ProjectQuery(PageQuery):
    external_id = Text(max_length=200, required=False, help_text="Only the one that you call so.")


class ProjectJson(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = (
            "id", "name", "external_id", "is_default", "result_days", "source_hours", "defaults", "created_at",
        )  # fmt: skip


class GoneProject(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    id = serializers.UUIDField()
    message = serializers.CharField()


class ProjectsViewSet(ApiViewSet):
    lookup_value_converter = "id"
    queries = {"list": ProjectQuery}  # noqa: RUF012
    refusals = {"partial_update": {400, 409, 413, 415}, "destroy": {409}}  # noqa: RUF012
    serializer_class = ProjectJson
    http_method_names = ["get", "post", "patch", "delete", "head"]  # noqa: RUF012

    def get_permissions(self) -> list[Any]:
        return [requires("jobs:read" if self.action in ("list", "retrieve") else "jobs:write")()]

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.for_user(self.user).order_by("-created_at", "id")

    @extend_schema(responses=ProjectJson(many=True), tags=["projects"], operation_id="projects_list")
    def list(self, request: Request) -> Response:
        """Your projects, newest first."""
        rows = self.get_queryset()
        if external_id := self.query.get("external_id"):
            rows = rows.filter(external_id=external_id)
        return self.page(rows, lambda page: list(ProjectJson(page, many=True).data))

    @extend_schema(
        request=ProjectFields, responses={201: ProjectJson}, tags=["projects"], operation_id="projects_create"
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a project. Naming a new `external_id` in a job makes one too."""
        project = projects.create_project(self.user, **self.body(ProjectFields))
        return Response(ProjectJson(project).data, status=201)

    @extend_schema(responses=ProjectJson, tags=["projects"], operation_id="projects_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """One project."""
        return Response(ProjectJson(self.get_object()).data)

    @extend_schema(request=ProjectChanges, responses=ProjectJson, tags=["projects"], operation_id="projects_change")
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a project. A shorter time to keep things holds for what is there already, too."""
        project = self.get_object()
        return Response(ProjectJson(jobs_of.change(project, **self.body(ProjectChanges))).data)

    @extend_schema(responses={200: GoneProject}, tags=["projects"], operation_id="projects_delete")
    def destroy(self, request: Request, pk: str) -> Response:
        """Cancel its unfinished jobs and delete its media. The records of its jobs stay, and still name it."""
        project: Project = self.get_object()
        jobs_of.delete(project)
        return Response({"success": True, "id": str(project.pk), "message": "Project deleted"})
