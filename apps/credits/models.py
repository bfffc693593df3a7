"""What you may spend. Amounts are integers of 1/100 credit everywhere in this app."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.credits.amounts import to_credits
from apps.engine.options import MODELS

IMMUTABLE = "ledger entries are immutable: post a correcting entry"
LOW_THRESHOLD = 10_00
"""1/100 credits: what a new account is warned at. About ten seconds of `original`."""


class Wallet(models.Model):
    """One per account. The row that is locked first in every movement of credits.

    `balance` may go below zero only by a refund or lost dispute at Stripe, so
    there is no check on it; new holds are refused by the service instead.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="wallet")
    balance = models.BigIntegerField(default=0, help_text="Sum of all entries, 1/100 credit.")
    held = models.BigIntegerField(default=0, help_text="Sum of all open holds, 1/100 credit.")
    low_threshold = models.BigIntegerField(
        default=LOW_THRESHOLD, help_text="1/100 credit; the owner is told when the balance falls below it. 0: never."
    )
    stripe_customer = models.CharField(max_length=120, blank=True, db_index=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(held__gte=0), name="held_not_negative"),
            models.CheckConstraint(condition=Q(low_threshold__gte=0), name="low_threshold_not_negative"),
        )
        permissions = (("grant_wallet", "Can give credits and adjust balances"),)

    def __str__(self) -> str:
        return f"wallet of {self.user_id}"

    @property
    def available(self) -> int:
        return self.balance - self.held


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    """Adds and reads. Whoever corrects the past posts another line."""

    def update(self, **kwargs: Any) -> int:
        raise TypeError(IMMUTABLE)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError(IMMUTABLE)


class LedgerEntry(models.Model):
    """An immutable signed line; a wrong one is corrected by another line."""

    class Kind(models.TextChoices):
        GRANT = "grant"
        PURCHASE = "purchase"
        CAPTURE = "capture"
        REFUND = "refund"
        DISPUTE = "dispute"
        ADJUSTMENT = "adjustment"
        RETURN = "return", "Job refund"
        """What a job was charged, given back by staff."""
        LAPSE = "lapse"
        """Left when the account was deleted."""

    id = models.BigAutoField(primary_key=True)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="entries")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = models.BigIntegerField(help_text="Signed, 1/100 credit.")
    balance_after = models.BigIntegerField()
    key = models.CharField(max_length=200, unique=True, help_text="Same key, same entry, once.")
    reference = models.CharField(max_length=100, blank=True, db_index=True, help_text="Job or purchase id.")
    note = models.CharField(max_length=300, blank=True)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    staff_name = models.CharField(max_length=254, blank=True, help_text="E-mail at the time; outlives the account.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "ledger entries"
        constraints = (
            models.CheckConstraint(condition=~Q(amount=0), name="entry_moves_something"),
            models.CheckConstraint(
                condition=~Q(kind__in=("adjustment", "return")) | (~Q(note="") & ~Q(staff_name="")),
                name="adjustment_has_reason_and_staff",
            ),
        )
        indexes = (
            models.Index(fields=("wallet", "-id"), name="entry_by_wallet"),
            models.Index(fields=("kind", "amount"), name="entry_by_kind"),
            models.Index(fields=("kind", "-id"), name="newest_entry_by_kind"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {to_credits(self.amount):+}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(IMMUTABLE)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(IMMUTABLE)

    @property
    def is_of_purchase(self) -> bool:
        return self.kind in (self.Kind.PURCHASE, self.Kind.REFUND, self.Kind.DISPUTE)


class Hold(models.Model):
    """Credits set aside for one job, or for a dispute; settles at most once, by capture or release."""

    class State(models.TextChoices):
        OPEN = "open"
        CAPTURED = "captured"
        RELEASED = "released"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="holds")
    amount = models.BigIntegerField(help_text="1/100 credit.")
    captured = models.BigIntegerField(default=0, help_text="1/100 credit; at most `amount`.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    key = models.CharField(max_length=200, unique=True)
    reference = models.CharField(
        max_length=100, blank=True, db_index=True, help_text="Job id; for a dispute that of the purchase."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=Q(amount__gte=0), name="hold_not_negative"),
            models.CheckConstraint(condition=Q(captured__gte=0, captured__lte=F("amount")), name="capture_within_hold"),
        )
        indexes = (
            models.Index(fields=("-created_at",), name="hold_by_age"),
            models.Index(fields=("wallet", "-created_at"), name="hold_by_wallet"),
            models.Index(fields=("wallet", "-created_at"), name="open_hold_by_wallet", condition=Q(state="open")),
        )

    def __str__(self) -> str:
        return f"{self.state} hold of {to_credits(self.amount)}"

    @property
    def is_for_dispute(self) -> bool:
        return self.key.startswith(DISPUTE)


DISPUTE = "dispute:"
"""What the keys of holds for a dispute begin with."""


class PriceList(models.Model):
    """One version of what things cost; never edited once in use, a new version replaces it."""

    version = models.PositiveIntegerField(primary_key=True)
    starts_at = models.DateTimeField(db_index=True)
    rates = models.JSONField(help_text="Model name → 1/100 credits a minute.")
    packs = models.JSONField(help_text="[{id, name, credits (1/100), amount (minor units), currency}]")
    free_grant = models.BigIntegerField(help_text="1/100 credit for a new account.")
    preview_allowance = models.PositiveIntegerField(default=20, help_text="Free previews an account may make in a day.")

    class Meta:
        ordering = ("-version",)
        constraints = (models.CheckConstraint(condition=Q(free_grant__gte=0), name="free_grant_not_negative"),)

    def __str__(self) -> str:
        return f"prices {self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        started = PriceList.objects.filter(version=self.version, starts_at__lte=timezone.now())
        if not self._state.adding and started.exists():
            raise TypeError(f"price list {self.version} has started: jobs were priced with it")
        super().save(*args, **kwargs)

    @property
    def currency(self) -> str:
        """One for the whole list."""
        return str(self.packs[0]["currency"]) if self.packs else "usd"

    def clean(self) -> None:
        """What the whole site reads must be complete before it can start."""
        if not isinstance(self.rates, dict) or set(self.rates) != set(MODELS):
            raise ValidationError({"rates": f"Give one rate for each of {', '.join(MODELS)}."})
        if not all(type(rate) is int and rate > 0 for rate in self.rates.values()):
            raise ValidationError({"rates": "A rate is a whole number of 1/100 credits a minute, more than 0."})
        fields = {"id": str, "name": str, "credits": int, "amount": int, "currency": str}
        packs: list[Any] = self.packs if isinstance(self.packs, list) else [None]
        if not all(isinstance(pack, dict) and {n: type(v) for n, v in pack.items()} == fields for pack in packs):
            raise ValidationError({"packs": "A list of packs, each with id, name, credits, amount and currency."})
        if not all(pack["credits"] > 0 and pack["amount"] > 0 and len(pack["currency"]) == 3 for pack in packs):
            raise ValidationError({"packs": "Credits and amount are more than 0, currency has three letters."})
        if len({pack["id"] for pack in packs}) != len(packs):
            raise ValidationError({"packs": "Each pack needs its own id."})
        if len({pack["currency"] for pack in packs}) > 1:
            raise ValidationError({"packs": "All packs of a list are in one currency."})


class Purchase(models.Model):
    """A pack someone set out to buy; the ledger is converged to what Stripe says of it."""

    class Status(models.TextChoices):
        OPEN = "open"
        PENDING = "pending"
        """The buyer is done and the money has not come yet, as with a bank debit."""
        PAID = "paid"
        EXPIRED = "expired"
        FAILED = "failed"

    UNDECIDED = (Status.OPEN, Status.PENDING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="purchases")
    pack = models.CharField(max_length=40)
    credits = models.BigIntegerField(help_text="1/100 credit.")
    amount = models.BigIntegerField(help_text="Minor units of `currency`.")
    currency = models.CharField(max_length=3)
    pricing_version = models.PositiveIntegerField()
    session_id = models.CharField(max_length=120, blank=True, db_index=True)
    session_url = models.URLField(max_length=2000, blank=True)
    payment_intent = models.CharField(max_length=120, blank=True, db_index=True)
    # With defaults in the database, so that a process of the version before can still write while this one comes.
    charge = models.CharField(
        max_length=120, blank=True, default="", db_default="", db_index=True, help_text="Stripe's id of what was paid."
    )
    invoice = models.CharField(
        max_length=120, blank=True, default="", db_default="", db_index=True, help_text="Stripe's, where it wrote one."
    )
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)
    problem = models.CharField(max_length=300, blank=True, help_text="Why the last try failed, in Stripe's words.")
    disputed = models.BigIntegerField(default=0, help_text="1/100 credit set aside while a dispute is open.")
    start_job = models.UUIDField(
        null=True, blank=True, db_index=True, help_text="The job that is to start once this is paid."
    )
    start_settled_at = models.DateTimeField(null=True, blank=True, help_text="When that was done, or refused.")
    start_problem = models.CharField(max_length=300, blank=True, help_text="Why it was refused.")
    started_job = models.UUIDField(null=True, blank=True, db_index=True, help_text="The job that runs for it.")
    read_number = models.PositiveBigIntegerField(
        default=0, help_text="Grows by one with each read at Stripe that was begun."
    )
    applied_number = models.PositiveBigIntegerField(
        default=0, help_text="The newest read that was applied; an older one never wins."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    returned = 0
    """1/100 credits taken back by refunds and lost disputes; not kept, pages count it from the ledger."""

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("-created_at",), name="purchase_by_age"),
            models.Index(fields=("status", "-created_at"), name="purchase_by_status"),
        )

    def __str__(self) -> str:
        return f"{self.pack} for {self.user_id}"


class StripeEvent(models.Model):
    """A verified event as it came in; stored before it is acted on, so failures stay visible."""

    id = models.CharField(primary_key=True, max_length=120)
    type = models.CharField(max_length=80)
    payload = models.JSONField()
    subject = models.CharField(
        max_length=120, blank=True, default="", db_default="", db_index=True, help_text="Id of what it tells of."
    )
    payment_intent = models.CharField(
        max_length=120, blank=True, default="", db_default="", db_index=True, help_text="That it belongs to."
    )
    received_at = models.DateTimeField(auto_now_add=True, db_index=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-received_at",)
        indexes = (
            models.Index(fields=("type", "-received_at"), name="event_by_type"),
            models.Index(fields=("-received_at",), name="event_unprocessed", condition=Q(processed_at=None)),
        )

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class AuditRun(models.Model):
    """One look at all the books, and what did not add up."""

    started_at = models.DateTimeField(auto_now_add=True, db_index=True)
    wallets = models.PositiveIntegerField()
    drifts = models.JSONField(default=list, help_text="[{email, what, stored, counted}], amounts in credits.")
    more = models.PositiveIntegerField(default=0, db_default=0, help_text="Drifts that were counted and not kept.")

    class Meta:
        ordering = ("-started_at",)
        # The few of many.
        indexes = (models.Index(fields=("-started_at",), name="audit_drifted", condition=~Q(drifts=[])),)

    def __str__(self) -> str:
        return f"{self.drifted} drifts in {self.wallets} wallets"

    @property
    def drifted(self) -> int:
        """How many numbers."""
        return len(self.drifts) + self.more
