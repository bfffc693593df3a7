"""`manage.py restore FOLDER`: a backup in the place of this site's database, media and secret."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.ops import backup, instance


class Command(BaseCommand):
    help = "Bring a backup back. The site must be stopped, its workers on every machine too."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--replace", action="store_true", help="Also where there are accounts, which are lost.")

    def handle(self, *args: Any, **options: Any) -> None:
        if holder := instance.running(Path(settings.DATA_DIR)):
            raise CommandError(f"Process {holder.get('pid')} runs on {settings.DATA_DIR}: stop it first.")
        try:
            made = backup.restore(options["folder"], replace=options["replace"], say=self.stdout.write)
        except backup.CannotBackUp as error:
            raise CommandError(str(error)) from None
        rows = ", ".join(f"{count} {name}" for name, count in made["rows"].items())
        self.stdout.write(f"Restored as of {made['made_at']}, version {made['version']}: {rows}.")
        self.stdout.write("Now: manage.py migrate, manage.py audit_ledger, manage.py orphans; then start the site.")
