"""Webhook endpoints and what was sent to them, over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import requires
from apps.api.idempotency import idempotent
from apps.api.pagination import PageQuery
from apps.api.strict import StrictFields, Text
from apps.api.views import ApiViewSet
from apps.webhooks import services, signing
from apps.webhooks.models import ALL_EVENTS, EVENTS, TEST_EVENT, Attempt, Delivery, Endpoint

HOURS = timedelta(hours=1)
NAMES = f"{', '.join(EVENTS)}; or * for these and all to come."


class Flag(serializers.BooleanField):
    """true or false; no word and no number is turned into one."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("must be true or false.")
        return data


class Hours(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError("must be a whole number.")
        return super().to_internal_value(data)


class EndpointFields(StrictFields):
    url = Text(
        max_length=2000, help_text="http or https, without a user name. Where it leads is judged when it is told."
    )
    events = serializers.ListField(child=Text(max_length=40), default=[ALL_EVENTS], help_text=NAMES)
    description = Text(max_length=200, allow_blank=True, default="", help_text="For you.")


class EndpointChanges(StrictFields):
    url = Text(max_length=2000, required=False, help_text="What is still on its way goes there too.")
    events = serializers.ListField(child=Text(max_length=40), required=False)
    description = Text(max_length=200, allow_blank=True, required=False)
    enabled = Flag(required=False, help_text="Events that come while it is false are not made up for.")


class RotateFields(StrictFields):
    overlap_hours = Hours(
        min_value=0,
        max_value=signing.LONGEST_OVERLAP // HOURS,
        default=signing.DEFAULT_OVERLAP // HOURS,
        help_text="So long the old secret signs as well; 0 when somebody else may know it.",
    )


class EndpointJson(serializers.ModelSerializer[Endpoint]):
    events = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField(source="is_enabled")
    disabled_because = serializers.ChoiceField(
        choices=Endpoint.Because.choices,
        allow_null=True,
        help_text="Null while it is enabled.",
    )
    old_secret_until = serializers.DateTimeField(
        source="signing.previous_until", allow_null=True, help_text="During a rotation: so long both secrets sign."
    )

    class Meta:
        model = Endpoint
        fields: tuple[str, ...] = (
            "id", "url", "description", "events", "enabled", "disabled_because", "disabled_at", "failing_since",
            "old_secret_until", "created_at",
        )  # fmt: skip

    def to_representation(self, instance: Endpoint) -> dict[str, Any]:
        shown = dict(super().to_representation(instance))
        shown["disabled_because"] = instance.disabled_because or None
        return shown


class EndpointWithSecret(EndpointJson):
    secret = serializers.CharField(source="signing.secret", help_text="whsec_…; in this answer and in no other.")

    class Meta(EndpointJson.Meta):
        fields = (*EndpointJson.Meta.fields, "secret")


class AttemptJson(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = ("number", "created_at", "status_code", "error", "response_excerpt", "duration_ms")


class DeliveryJson(serializers.ModelSerializer[Delivery]):
    endpoint_id = serializers.UUIDField(allow_null=True, help_text="Null: to the webhook_url of the one job.")
    job_id = serializers.UUIDField(source="subject", allow_null=True)
    attempts = AttemptJson(source="exchanges", many=True)

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = (
            "id", "event", "state", "url", "endpoint_id", "job_id", "request_id", "note", "next_attempt_at",
            "created_at", "finished_at", "attempts",
        )  # fmt: skip


class DeliveryWithBody(DeliveryJson):
    body = serializers.CharField(help_text="The bytes that are signed and sent.")

    class Meta(DeliveryJson.Meta):
        fields = (*DeliveryJson.Meta.fields, "body")


class DeliveriesQuery(PageQuery):
    state = serializers.ChoiceField(choices=Delivery.State.values, required=False)
    event = serializers.ChoiceField(choices=(*EVENTS, TEST_EVENT), required=False)


class AllDeliveriesQuery(DeliveriesQuery):
    job_id = serializers.UUIDField(required=False, help_text="Only what was told of this job.")


class WebhooksViewSet(ApiViewSet):
    permission_classes = (requires("webhooks"),)
    lookup_value_converter = "id"
    queries = {"list": PageQuery, "deliveries": DeliveriesQuery}  # noqa: RUF012
    refusals = {"partial_update": {400, 413, 415}}  # noqa: RUF012

    def get_queryset(self) -> QuerySet[Endpoint]:
        return Endpoint.objects.for_user(self.user).select_related("signing", "user")

    def get_object(self) -> Endpoint:
        endpoint: Endpoint = super().get_object()
        return endpoint

    def shown(self, endpoint: Endpoint, shape: type[EndpointJson] = EndpointJson, *, status: int = 200) -> Response:
        return Response(shape(self.get_queryset().get(pk=endpoint.pk)).data, status=status)

    def delivery(self, delivery_id: str) -> Delivery:
        rows = self.get_object().deliveries.select_related("endpoint")
        return get_object_or_404(rows.prefetch_related("attempt_set"), pk=delivery_id)

    @extend_schema(responses=EndpointJson(many=True), tags=["webhooks"], operation_id="webhooks_list")
    def list(self, request: Request) -> Response:
        """Your endpoints, oldest first."""
        return self.page(self.get_queryset(), lambda rows: list(EndpointJson(rows, many=True).data))

    @extend_schema(
        request=EndpointFields, responses={201: EndpointWithSecret}, tags=["webhooks"], operation_id="webhooks_create"
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make an endpoint. Its secret is in this answer and cannot be read again over the API."""
        endpoint, _ = services.create_endpoint(self.user, **self.body(EndpointFields))
        return self.shown(endpoint, EndpointWithSecret, status=201)

    @extend_schema(responses=EndpointJson, tags=["webhooks"], operation_id="webhooks_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """One endpoint."""
        return self.shown(self.get_object())

    @extend_schema(request=EndpointChanges, responses=EndpointJson, tags=["webhooks"], operation_id="webhooks_change")
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change an endpoint, or enable and disable it. What is left out stays."""
        endpoint, fields = self.get_object(), self.body(EndpointChanges)
        enabled = fields.pop("enabled", None)
        services.change_endpoint(endpoint, **fields)
        if enabled is not None:
            (services.enable_endpoint if enabled else services.disable_endpoint)(endpoint)
        return self.shown(endpoint)

    @extend_schema(responses={204: None}, tags=["webhooks"], operation_id="webhooks_delete")
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an endpoint with its log. What is on its way is not sent any more."""
        services.delete_endpoint(self.get_object())
        return Response(status=204)

    @extend_schema(
        request=RotateFields, responses=EndpointWithSecret, tags=["webhooks"], operation_id="webhooks_rotate"
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def rotate(self, request: Request, pk: str) -> Response:
        """Give the endpoint a new secret. For `overlap_hours` the old one signs too, so nothing is lost meanwhile."""
        endpoint, fields = self.get_object(), self.body(RotateFields)
        signing.rotate(endpoint.signing, overlap=fields["overlap_hours"] * HOURS)
        return self.shown(endpoint, EndpointWithSecret)

    @extend_schema(request=None, responses={201: DeliveryJson}, tags=["webhooks"], operation_id="webhooks_test")
    @action(detail=True, methods=["post"])
    @idempotent
    def test(self, request: Request, pk: str) -> Response:
        """Send the event `webhook.test`, also to a disabled endpoint. Tried once; its delivery says what came of it."""
        self.body(StrictFields)
        return Response(DeliveryJson(services.send_test(self.get_object())).data, status=201)

    @extend_schema(responses=DeliveryJson(many=True), tags=["webhooks"], operation_id="webhooks_deliveries")
    @action(detail=True, methods=["get"])
    def deliveries(self, request: Request, pk: str) -> Response:
        """What was sent to the endpoint, newest first, with every attempt and the first part of each answer."""
        return log(self, self.get_object().deliveries.all())

    @extend_schema(responses=DeliveryWithBody, tags=["webhooks"], operation_id="webhooks_delivery")
    @action(detail=True, methods=["get"], url_path="deliveries/<id:delivery_id>")
    def one_delivery(self, request: Request, pk: str, delivery_id: str) -> Response:
        """One delivery with the body that was sent."""
        return Response(DeliveryWithBody(self.delivery(delivery_id)).data)

    @extend_schema(request=None, responses=DeliveryJson, tags=["webhooks"], operation_id="webhooks_replay")
    @action(detail=True, methods=["post"], url_path="deliveries/<id:delivery_id>/replay")
    @idempotent
    def replay(self, request: Request, pk: str, delivery_id: str) -> Response:
        """Send a delivery once more, now: the same bytes under the same id. 409 while the endpoint is disabled."""
        self.body(StrictFields)
        services.replay(self.delivery(delivery_id))
        return Response(DeliveryJson(self.delivery(delivery_id)).data)


class DeliveriesViewSet(ApiViewSet):
    """Every delivery of the account: the receivers of single jobs have no endpoint to look under."""

    permission_classes = (requires("webhooks"),)
    lookup_value_converter = "id"
    queries = {"list": AllDeliveriesQuery}  # noqa: RUF012

    def get_queryset(self) -> QuerySet[Delivery]:
        return Delivery.objects.for_user(self.user).select_related("endpoint").prefetch_related("attempt_set")

    @extend_schema(responses=DeliveryJson(many=True), tags=["webhooks"], operation_id="deliveries_list")
    def list(self, request: Request) -> Response:
        """What was sent, newest first: to your endpoints, and to the `webhook_url` of single jobs."""
        return log(self, self.get_queryset())

    @extend_schema(responses=DeliveryWithBody, tags=["webhooks"], operation_id="deliveries_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """One delivery with the body that was sent."""
        return Response(DeliveryWithBody(self.get_object()).data)

    @extend_schema(request=None, responses=DeliveryJson, tags=["webhooks"], operation_id="deliveries_replay")
    @action(detail=True, methods=["post"])
    @idempotent
    def replay(self, request: Request, pk: str) -> Response:
        """Send a delivery once more, now: the same bytes under the same id. 409 while its endpoint is disabled."""
        self.body(StrictFields)
        services.replay(self.get_object())
        return Response(DeliveryJson(self.get_object()).data)


def log(view: ApiViewSet, rows: QuerySet[Delivery]) -> Response:
    """One page of some deliveries, as far as the query asks for them."""
    fields = {"state": "state", "event": "event", "job_id": "subject"}
    asked = {field: view.query[name] for name, field in fields.items() if name in view.query}
    found = rows.filter(**asked).prefetch_related("attempt_set").order_by("-created_at", "id")
    return view.page(found, lambda page: list(DeliveryJson(page, many=True).data))
