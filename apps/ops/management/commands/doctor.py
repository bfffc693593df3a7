"""`manage.py doctor`: what is in order, what is not, and what to do about it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.ops import doctor

SIGNS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


class Command(BaseCommand):
    help = "Examine this installation; exit status 1 when something must be mended."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--thorough", action="store_true", help="Also run every network's self-test again.")

    def handle(self, *args: Any, **options: Any) -> None:
        problems = 0
        for finding in doctor.examine(thoroughly=options["thorough"]):
            problems += finding.level == "bad"
            self.stdout.write(f"{SIGNS[finding.level]}  {finding.subject:<16} {finding.text}")
            self.stdout.flush()
        if problems:
            self.stdout.write(f"\n{problems} to mend.")
            sys.exit(1)
        self.stdout.write("\nAll in order.")
