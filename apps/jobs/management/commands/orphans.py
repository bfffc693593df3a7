"""`manage.py orphans`: files that no record names, and records whose file is gone."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.jobs import orphans
from apps.jobs.models import Output
from apps.projects.models import Asset


class Command(BaseCommand):
    help = "Compare the media storage with the records, both ways. Changes nothing without --delete; status 1: found."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--delete", action="store_true", help="Delete those files and mark those records.")
        parser.add_argument("--all", action="store_true", help="With --delete, even where nothing belongs together.")
        parser.add_argument(
            "--older-than", type=float, default=24.0, metavar="HOURS", help="Leave younger files alone; at least 1."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = orphans.find(older_than=timedelta(hours=max(1.0, options["older_than"])))
        for file in found.files:
            self.stdout.write(f"no record   {file.size:>12}  {file.changed_at:%Y-%m-%d %H:%M}  {file.name}")
        for file in found.foreign:
            self.stdout.write(f"not ours    {file.size:>12}  {file.changed_at:%Y-%m-%d %H:%M}  {file.name}")
        gone: list[Output | Asset] = [*found.outputs, *found.assets]
        for row in gone:
            self.stdout.write(f"file gone   {row.size:>12}  {row.created_at:%Y-%m-%d %H:%M}  {row.file.name}")
        total = sum(file.size for file in found.files)
        self.stdout.write(
            f"{found.looked_at} files looked at: {len(found.files)} that no record names ({total} bytes), "
            f"{len(found.foreign)} that are not ours, {len(gone)} records whose file is gone."
        )
        if options["delete"] and found.is_another_storage and not options["all"]:
            raise CommandError(
                "Nothing was changed: not one record has its file here. Is this the wrong bucket, folder or database? "
                "Look at S3_BUCKET, DATA_DIR and DATABASE_URL; if all of this is to go nevertheless, add --all."
            )
        if options["delete"]:
            self.stdout.write(f"{orphans.put_right(found)} put right.")
        elif found.files or gone:
            self.stdout.write("Nothing was changed; --delete puts it right.")
            sys.exit(1)
