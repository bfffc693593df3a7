"""For support: who was told what, every attempt, and a button to send again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.errors import AppError
from apps.webhooks import services
from apps.webhooks.models import Attempt, Delivery, Endpoint


class AttemptInline(admin.TabularInline):
    model = Attempt
    fields = readonly_fields = ("number", "created_at", "status_code", "error", "response_excerpt", "duration_ms")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):
    list_display = ("url", "user", "events", "disabled_because", "disabled_at", "failing_since", "deleted_at")
    list_filter = ("disabled_because", "failing_since", "created_at")
    list_select_related = ("user",)
    search_fields = ("=id", "url", "description", "user__email")
    search_help_text = "Endpoint id, URL, its description or e-mail."
    fields = readonly_fields = (
        "id", "user", "url", "description", "events", "created_at", "failing_since", "disabled_at", "disabled_because",
        "deleted_at",
    )  # fmt: skip
    actions = ("disable", "enable")

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        count = sum(services.disable_endpoint(endpoint) for endpoint in queryset)
        self.message_user(request, f"{count} disabled.", messages.SUCCESS)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        count = sum(services.enable_endpoint(endpoint) for endpoint in queryset)
        self.message_user(request, f"{count} enabled.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    list_display = ("id", "event", "state", "attempts", "next_attempt_at", "created_at", "url")
    list_filter = ("state", "event", "created_at")
    search_fields = ("=id", "=endpoint__id", "=subject", "=request_id", "url", "user__email")
    search_help_text = "Id of the delivery, endpoint, job or request, receiver's URL or e-mail."
    date_hierarchy = "created_at"
    # Without the secret: whoever reads it could sign in our name.
    fields = readonly_fields = (
        "id", "user", "endpoint", "event", "url", "subject", "request_id", "state", "note", "attempts",
        "next_attempt_at", "sending_until", "created_at", "finished_at", "body",
    )  # fmt: skip
    inlines = (AttemptInline,)
    actions = ("send_again",)

    @admin.action(description="Send again", permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        for delivery in queryset:
            try:
                services.replay(delivery)
            except AppError as refusal:
                self.message_user(request, f"{delivery}: {refusal.message}", messages.WARNING)
            else:
                self.message_user(request, f"{delivery} is on its way again.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False
