"""What you used, over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import ApiKey
from apps.accounts.permissions import requires
from apps.api.strict import StrictFields, Text
from apps.api.views import ApiViewSet
from apps.errors import AppError
from apps.jobs import usage
from apps.jobs.models import Job

KEY_HELP = "Only what this API key did: its id, or `this` for the one you call with. Left out: the whole account."


class SummaryQuery(StrictFields):
    days = serializers.IntegerField(
        min_value=1, max_value=usage.MAX_DAYS, default=7, help_text="Today (UTC) and the days before it."
    )
    api_key = Text(max_length=36, required=False, help_text=KEY_HELP)


class EventsQuery(StrictFields):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    api_key = Text(max_length=36, required=False, help_text=KEY_HELP)


class Figures(serializers.Serializer[Any]):
    jobs = serializers.IntegerField(help_text="That ended, however.")
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    canceled = serializers.IntegerField()
    seconds = serializers.FloatField(help_text="Of video, delivered.")
    credits = serializers.FloatField(help_text="Charged.")


class DayUsage(Figures):
    date = serializers.DateField(help_text="UTC.")


class ModelUsage(Figures):
    model = serializers.CharField()


class ProjectUsage(Figures):
    project_id = serializers.UUIDField(allow_null=True, help_text="Null: the project was deleted.")
    project = serializers.CharField(allow_null=True)


class KeyUsage(Figures):
    api_key_id = serializers.UUIDField(allow_null=True, help_text="Null: in the browser, or by a key since deleted.")
    api_key = serializers.CharField(allow_null=True, help_text="Its name.")


UsageSummary = type(
    "UsageSummary",
    (serializers.Serializer,),
    {
        "__doc__": "Jobs count on the day they ended; `data` has a row for each day, the oldest first.",
        "days": serializers.IntegerField(),
        "from": serializers.DateField(),
        "to": serializers.DateField(),
        "totals": Figures(),
        "data": DayUsage(many=True),
        "by_model": ModelUsage(many=True),
        "by_project": ProjectUsage(many=True),
        "by_key": KeyUsage(many=True),
    },
)
"""Made by hand, because `from` is a word of the language."""


class UsageEvent(serializers.Serializer[Any]):
    """One call for a job, and what came of it so far."""

    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Job.Status.values)
    model = serializers.CharField()
    output_format = serializers.CharField()
    project_id = serializers.UUIDField(allow_null=True)
    project = serializers.CharField(allow_null=True)
    api_key_id = serializers.UUIDField(allow_null=True)
    api_key = serializers.CharField(allow_null=True)
    seconds = serializers.FloatField(help_text="Of video that it was priced for.")
    credits = serializers.FloatField(help_text="Charged.")
    held = serializers.FloatField(help_text="Set aside while it waits or runs.")
    error_code = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)


class UsageEvents(serializers.Serializer[Any]):
    data = UsageEvent(many=True)  # type: ignore[assignment]
    limit = serializers.IntegerField()


class UsageViewSet(ApiViewSet):
    permission_classes = (requires("credits:read"),)
    queries = {"summary": SummaryQuery, "events": EventsQuery}  # noqa: RUF012

    @extend_schema(responses=UsageSummary, tags=["credits"], operation_id="usage_summary")
    @action(detail=False)
    def summary(self, request: Request) -> Response:
        """What your jobs used: totals, and for each day, model, project and key."""
        return Response(usage.summary(self.user, days=self.query["days"], key=self.key()))

    @extend_schema(responses=UsageEvents, tags=["credits"], operation_id="usage_events")
    @action(detail=False)
    def events(self, request: Request) -> Response:
        """Your latest calls for a job, the newest first."""
        limit = self.query["limit"]
        return Response({"data": usage.events(self.user, limit=limit, key=self.key()), "limit": limit})

    def key(self) -> UUID | None:
        """The id of the key that was asked about; None for all."""
        asked = self.query.get("api_key")
        if asked is None:
            return None
        mine = ApiKey.objects.filter(user=self.user)
        try:
            key = self.request.auth if asked == "this" else mine.filter(pk=UUID(asked)).first()
        except ValueError:
            key = None
        if not isinstance(key, ApiKey):
            raise AppError("invalid_request", "api_key names no key of yours.", param="api_key")
        return key.pk
