"""For support: every credit and where it came from. All of it is read here and written by services only."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import services
from apps.credits.amounts import from_credits, to_credits
from apps.credits.models import Hold, LedgerEntry, PriceList, Purchase, StripeEvent, Wallet
from apps.errors import AppError


class ReadOnlyAdmin(admin.ModelAdmin):
    """Searched and read; nobody adds, changes or deletes, superusers included."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class GrantForm(ActionForm):
    """Beside the list of actions. The number is made with the page, so a second click on Go gives nothing more."""

    credits = forms.CharField(required=False, max_length=20)
    note = forms.CharField(required=False, max_length=300)
    number = forms.UUIDField(required=False, initial=uuid.uuid4, widget=forms.HiddenInput, label="")


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    list_display = fields = ("user", "balance_credits", "held_credits", "available_credits")
    list_select_related = ("user",)
    search_fields = ("user__email", "=user__id")
    search_help_text = "E-mail or account id."
    ordering = ("user__email",)
    action_form = GrantForm
    actions = ("grant",)

    def has_grant_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_ledgerentry")

    @admin.action(description="Give credits", permissions=["grant"])
    def grant(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        assert isinstance(request.user, User)  # only staff get here
        number, note = request.POST.get("number"), request.POST.get("note", "").strip()
        if not number or not note:
            self.message_user(request, "Say in the note why the credits are given.", messages.ERROR)
            return
        try:
            amount = from_credits(request.POST.get("credits", ""))
            for wallet in queryset.select_related("user"):
                key = f"grant:admin:{number}:{wallet.pk}"
                services.grant(wallet.user, amount, key=key, note=note[:300], staff=request.user)
        except AppError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return
        self.message_user(request, f"{to_credits(amount)} credits given to each of {len(queryset)}.", messages.SUCCESS)

    @admin.display(description="balance", ordering="balance")
    def balance_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.balance)

    @admin.display(description="held", ordering="held")
    def held_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.held)

    @admin.display(description="available")
    def available_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.available)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "kind", "credits", "balance_then", "reference", "note")
    list_filter = ("kind", "created_at")
    list_select_related = ("wallet__user",)
    search_fields = ("wallet__user__email", "=reference", "=key", "note")
    search_help_text = "E-mail, job or purchase id, key, or words of the note."
    date_hierarchy = "created_at"
    fields = ("id", "created_at", "owner", "kind", "credits", "balance_then", "key", "reference", "note", "staff")

    @admin.display(ordering="wallet__user__email")
    def owner(self, entry: LedgerEntry) -> str:
        return entry.wallet.user.email

    @admin.display(ordering="amount")
    def credits(self, entry: LedgerEntry) -> float:
        return to_credits(entry.amount)

    @admin.display(description="balance after")
    def balance_then(self, entry: LedgerEntry) -> float:
        return to_credits(entry.balance_after)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "state", "credits", "captured_credits", "reference", "settled_at")
    list_filter = ("state", "created_at")
    list_select_related = ("wallet__user",)
    search_fields = ("wallet__user__email", "=reference", "=key", "=id")
    search_help_text = "E-mail, job id, key or hold id."
    fields = ("id", "created_at", "owner", "state", "credits", "captured_credits", "key", "reference", "settled_at")

    @admin.display(ordering="wallet__user__email")
    def owner(self, hold: Hold) -> str:
        return hold.wallet.user.email

    @admin.display(ordering="amount")
    def credits(self, hold: Hold) -> float:
        return to_credits(hold.amount)

    @admin.display(description="captured", ordering="captured")
    def captured_credits(self, hold: Hold) -> float:
        return to_credits(hold.captured)


@admin.register(Purchase)
class PurchaseAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "user", "pack", "price", "status", "session_id")
    list_filter = ("status", "pack", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "=id", "=session_id", "=payment_intent")
    search_help_text = "E-mail, purchase id, or Stripe's session or payment id."
    # Without session_url: whoever opens it sees the buyer's checkout.
    fields = (
        "id", "created_at", "updated_at", "user", "pack", "credits_bought", "price", "pricing_version", "status",
        "session_id", "payment_intent", "read_number", "applied_number",
    )  # fmt: skip

    @admin.display(description="credits", ordering="credits")
    def credits_bought(self, purchase: Purchase) -> float:
        return to_credits(purchase.credits)

    @admin.display(ordering="amount")
    def price(self, purchase: Purchase) -> str:
        return f"{purchase.amount / 100:.2f} {purchase.currency.upper()}"


@admin.register(PriceList)
class PriceListAdmin(admin.ModelAdmin):
    """A new list is added with a start in the future; from then on it is history."""

    list_display = ("version", "starts_at", "free_credits")
    fields = ("version", "starts_at", "rates", "packs", "free_grant")

    @admin.display(description="free grant", ordering="free_grant")
    def free_credits(self, prices: PriceList) -> float:
        return to_credits(prices.free_grant)

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        has_started = obj is not None and obj.starts_at <= timezone.now()
        return not has_started and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return False


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "type", "id", "processed_at", "error")
    list_filter = ("type", "received_at", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("=id", "=payload__data__object__id", "=payload__data__object__payment_intent")
    search_help_text = "Stripe's id of the event, session, payment, charge or dispute."
    fields = ("id", "type", "received_at", "processed_at", "error", "payload")
