"""Telling people that their credits run low: once each time a balance falls below what its owner said."""

from __future__ import annotations

from django.conf import settings

from apps.accounts import mail
from apps.credits.amounts import to_credits
from apps.credits.models import LedgerEntry, Wallet
from apps.webhooks import services as webhooks

EVENT = "credits.low"


def tell(wallet: Wallet, entry: LedgerEntry, *, before: int) -> None:
    """Note, in the movement's own transaction, that it took the balance below the threshold.

    Only the movement that crosses tells: the next ones begin below, and what
    buys the balance up again makes room for another crossing. Setting credits
    aside is no movement of the balance, so a job that is canceled tells nothing.
    """
    # 0 is never, also where a refund takes a balance below zero.
    if not wallet.low_threshold or not before >= wallet.low_threshold > wallet.balance:
        return
    body = {
        "balance": to_credits(wallet.balance),
        "held": to_credits(wallet.held),
        "available": to_credits(wallet.available),
        "threshold": to_credits(wallet.low_threshold),
        "buy_url": f"{settings.SITE_URL}/credits",
    }
    webhooks.emit(wallet.user, EVENT, body=body)
    mail.low_credits(wallet.user, available=str(to_credits(wallet.available)), key=f"low:{entry.pk}")
