"""For support: every credit and where it came from. All of it is read here and written by services only."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from apps.accounts.models import User
from apps.credits import services
from apps.credits.amounts import from_credits, to_credits
from apps.credits.forms import PACKS, PriceListForm
from apps.credits.models import AuditRun, Hold, LedgerEntry, PriceList, Purchase, StripeEvent, Wallet
from apps.credits.money import from_minor
from apps.credits.templatetags.amounts import money
from apps.engine.options import MODELS
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
    list_display = ("user", "balance_credits", "held_credits", "available_credits")
    fields = (*list_display, "low_credits", "stripe_customer")
    list_select_related = ("user",)
    search_fields = ("user__email", "=user__id", "=stripe_customer")
    search_help_text = "E-mail, account id, or Stripe's customer id."
    ordering = ("user__email",)
    action_form = GrantForm
    actions = ("grant", "adjust")

    def has_grant_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_ledgerentry")

    @admin.action(description="Give credits", permissions=["grant"])
    def grant(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        """More than 0 credits, as a present."""
        self._move(request, queryset, "grant")

    @admin.action(description="Adjust the balance (−5 takes 5 away)", permissions=["grant"])
    def adjust(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        self._move(request, queryset, "adjust")

    def _move(self, request: HttpRequest, queryset: QuerySet[Wallet], how: str) -> None:
        assert isinstance(request.user, User)  # only staff get here
        number, note = request.POST.get("number"), request.POST.get("note", "").strip()[:300]
        if not number or not note:
            self.message_user(request, "Say why in the note.", messages.ERROR)
            return
        try:
            amount = from_credits(request.POST.get("credits", ""))
            with transaction.atomic():
                # In the order of their ids, or two of these could wait for each other.
                for wallet in queryset.select_related("user").order_by("pk"):
                    key = f"{how}:admin:{number}:{wallet.pk}"
                    if how == "grant":
                        services.grant(wallet.user, amount, key=key, note=note, staff=request.user)
                    else:
                        services.adjust(wallet.user, amount, key=key, reason=note, staff=request.user)
        except AppError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return
        done = "given to" if how == "grant" else "put on the balance of"
        self.message_user(request, f"{to_credits(amount)} credits {done} each of {len(queryset)}.", messages.SUCCESS)

    @admin.display(description="balance", ordering="balance")
    def balance_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.balance)

    @admin.display(description="held", ordering="held")
    def held_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.held)

    @admin.display(description="available")
    def available_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.available)

    @admin.display(description="told when below")
    def low_credits(self, wallet: Wallet) -> float:
        return to_credits(wallet.low_threshold)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "kind", "credits", "balance_then", "reference", "note", "staff_name")
    list_filter = ("kind", "created_at")
    list_select_related = ("wallet__user",)
    search_fields = ("wallet__user__email", "=reference", "=key", "note", "=staff_name")
    search_help_text = "E-mail of owner or staff, job or purchase id, key, or words of the note."
    date_hierarchy = "created_at"
    fields = ("id", "created_at", "owner", "kind", "credits", "balance_then", "key", "reference", "note", "staff_name")

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
    search_fields = ("user__email", "=id", "=session_id", "=payment_intent", "=start_job")
    search_help_text = "E-mail, purchase id, Stripe's session or payment id, or the job it was made for."
    # Without session_url: whoever opens it sees the buyer's checkout.
    fields = (
        "id", "created_at", "updated_at", "user", "pack", "credits_bought", "price", "pricing_version", "status",
        "problem", "disputed_credits", "session_id", "payment_intent", "read_number", "applied_number",
        "start_job", "started_job", "start_settled_at", "start_problem",
    )  # fmt: skip

    @admin.display(description="credits", ordering="credits")
    def credits_bought(self, purchase: Purchase) -> float:
        return to_credits(purchase.credits)

    @admin.display(ordering="amount")
    def price(self, purchase: Purchase) -> str:
        return f"{from_minor(purchase.amount, purchase.currency):.2f} {purchase.currency.upper()}"

    @admin.display(description="disputed", ordering="disputed")
    def disputed_credits(self, purchase: Purchase) -> float:
        return to_credits(purchase.disputed)


@admin.register(PriceList)
class PriceListAdmin(admin.ModelAdmin):
    """A new list is added with a start; from that moment on it is history and can only be followed by another."""

    form = PriceListForm
    list_display = ("version", "starts_at", "rates_then", "free_credits", "preview_allowance", "packs_then")
    readonly_fields = ()

    def get_fieldsets(self, request: HttpRequest, obj: PriceList | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": self.list_display})]
        packs = [tuple(f"pack{n}_{name}" for name in ("id", "name", "credits", "price")) for n in range(1, PACKS + 1)]
        return [
            (None, {"fields": ("starts_at", "grant", "preview_allowance")}),
            ("Models", {"fields": (tuple(f"rate_{model}" for model in MODELS),)}),
            ("Packs", {"fields": ("currency", *packs), "description": "An empty row is no pack."}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: PriceList | None = None) -> Any:
        return self.list_display if obj is not None and not self.has_change_permission(request, obj) else ()

    @admin.display(description="credits a minute")
    def rates_then(self, prices: PriceList) -> str:
        return ", ".join(f"{model} {to_credits(rate)}" for model, rate in prices.rates.items())

    @admin.display(description="packs")
    def packs_then(self, prices: PriceList) -> str:
        return ", ".join(f"{pack['name']}: {to_credits(pack['credits'])} for {money(pack)}" for pack in prices.packs)

    @admin.display(description="free grant", ordering="free_grant")
    def free_credits(self, prices: PriceList) -> float:
        return to_credits(prices.free_grant)

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        has_started = obj is not None and obj.starts_at <= timezone.now()
        return not has_started and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return False


class DriftedFilter(admin.SimpleListFilter):
    title = "the books"
    parameter_name = "drifted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "drifted"), ("no", "add up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditRun]) -> QuerySet[AuditRun]:
        asked = self.value()
        return {"yes": queryset.exclude(drifts=[]), "no": queryset.filter(drifts=[])}.get(asked or "", queryset)


@admin.register(AuditRun)
class AuditRunAdmin(ReadOnlyAdmin):
    """Red when something drifted. The reconciler looks every ten minutes, `manage.py audit_ledger` at once."""

    list_display = ("started_at", "wallets", "verdict")
    list_filter = (DriftedFilter, "started_at")
    fields = ("started_at", "wallets", "verdict", "found")

    @admin.display(description="the books")
    def verdict(self, run: AuditRun) -> str:
        if not run.drifts:
            return "add up"
        return format_html('<strong class="errornote">{} numbers drifted</strong>', len(run.drifts))

    @admin.display(description="drifted")
    def found(self, run: AuditRun) -> str:
        rows = ((d["email"], d["what"], d["stored"], d["counted"]) for d in run.drifts)
        return format_html_join(mark_safe("<br>"), "{}: {} is {}, should be {}", rows) or "nothing"


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "type", "id", "processed_at", "error")
    list_filter = ("type", "received_at", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("=id", "=payload__data__object__id", "=payload__data__object__payment_intent")
    search_help_text = "Stripe's id of the event, session, payment, charge or dispute."
    fields = ("id", "type", "received_at", "processed_at", "error", "payload")
