"""For support: find a person, shut a key out."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts import services
from apps.accounts.models import ApiKey, DataRequest, Mail, User


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    """People sign up themselves or come by `manage.py create_account`; their records outlive them."""

    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "date_joined")
    search_fields = ("email", "name", "=id")
    search_help_text = "E-mail, name or account id."
    ordering = ("-date_joined",)
    fields = (
        "id", "email", "name", "date_joined", "last_login", "mails_finished_jobs", "mails_low_credits",
        "is_active", "is_staff", "is_superuser", "groups",
    )  # fmt: skip
    filter_horizontal = ("groups",)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Who may give rights is decided by who has them all, or staff could promote themselves."""
        facts = ("id", "email", "name", "date_joined", "last_login")
        return facts if request.user.is_superuser else (*facts, "is_staff", "is_superuser", "groups")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    list_display = ("prefix", "name", "user", "created_at", "last_used_at", "expires_at", "disabled_at")
    list_filter = ("disabled_at", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "name", "prefix", "=id")
    search_help_text = "E-mail, name of the key, or its first characters."
    # Without the digest: support has no use for it.
    fields = readonly_fields = (
        "id", "user", "name", "prefix", "scopes", "credits_a_month", "created_at", "last_used_at", "expires_at",
        "disabled_at", "previous_until",
    )  # fmt: skip
    actions = ("disable", "enable", "rotate")

    @admin.display(description="credits a month")
    def credits_a_month(self, key: ApiKey) -> str:
        return "no cap" if key.monthly_cap is None else f"{key.monthly_cap / 100:,.2f}"

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = sum(services.disable_key(key) for key in queryset)
        self.message_user(request, f"{count} disabled.", messages.SUCCESS)

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = sum(services.enable_key(key) for key in queryset)
        self.message_user(request, f"{count} enabled.", messages.SUCCESS)

    @admin.action(description="Rotate: the old secret stops now", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """One at a time, because whoever does it has to hand the new secret to the key's owner."""
        if len(queryset) != 1:
            self.message_user(request, "Choose one key.", messages.ERROR)
            return
        (key,) = queryset
        secret = services.rotate_key(key, grace=timedelta(0))
        message = f"The new secret of {key.name} is {secret}. It is shown this once: give it to {key.user} safely."
        self.message_user(request, message, messages.WARNING)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False


@admin.register(Mail)
class MailAdmin(admin.ModelAdmin):
    """What people were mailed beside what concerns signing in, and whether it went out."""

    list_display = ("kind", "user", "created_at", "sent_at", "attempts", "next_attempt_at")
    list_filter = ("kind", "created_at", "sent_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "=id", "key")
    search_help_text = "E-mail, mail id, or the occasion's key."
    fields = readonly_fields = (
        "id", "user", "kind", "key", "context", "created_at", "attempts", "next_attempt_at", "sent_at",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Mail | None = None) -> bool:
        return False


@admin.register(DataRequest)
class DataRequestAdmin(admin.ModelAdmin):
    """Who took a copy of their data, whose account was deleted, and whether all of it is gone."""

    list_display = ("created_at", "kind", "user", "cleared_at", "done_at")
    list_filter = ("kind", "created_at", "done_at")
    list_select_related = ("user",)
    search_fields = ("=id", "=user__id", "user__email")
    search_help_text = "Id of the request or of the account, or an e-mail address that is still known."
    fields = readonly_fields = ("id", "user", "kind", "created_at", "cleared_at", "done_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DataRequest | None = None) -> bool:
        return False
