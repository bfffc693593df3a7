"""`manage.py create_bucket`: the bucket for media, before the first start of a new installation."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.projects.models import media_storage


class Command(BaseCommand):
    help = "Make the private bucket that S3_BUCKET names; nothing where it is there already."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.S3_BUCKET:
            raise CommandError("S3_BUCKET is not set: media are kept in DATA_DIR/media, which needs no bucket.")
        bucket = media_storage().bucket  # type: ignore[attr-defined]
        client = bucket.meta.client
        try:
            client.head_bucket(Bucket=bucket.name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise CommandError(f"The store refuses to show {bucket.name}: {error}") from None
            client.create_bucket(Bucket=bucket.name)
            self.stdout.write(f"{bucket.name} is made.")
        else:
            self.stdout.write(f"{bucket.name} is there.")
