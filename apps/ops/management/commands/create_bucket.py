"""`manage.py create_bucket`: the bucket for media, before the first start of a new installation."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.projects.models import media_storage


class Command(BaseCommand):
    help = "Make the private bucket that S3_BUCKET names, where it is missing, and let this site's pages use it."
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
        try:
            client.put_bucket_cors(Bucket=bucket.name, CORSConfiguration={"CORSRules": [rule()]})
        except ClientError as error:
            self.stderr.write(
                f"The store takes no rule for other origins: let {settings.SITE_URL} in yourself. {error}"
            )


def rule() -> dict[str, Any]:
    """Pages of this site, and no others, send parts to the store and read what they play."""
    return {
        "AllowedOrigins": [settings.SITE_URL],
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
