"""`manage.py audit_ledger`: exit 1 when a stored number is not what entries, holds, purchases and jobs say."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.jobs.audit import run


class Command(BaseCommand):
    help = "Recompute every wallet, purchase and charge from its lines; exit 1 when one has drifted."

    def handle(self, *args: Any, **options: Any) -> None:
        found = run()
        for drift in found.drifts:
            self.stdout.write(f"{drift['email']}: {drift['what']} {drift['stored']}, should be {drift['counted']}")
        if found.more:
            self.stdout.write(f"and {found.more} more")
        self.stdout.write(f"{found.wallets} wallets, {found.drifted} drifts")
        if found.drifts:
            sys.exit(1)
