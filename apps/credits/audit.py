"""Recompute every wallet from its entries and holds, every purchase from its entries, and say where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Sum, Window
from django.db.models.functions import Coalesce

from apps.credits.models import Hold, LedgerEntry, Purchase, Wallet

OF_PURCHASES = (LedgerEntry.Kind.PURCHASE, LedgerEntry.Kind.REFUND, LedgerEntry.Kind.DISPUTE)


@dataclass(frozen=True)
class Drift:
    """A number that is stored and not what it should be, both in 1/100 credit; `what` says of what."""

    email: str
    what: str
    stored: int
    counted: int


def audit() -> list[Drift]:
    """Everything that drifted."""
    return list(look())


def look() -> Iterator[Drift]:
    """One drift after the other. Each query sees one moment, so no lock is needed and nobody waits."""
    yield from _wallets()
    yield from _chains()
    yield from _purchases()


def _wallets() -> Iterator[Drift]:
    captures = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CAPTURE)
    wallets = Wallet.objects.select_related("user").annotate(
        entries_sum=_sum(LedgerEntry.objects.all(), "amount"),
        holds_sum=_sum(Hold.objects.filter(state=Hold.State.OPEN), "amount"),
        captured_sum=_sum(Hold.objects.filter(state=Hold.State.CAPTURED), "captured"),
        captures_sum=_sum(captures, "amount"),
    )
    for wallet in wallets.iterator():
        email = wallet.user.email
        if wallet.balance != wallet.entries_sum:
            yield Drift(email, "balance", wallet.balance, wallet.entries_sum)
        if wallet.held != wallet.holds_sum:
            yield Drift(email, "held", wallet.held, wallet.holds_sum)
        if wallet.captured_sum != -wallet.captures_sum:
            yield Drift(email, "captured holds", wallet.captured_sum, -wallet.captures_sum)


def _chains() -> Iterator[Drift]:
    """Each line says what the balance was after it; a line changed, lost or slipped in breaks the chain."""
    running = Window(Sum("amount"), partition_by=F("wallet"), order_by=F("id").asc())
    broken = LedgerEntry.objects.annotate(running=running).exclude(balance_after=F("running")).order_by("id")
    rows = broken.values_list("wallet__user__email", "pk", "balance_after", "running")
    for email, number, stored, counted in rows.iterator():
        yield Drift(email, f"balance after entry {number}", stored, counted)


def _purchases() -> Iterator[Drift]:
    """No purchase may have given more than it sold, anything before it was paid, or to somebody else."""
    lines = LedgerEntry.objects.filter(kind__in=OF_PURCHASES).order_by().values("reference", "wallet__user__email")
    rows = lines.annotate(total=Sum("amount")).values_list("reference", "wallet__user__email", "total")
    posted = {(reference, email): total for reference, email, total in rows}
    for purchase in Purchase.objects.select_related("user").iterator():
        most = purchase.credits if purchase.status == Purchase.Status.PAID else 0
        given = posted.pop((str(purchase.pk), purchase.user.email), 0)
        if not 0 <= given <= most:
            yield Drift(purchase.user.email, f"purchase {purchase.pk}", given, most)
    for (reference, email), given in posted.items():
        yield Drift(email, f"entries of no purchase of theirs {reference}", given, 0)


def _sum(rows: QuerySet[LedgerEntry] | QuerySet[Hold], field: str) -> Coalesce:
    """A sum for each wallet. A subquery: joining the tables would count rows many times."""
    of_wallet = rows.filter(wallet=OuterRef("pk")).order_by().values("wallet").annotate(total=Sum(field))
    return Coalesce(Subquery(of_wallet.values("total")), 0, output_field=BigIntegerField())
