"""Uploads and projects, over the API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import requires
from apps.api.idempotency import idempotent, idempotent_upload
from apps.api.pagination import PageQuery
from apps.api.parsers import UploadParser
from apps.api.strict import StrictFields, Text
from apps.api.views import ApiViewSet
from apps.projects import services
from apps.projects.models import Asset, Project

FACTS = ("duration", "width", "height", "fps", "has_audio", "rotation")


class UploadFields(StrictFields):
    # An empty file is refused by the service, as unreadable contents.
    file = serializers.FileField(
        allow_empty_file=True, help_text="MP4, MOV, WebM, MKV or AVI; for a background JPEG, PNG or WebP."
    )
    purpose = serializers.ChoiceField(choices=("video", "background"), default="video")
    project = Text(max_length=200, required=False, help_text="A project's id, or your own external_id for one.")


class Upload(serializers.Serializer[Any]):
    """A video's answer; with `purpose=background` it is `image_id` and `image_url` with width and height."""

    success = serializers.BooleanField()
    video_id = serializers.UUIDField(required=False)
    video_url = serializers.URLField(required=False, help_text="Give it to a job as video_url.")
    image_id = serializers.UUIDField(required=False)
    image_url = serializers.URLField(required=False, help_text="Give it to a job as bg_image_url.")
    filename = serializers.CharField(required=False)
    size = serializers.IntegerField(required=False, help_text="Bytes.")
    duration = serializers.FloatField(required=False, help_text="Seconds.")
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    fps = serializers.FloatField(required=False)
    has_audio = serializers.BooleanField(required=False)
    rotation = serializers.IntegerField(required=False, help_text="Degrees that were undone; sizes are upright.")


class ProjectFields(StrictFields):
    name = Text(max_length=120)
    external_id = Text(max_length=200, required=False, help_text="Your own name for it; unique in your account.")


class ProjectJson(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ("id", "name", "external_id", "is_default", "created_at")


class UploadsViewSet(ApiViewSet):
    permission_classes = (requires("uploads"),)
    parser_classes = (UploadParser,)

    @extend_schema(request=UploadFields, responses={201: Upload}, tags=["uploads"], operation_id="uploads_create")
    @idempotent_upload
    def create(self, request: Request) -> Response:
        """Upload a video, or with `purpose=background` a picture to lay cutouts over."""
        fields = self.body(UploadFields)
        project = services.named_project(self.user, fields.get("project"))
        file = fields["file"]
        asset = services.create_asset(project, file, filename=file.name, kind=fields["purpose"])
        return Response(upload_json(asset), status=201)


class ProjectsViewSet(ApiViewSet):
    permission_classes = (requires("jobs:write"),)
    queries = {"list": PageQuery}  # noqa: RUF012
    serializer_class = ProjectJson

    def get_permissions(self) -> list[Any]:
        return [requires("jobs:read" if self.action == "list" else "jobs:write")()]

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.filter(owner=self.user).order_by("-created_at", "id")

    @extend_schema(responses=ProjectJson(many=True), tags=["projects"], operation_id="projects_list")
    def list(self, request: Request) -> Response:
        """Your projects, newest first."""
        return self.page(self.get_queryset(), lambda rows: list(ProjectJson(rows, many=True).data))

    @extend_schema(
        request=ProjectFields, responses={201: ProjectJson}, tags=["projects"], operation_id="projects_create"
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a project. Naming a new `external_id` in a job makes one too."""
        project = services.create_project(self.user, **self.body(ProjectFields))
        return Response(ProjectJson(project).data, status=201)


def upload_json(asset: Asset) -> dict[str, Any]:
    url = services.asset_url(asset)
    if asset.kind == Asset.Kind.BACKGROUND:
        size = {"width": asset.facts["width"], "height": asset.facts["height"]}
        return {"success": True, "image_id": str(asset.id), "image_url": url, **size}
    facts = {name: asset.facts[name] for name in FACTS}
    named = {"video_id": str(asset.id), "video_url": url, "filename": asset.filename, "size": asset.size}
    return {"success": True, **named, **facts}
