"""For support: every credit and where it came from. All of it is read here and written by services only."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from apps.accounts.acts import Button, Field, Wish
from apps.accounts.admin import OfAccountAdmin, owner
from apps.accounts.records import RecordAdmin, link, listing, one_of, page
from apps.accounts.sought import Sought, among, keys
from apps.credits import services
from apps.credits.amounts import from_credits, to_credits
from apps.credits.forms import PACKS, PriceListForm
from apps.credits.models import AuditRun, Hold, LedgerEntry, PriceList, Purchase, StripeEvent, Wallet
from apps.credits.money import from_minor
from apps.credits.templatetags.amounts import money
from apps.engine.options import MODELS

FIELD_OF = {"cs_": "session_id", "pi_": "payment_intent", "ch_": "charge", "py_": "charge", "in_": "invoice"}
"""What Stripe's ids begin with → where a purchase keeps them."""

EVENT_TYPES = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired", "payment_intent.payment_failed", "charge.refunded", "charge.dispute.created",
    "charge.dispute.closed",
)  # fmt: skip


def _typed(wish: Wish) -> int:
    """The amount; with the minus sign that our own label shows, too."""
    return from_credits(wish.given["credits"].replace("−", "-"))


def _grant(wallet: Wallet, wish: Wish) -> str:
    amount = _typed(wish)
    services.grant(wallet.user, amount, key=f"grant:admin:{wish.number}", note=wish.reason.strip(), staff=wish.staff)
    return f"{to_credits(amount)} credits given to {wallet.user}."


def _adjust(wallet: Wallet, wish: Wish) -> str:
    amount = _typed(wish)
    services.adjust(wallet.user, amount, key=f"adjust:admin:{wish.number}", reason=wish.reason, staff=wish.staff)
    return f"{to_credits(amount)} credits put on the balance of {wallet.user}."


def _look(wallet: Wallet) -> dict[str, Any]:
    fresh = Wallet.objects.get(pk=wallet.pk)
    return {"balance": to_credits(fresh.balance), "held": to_credits(fresh.held)}


@admin.register(Wallet)
class WalletAdmin(OfAccountAdmin):
    rank = 4
    list_display = ("user", "balance_credits", "held_credits", "available_credits")
    fields = readonly_fields = ("of", *list_display[1:], "low_credits", "stripe_customer")
    list_select_related = ("user",)
    search_help_text = "E-mail, account id, or Stripe's customer id."
    ordering = ("user__email",)
    buttons = (
        Button(
            "grant", "Give credits", "credits.grant_wallet", _grant, _look,
            fields=(Field("credits", "Credits"),), hint="(the owner reads it)",
        ),
        Button(
            "adjust", "Adjust the balance", "credits.grant_wallet", _adjust, _look,
            fields=(Field("credits", "Credits (−5 takes 5 away)"),), hint="(the owner reads it)",
        ),
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        theirs = self.of_account(sought)
        return theirs or (Q(stripe_customer=sought.text) if sought.text.startswith("cus_") else None)

    def title(self, record: Wallet) -> str:
        return f"Wallet of {record.user}"

    def detail(self, record: Wallet) -> str:
        return f"{to_credits(record.balance)} credits, {to_credits(record.held)} of them held"

    def ways(self, record: Wallet) -> list[tuple[str, str]]:
        kinds = {"Ledger": "credits_ledgerentry", "Holds": "credits_hold", "Purchases": "credits_purchase"}
        found = [(words, listing(kind, record.user_id)) for words, kind in kinds.items()]
        return [("Account", page("accounts_user", record.user_id)), *found]

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


class OfWalletAdmin(OfAccountAdmin):
    belongs_to = "wallet__user"
    list_select_related = ("wallet__user",)

    def of_account(self, sought: Sought) -> Q | None:
        """By the wallet's own key: joined to it, a database may read all the lines to put them in order."""
        found = owner(sought)
        wallet = Wallet.objects.filter(user=found.pk).first() if found else None
        return Q(wallet=wallet.pk) if wallet else None

    def account_of(self, record: LedgerEntry | Hold) -> UUID | None:
        return record.wallet.user_id

    @admin.display(ordering="wallet__user__email")
    def owner(self, record: LedgerEntry | Hold) -> str:
        return record.wallet.user.email


def referred(row: LedgerEntry | Hold, *, is_of_purchase: bool) -> str:
    """A link to the job or the purchase that a line is about."""
    return link("credits_purchase" if is_of_purchase else "jobs_job", row.reference, row.reference)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(OfWalletAdmin):
    list_display = ("created_at", "owner", "kind", "credits", "balance_then", "reference", "note", "staff_name")
    list_filter = ("kind",)
    search_help_text = "E-mail or id of the owner, job or purchase id, or key."
    fields = readonly_fields = (
        "id", "created_at", "of", "kind", "credits", "balance_then", "key", "about", "note", "staff_name",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if theirs := self.of_account(sought):
            return theirs
        by_key = among(keys(LedgerEntry.objects.filter(key=sought.text)))
        return by_key or among(keys(LedgerEntry.objects.filter(reference=str(sought.id or sought.text))))

    def title(self, record: LedgerEntry) -> str:
        return f"{record.get_kind_display()} {to_credits(record.amount):+}"

    def detail(self, record: LedgerEntry) -> str:
        return f"{record.wallet.user} · {record.note or record.reference}"

    @admin.display(description="about")
    def about(self, entry: LedgerEntry) -> str:
        return referred(entry, is_of_purchase=entry.is_of_purchase)

    @admin.display(ordering="amount")
    def credits(self, entry: LedgerEntry) -> float:
        return to_credits(entry.amount)

    @admin.display(description="balance after")
    def balance_then(self, entry: LedgerEntry) -> float:
        return to_credits(entry.balance_after)


@admin.register(Hold)
class HoldAdmin(OfWalletAdmin):
    list_display = ("created_at", "owner", "state", "credits", "captured_credits", "reference", "settled_at")
    list_filter = ("state", "created_at")
    date_hierarchy = "created_at"
    search_help_text = "E-mail or id of the owner, job id, key or hold id."
    fields = readonly_fields = (
        "id", "created_at", "of", "state", "credits", "captured_credits", "key", "about", "settled_at",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if theirs := self.of_account(sought):
            return theirs
        by_reference = among(keys(Hold.objects.filter(reference=str(sought.id or sought.text))))
        return by_reference or among(keys(Hold.objects.filter(key=sought.text))) or sought.ids()

    def detail(self, record: Hold) -> str:
        return f"{to_credits(record.amount)} credits of {record.wallet.user}"

    @admin.display(description="about")
    def about(self, hold: Hold) -> str:
        return referred(hold, is_of_purchase=hold.is_for_dispute)

    @admin.display(ordering="amount")
    def credits(self, hold: Hold) -> float:
        return to_credits(hold.amount)

    @admin.display(description="captured", ordering="captured")
    def captured_credits(self, hold: Hold) -> float:
        return to_credits(hold.captured)


@admin.register(Purchase)
class PurchaseAdmin(OfAccountAdmin):
    rank = 5
    list_display = ("created_at", "user", "pack", "price", "status", "session_id")
    list_filter = ("status", "created_at")
    list_select_related = ("user",)
    date_hierarchy = "created_at"
    search_help_text = "E-mail or account id, purchase id, Stripe's session, payment, charge or invoice id, or job id."
    # Without session_url: whoever opens it sees the buyer's checkout.
    fields = readonly_fields = (
        "id", "created_at", "updated_at", "of", "pack", "credits_bought", "price", "pricing_version", "status",
        "problem", "disputed_credits", "session_id", "payment_intent", "charge", "invoice", "read_number",
        "applied_number", "job_waiting", "job_started", "start_settled_at", "start_problem",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if theirs := self.of_account(sought):
            return theirs
        if field := FIELD_OF.get(sought.text[:3]):
            return Q(**{field: sought.text})
        if sought.id is None:
            return sought.ids()
        ids = [
            pk for field in ("start_job", "started_job") for pk in keys(Purchase.objects.filter(**{field: sought.id}))
        ]
        return among(ids) or sought.ids()

    def title(self, record: Purchase) -> str:
        return f"{record.pack} for {self.price(record)}"

    def detail(self, record: Purchase) -> str:
        return f"{record.status} · {record.user} · {record.session_id}"

    def ways(self, record: Purchase) -> list[tuple[str, str]]:
        found = [
            ("Account", page("accounts_user", record.user_id)),
            ("Ledger", listing("credits_ledgerentry", record.pk)),
        ]
        intent = record.payment_intent
        return [*found, ("Stripe's events", listing("credits_stripeevent", intent))] if intent else found

    @admin.display(description="job that waited for it")
    def job_waiting(self, purchase: Purchase) -> str:
        return link("jobs_job", purchase.start_job, purchase.start_job)

    @admin.display(description="job that runs for it")
    def job_started(self, purchase: Purchase) -> str:
        return link("jobs_job", purchase.started_job, purchase.started_job)

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
class PriceListAdmin(RecordAdmin):
    """A new list is added with a start; from that moment on it is history and can only be followed by another."""

    change_form_template: ClassVar[str | None] = None
    search_fields: ClassVar[tuple[str, ...]] = ()
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

    def condition(self, sought: Sought) -> Q | None:
        return None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        has_started = obj is not None and obj.starts_at <= timezone.now()
        return not has_started and admin.ModelAdmin.has_change_permission(self, request, obj)


class DriftedFilter(admin.SimpleListFilter):
    title = "the books"
    parameter_name = "drifted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "drifted"), ("no", "add up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditRun]) -> QuerySet[AuditRun]:
        asked = self.value()
        return {"yes": queryset.exclude(drifts=[]), "no": queryset.filter(drifts=[])}.get(asked or "", queryset)


@admin.register(AuditRun)
class AuditRunAdmin(RecordAdmin):
    """Red when something drifted. The reconciler looks every ten minutes, `manage.py audit_ledger` at once."""

    list_display = ("started_at", "wallets", "verdict")
    list_filter = (DriftedFilter, "started_at")
    search_fields: ClassVar[tuple[str, ...]] = ()
    fields = ("started_at", "wallets", "verdict", "found")

    def condition(self, sought: Sought) -> Q | None:
        return None

    @admin.display(description="the books")
    def verdict(self, run: AuditRun) -> str:
        if not run.drifts:
            return "add up"
        return format_html('<strong class="errornote">{} numbers drifted</strong>', run.drifted)

    @admin.display(description="drifted")
    def found(self, run: AuditRun) -> str:
        rows = ((d["email"], d["what"], d["stored"], d["counted"]) for d in run.drifts)
        told = format_html_join(mark_safe("<br>"), "{}: {} is {}, should be {}", rows) or "nothing"
        return format_html("{}<br>and {} more", told, run.more) if run.more else told


@admin.register(StripeEvent)
class StripeEventAdmin(RecordAdmin):
    rank = 8
    list_display = ("received_at", "type", "id", "processed_at", "error")
    list_filter = (one_of("type", EVENT_TYPES), "received_at", ("processed_at", admin.EmptyFieldListFilter))
    date_hierarchy = "received_at"
    search_help_text = "Stripe's id of the event, session, payment, charge, invoice or dispute."
    fields = ("id", "type", "subject", "payment_intent", "received_at", "processed_at", "error", "payload")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StripeEvent]:
        return super().get_queryset(request).defer("payload")

    def condition(self, sought: Sought) -> Q | None:
        if "_" not in sought.text:
            return None
        ids = [pk for field in ("pk", "subject", "payment_intent") for pk in keys(_events(field, sought.text))]
        return among(ids)

    def detail(self, record: StripeEvent) -> str:
        return "acted on" if record.processed_at else record.error or "not acted on"


def _events(field: str, text: str) -> QuerySet[StripeEvent]:
    return StripeEvent.objects.filter(**{field: text})
