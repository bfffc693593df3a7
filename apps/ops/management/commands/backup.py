"""`manage.py backup FOLDER`: the whole site as of now, beside its work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.ops import backup


class Command(BaseCommand):
    help = "Copy database, media and secret into a new folder. The site may run meanwhile."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        words = "Files of the media: those on a disk are copied by default, those in S3 are not."
        parser.add_argument("--media", action=argparse.BooleanOptionalAction, default=None, help=words)

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["media"]
        with_media = not settings.S3_BUCKET if wanted is None else wanted
        try:
            made = backup.back_up(options["folder"], with_media=with_media, say=self.stdout.write)
        except backup.CannotBackUp as error:
            raise CommandError(str(error)) from None
        rows = ", ".join(f"{count} {name}" for name, count in made["rows"].items())
        self.stdout.write(
            f"{options['folder']}: {rows}, {made['media']['files']} files ({made['media']['bytes']} bytes)."
        )
        if not with_media:
            self.stdout.write(f"Not copied: the media in bucket {settings.S3_BUCKET}, which needs a backup of its own.")
        if not made["secret_key"]:
            self.stdout.write("Not copied: SECRET_KEY, which comes from the environment. Keep it elsewhere.")
