"""Uploads, over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.http.request import UnreadablePostError
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import requires
from apps.api.idempotency import idempotent, idempotent_upload
from apps.api.parsers import StrictJSONParser, UploadParser
from apps.api.strict import Choice, StrictFields, Text, Whole
from apps.api.views import ApiViewSet
from apps.errors import AppError
from apps.projects import models, resumable, services
from apps.projects.representation import begun_json, moment, state_json, upload_json


class UploadFields(StrictFields):
    # An empty file is refused by the service, as unreadable contents.
    file = serializers.FileField(
        allow_empty_file=True, help_text="MP4, MOV, WebM, MKV or AVI; for a background JPEG, PNG or WebP."
    )
    purpose = Choice(choices=("video", "background"), default="video")
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


class PartsToSend(StrictFields):
    filename = Text(max_length=1000)
    size = Whole(min_value=1, help_text="Bytes of the whole file.")
    content_type = Text(max_length=200, required=False, help_text="Taken, but a file is judged by what is in it.")
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}\Z", required=False, help_text="Of the whole file, hex.")
    purpose = Choice(choices=("video", "background"), default="video")
    project = Text(max_length=200, required=False, help_text="A project's id, or your own external_id for one.")


class PartNumbers(StrictFields):
    numbers = serializers.ListField(child=Whole(min_value=1), min_length=1, max_length=resumable.MOST_PARTS)


class SentPart(StrictFields):
    number = Whole(min_value=1)
    etag = Text(max_length=200)


class SentParts(StrictFields):
    parts = SentPart(many=True, required=False, help_text="If given, the upload is completed only with these ETags.")


class SignedQuery(StrictFields):
    expires = Text(max_length=20)
    signature = Text(max_length=200)


class PartUrl(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    url = serializers.URLField(help_text="PUT the part's bytes here; no key needed, and nothing but the bytes.")


class PartUrls(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    upload_id = serializers.UUIDField()
    parts = PartUrl(many=True)
    expires_at = serializers.DateTimeField()


class NewUpload(PartUrls):
    part_size = serializers.IntegerField(help_text="Bytes of each part; the last one has what is left.")


class ReceivedPart(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    size = serializers.IntegerField()
    etag = serializers.CharField()


class UploadState(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    upload_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=("open", "completing", "completed", "failed"))
    filename = serializers.CharField()
    size = serializers.IntegerField()
    part_size = serializers.IntegerField()
    parts = ReceivedPart(many=True, help_text="What has arrived; an upload that is not open has no parts any more.")
    missing = serializers.ListField(child=serializers.IntegerField())
    error_code = serializers.CharField(allow_null=True, help_text="Why a failed one was refused.")
    error = serializers.CharField(allow_null=True)
    video_id = serializers.UUIDField(required=False, help_text="Once completed; or image_id.")
    image_id = serializers.UUIDField(required=False)
    expires_at = serializers.DateTimeField(help_text="What is not completed by then is removed.")


class Gone(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    upload_id = serializers.UUIDField()
    message = serializers.CharField()


WAYS = {"multipart/form-data": UploadFields, "application/json": PartsToSend}
ANSWERS = PolymorphicProxySerializer(
    component_name="UploadAnswer", serializers=[Upload, NewUpload], resource_type_field_name=None
)


class UploadsViewSet(ApiViewSet):
    lookup_value_converter = "id"
    refusals = {"destroy": {409}}  # noqa: RUF012
    permission_classes = (requires("uploads"),)
    parser_classes = (UploadParser, StrictJSONParser)

    def get_object(self) -> models.Upload:
        if upload := resumable.find(self.user, self.kwargs["pk"]):
            return upload
        raise Http404

    @extend_schema(request=WAYS, responses={201: ANSWERS}, tags=["uploads"], operation_id="uploads_create")
    @idempotent_upload
    def create(self, request: Request) -> Response:
        """Upload a video, or with `purpose=background` a picture to lay cutouts over.

        As `multipart/form-data` the file comes at once. As JSON only its name and size do, and the answer
        says where to PUT its parts: in any order, beside each other, again after a lost connection.
        """
        if is_json(request):
            return self.begin(self.body(PartsToSend))
        fields = self.body(UploadFields)
        project = services.named_project(self.user, fields.get("project"))
        file = fields["file"]
        asset = services.create_asset(project, file, filename=file.name, kind=fields["purpose"])
        return Response(upload_json(asset), status=201)

    def begin(self, fields: dict[str, Any]) -> Response:
        named = {name: fields.get(name, "") for name in ("filename", "size", "sha256", "project")}
        upload = resumable.begin(self.user, kind=fields["purpose"], **named)
        return Response(begun_json(upload), status=201)

    @extend_schema(responses=UploadState, tags=["uploads"], operation_id="uploads_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """How far an upload in parts is: which parts have arrived."""
        return Response(state_json(self.get_object()))

    @extend_schema(request=PartNumbers, responses=PartUrls, tags=["uploads"], operation_id="uploads_parts")
    @action(detail=True, methods=["post"], parser_classes=(StrictJSONParser,))
    @idempotent
    def parts(self, request: Request, pk: str) -> Response:
        """Fresh addresses for some parts."""
        upload = self.get_object()
        said = {"success": True, "upload_id": str(upload.pk), "expires_at": moment(upload.expires_at)}
        return Response({**said, "parts": resumable.urls(upload, self.body(PartNumbers)["numbers"])})

    @extend_schema(request=SentParts, responses={201: Upload}, tags=["uploads"], operation_id="uploads_complete")
    @action(detail=True, methods=["post"], parser_classes=(StrictJSONParser,))
    @idempotent_upload
    def complete(self, request: Request, pk: str) -> Response:
        """Put the parts together and look at the file; the answer is that of an upload that came at once.

        While parts are missing it is 409 `conflict`, and `missing` names them. A file that is refused is not kept.
        """
        etags = {part["number"]: part["etag"] for part in self.body(SentParts).get("parts", ())}
        return Response(upload_json(resumable.complete(self.get_object(), etags=etags)), status=201)

    @extend_schema(responses={200: Gone}, tags=["uploads"], operation_id="uploads_delete")
    def destroy(self, request: Request, pk: str) -> Response:
        """Give an unfinished upload up; its parts are removed now."""
        upload = self.get_object()
        if not resumable.discard(upload):
            raise AppError("conflict", f"The upload is {upload.status}: only an unfinished one can be given up.")
        return Response({"success": True, "upload_id": str(upload.pk), "message": "Upload deleted"})


class PartsViewSet(ApiViewSet):
    """Where parts are sent when media are local files. The signed address is the permission, as on S3."""

    authentication_classes = ()
    permission_classes = ()
    # A file has hundreds of parts, and each address takes only what was promised.
    throttle_classes = ()  # type: ignore[assignment]
    queries = {"receive": SignedQuery}  # noqa: RUF012

    def receive(self, request: Request, pk: UUID, number: int) -> Response:
        http = request._request
        length = int(http.META.get("CONTENT_LENGTH") or 0) or None
        try:
            part = resumable.receive(pk, number, **self.query, length=length, stream=http)
        except UnreadablePostError:
            raise ParseError("The connection broke before the part had arrived.") from None
        body = {"success": True, "number": number, "size": part.size, "etag": part.etag}
        return Response(body, headers={"ETag": part.etag})


def is_json(request: Request) -> bool:
    return str(request.content_type).split(";")[0].strip().lower() == StrictJSONParser.media_type
