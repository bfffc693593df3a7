"""For support: who was told what, every attempt, and a button to send again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from apps.accounts.acts import Button, Wish
from apps.accounts.admin import OfAccountAdmin
from apps.accounts.records import link, listing, one_of, page
from apps.accounts.sought import Sought
from apps.webhooks import services
from apps.webhooks.models import EVENTS, TEST_EVENT, Attempt, Delivery, Endpoint


class AttemptInline(admin.TabularInline):
    model = Attempt
    fields = readonly_fields = ("number", "created_at", "status_code", "error", "response_excerpt", "duration_ms")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False


def _disable(endpoint: Endpoint, wish: Wish) -> str:
    services.disable_endpoint(endpoint)
    return "It is told nothing any more."


def _enable(endpoint: Endpoint, wish: Wish) -> str:
    services.enable_endpoint(endpoint)
    return "It is told of what happens from now on."


def _look_at_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {"state": services.words(Endpoint.objects.get(pk=endpoint.pk))}


@admin.register(Endpoint)
class EndpointAdmin(OfAccountAdmin):
    rank = 7
    list_display = ("url", "user", "events", "disabled_because", "disabled_at", "failing_since", "deleted_at")
    list_filter = ("disabled_because", ("failing_since", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_help_text = "Endpoint id, e-mail or account id."
    fields = readonly_fields = (
        "id", "of", "url", "description", "events", "created_at", "failing_since", "disabled_at", "disabled_because",
        "deleted_at",
    )  # fmt: skip
    buttons = (
        Button(
            "disable", "Disable", "webhooks.disable_endpoint", _disable, _look_at_endpoint,
            lambda endpoint: "" if endpoint.is_enabled else "It is not enabled.",
        ),
        Button(
            "enable", "Enable", "webhooks.disable_endpoint", _enable, _look_at_endpoint,
            lambda endpoint: "" if endpoint.disabled_at and not endpoint.deleted_at else "It is not disabled.",
        ),
    )  # fmt: skip

    def ways(self, record: Endpoint) -> list[tuple[str, str]]:
        return [
            ("Account", page("accounts_user", record.user_id)), ("Deliveries", listing("webhooks_delivery", record.pk)),
        ]  # fmt: skip


def _replay(delivery: Delivery, wish: Wish) -> str:
    services.replay(delivery)
    return f"{delivery} is on its way again."


def _look_at_delivery(delivery: Delivery) -> dict[str, Any]:
    fresh = Delivery.objects.get(pk=delivery.pk)
    return {"state": fresh.state, "attempts": fresh.attempts}


def _why_not(delivery: Delivery) -> str:
    if delivery.endpoint and not delivery.endpoint.is_enabled and delivery.event != TEST_EVENT:
        return "The endpoint is disabled: enable it, then send again."
    return ""


@admin.register(Delivery)
class DeliveryAdmin(OfAccountAdmin):
    rank = 7
    list_display = ("id", "event", "state", "attempts", "next_attempt_at", "created_at", "url")
    list_filter = ("state", one_of("event", (*EVENTS, TEST_EVENT)), "created_at")
    search_help_text = "Id of the delivery, endpoint or job, e-mail or account id."
    date_hierarchy = "created_at"
    # Without the secret: whoever reads it could sign in our name.
    fields = readonly_fields = (
        "id", "of", "to", "event", "url", "job", "request_id", "state", "note", "attempts",
        "next_attempt_at", "sending_until", "created_at", "finished_at", "body",
    )  # fmt: skip
    inlines = (AttemptInline,)
    buttons = (Button("replay", "Send again", "webhooks.replay_delivery", _replay, _look_at_delivery, _why_not),)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The body is its largest part, and only one page shows it."""
        return super().get_queryset(request).select_related("endpoint").defer("body")

    def condition(self, sought: Sought) -> Q | None:
        if theirs := self.of_account(sought):
            return theirs
        for field in ("subject", "endpoint"):
            if sought.id and Delivery.objects.filter(**{field: sought.id}).exists():
                return Q(**{field: sought.id})
        return sought.ids()

    def detail(self, record: Delivery) -> str:
        return f"{record.state} after {record.attempts} attempts · {record.url}"

    @admin.display(description="endpoint")
    def to(self, delivery: Delivery) -> str:
        return link("webhooks_endpoint", delivery.endpoint_id, delivery.endpoint)

    @admin.display(description="job")
    def job(self, delivery: Delivery) -> str:
        return link("jobs_job", delivery.subject, delivery.subject)
