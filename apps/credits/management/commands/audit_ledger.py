"""`manage.py audit_ledger`: exit 1 when a wallet is not what its entries and holds say."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.credits.amounts import to_credits
from apps.credits.audit import audit
from apps.credits.models import Wallet


class Command(BaseCommand):
    help = "Recompute every wallet from its entries and open holds; exit 1 when one has drifted."

    def handle(self, *args: Any, **options: Any) -> None:
        drifted = audit()
        for drift in drifted:
            self.stdout.write(
                f"{drift.email}: balance {to_credits(drift.balance)}, entries {to_credits(drift.entries)}; "
                f"held {to_credits(drift.held)}, open holds {to_credits(drift.open_holds)}"
            )
        self.stdout.write(f"{Wallet.objects.count()} wallets, {len(drifted)} drifted")
        if drifted:
            sys.exit(1)
