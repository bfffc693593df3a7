"""`manage.py create_bucket`: the bucket for media, before the first start of a new installation."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.projects.models import media_storage

UNNAMED = (None, "us-east-1", "aws-global")


def rules() -> dict[str, Any]:
    """What lets the site's own pages send parts to the store and play what is there."""
    rule = {
        "AllowedOrigins": [settings.SITE_URL],
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Range", "Content-Length"],
        "MaxAgeSeconds": 3600,
    }
    return {"CORSRules": [rule]}


def make(client: Any, name: str) -> bool:
    """Whether it was missing."""
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    region = client.meta.region_name
    # Amazon makes a bucket in the region that is named twice, and takes no naming of its first one.
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region not in UNNAMED else {}
    client.create_bucket(Bucket=name, **where)
    return True


class Command(BaseCommand):
    help = "Make the private bucket that S3_BUCKET names, if it is missing, and let the site's pages reach it (CORS)."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.S3_BUCKET:
            raise CommandError("S3_BUCKET is not set: media are kept in DATA_DIR/media, which needs no bucket.")
        bucket = media_storage().bucket  # type: ignore[attr-defined]
        client = bucket.meta.client
        try:
            is_new = make(client, bucket.name)
        except BotoCoreError as error:
            raise CommandError(f"The store is not reached: {error}. Check S3_ENDPOINT_URL and S3_REGION.") from None
        except ClientError as error:
            raise CommandError(f"The store refuses {bucket.name}: {error}") from None
        self.stdout.write(f"{bucket.name} is {'made' if is_new else 'there'}.")
        try:
            client.put_bucket_cors(Bucket=bucket.name, CORSConfiguration=rules())
        except ClientError as error:
            # Some stores are told in their own way, and some allow every origin.
            self.stderr.write(f"The store takes no CORS rule (docs/operations.md). It said: {error}")
        else:
            self.stdout.write(f"Pages of {settings.SITE_URL} may reach it.")
