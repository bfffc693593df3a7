"""For support: who was told what, every attempt, and a button to send again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.webhooks import services
from apps.webhooks.models import Attempt, Delivery


class AttemptInline(admin.TabularInline):
    model = Attempt
    fields = readonly_fields = ("number", "created_at", "status_code", "error", "response_excerpt", "duration_ms")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    list_display = ("id", "event", "state", "attempts", "next_attempt_at", "created_at", "url")
    list_filter = ("state", "event", "created_at")
    search_fields = ("=id", "=subject", "=request_id", "url", "user__email")
    search_help_text = "Delivery id, job id, request id, receiver's URL or e-mail."
    date_hierarchy = "created_at"
    # Without the secret: whoever reads it could sign in our name.
    fields = readonly_fields = (
        "id", "user", "event", "url", "subject", "request_id", "state", "attempts",
        "next_attempt_at", "created_at", "finished_at", "body",
    )  # fmt: skip
    inlines = (AttemptInline,)
    actions = ("send_again",)

    @admin.action(description="Send again", permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        for delivery in queryset:
            services.replay(delivery)
        self.message_user(request, f"{queryset.count()} on the way again.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False
