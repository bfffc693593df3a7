"""Recompute every wallet from its entries and holds, and say where the stored numbers differ."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from apps.credits.models import Hold, LedgerEntry, Wallet


@dataclass(frozen=True)
class Drift:
    """A wallet whose `balance` is not the sum of its entries, or whose `held` is not that of its open holds."""

    wallet_id: int
    email: str
    balance: int
    entries: int
    held: int
    open_holds: int


def audit() -> list[Drift]:
    """Every wallet that drifted; one query, so that it sees one moment and no lock is needed."""
    wallets = Wallet.objects.select_related("user").annotate(
        entries_sum=_sum(LedgerEntry.objects.all()),
        holds_sum=_sum(Hold.objects.filter(state=Hold.State.OPEN)),
    )
    return [
        Drift(
            wallet_id=wallet.pk,
            email=wallet.user.email,
            balance=wallet.balance,
            entries=wallet.entries_sum,
            held=wallet.held,
            open_holds=wallet.holds_sum,
        )
        for wallet in wallets.iterator()
        if wallet.balance != wallet.entries_sum or wallet.held != wallet.holds_sum
    ]


def _sum(rows: QuerySet[LedgerEntry] | QuerySet[Hold]) -> Coalesce:
    """The rows' amounts for each wallet. A subquery: joining both tables would count rows many times."""
    of_wallet = rows.filter(wallet=OuterRef("pk")).order_by().values("wallet").annotate(total=Sum("amount"))
    return Coalesce(Subquery(of_wallet.values("total")), 0, output_field=BigIntegerField())
