"""The S3-compatible store: addresses that browsers reach, and failures put into words.

Not for anything about uploads in parts, which is `parts`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from apps.errors import Unavailable

MANNERS = Config(
    connect_timeout=5,
    read_timeout=30,
    # Four tries over about ten seconds carry a request over a store's hiccup; a longer outage is told.
    retries={"mode": "standard", "total_max_attempts": 4},
    # Stores other than Amazon's know nothing of the checksums that boto3 adds by itself.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
MAKING = threading.Lock()
"""Held while a client is made, which boto3 does not do safely in two threads at once."""
MISSING = ("404", "NoSuchKey", "NoSuchUpload", "NotFound")


@contextmanager
def reached() -> Iterator[None]:
    """FileNotFoundError for what is not there; any other failure of the store is a 503 that can be tried again."""
    try:
        yield
    except (BotoCoreError, Boto3Error, ClientError) as error:
        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in MISSING:
            raise FileNotFoundError(str(error)) from error
        message = "The store that keeps the files does not answer as it should. Try again in a moment."
        raise Unavailable(message) from error


class S3Media(S3Storage):
    """`public_endpoint_url`: where browsers reach the store, when that is not where this machine does."""

    public_endpoint_url: str | None
    client_config: Config

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.client_config = self.client_config.merge(MANNERS)

    def get_default_settings(self) -> dict[str, Any]:
        ours = {
            "public_endpoint_url": None,
            "signature_version": "s3v4",
            "file_overwrite": False,
            "querystring_expire": settings.MEDIA_URL_SECONDS,
            "default_acl": None,
        }
        return {**super().get_default_settings(), **ours}

    @cached_property
    def _session(self) -> Any:
        """One for all threads: each of its own would keep what boto3 knows of the store, 13 MB, once more."""
        return super()._create_session()

    def _create_session(self) -> Any:
        return self._session

    @property
    def connection(self) -> Any:
        """Each thread's own."""
        with MAKING:
            return super().connection

    @property
    def client(self) -> Any:
        return self.connection.meta.client

    @cached_property
    def public_client(self) -> Any:
        """Only signs, so it never connects anywhere."""
        with MAKING:
            return self._session.client(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.public_endpoint_url or self.endpoint_url,
                config=self.client_config,
            )

    def signed(self, operation: str, *, seconds: int, method: str | None = None, **parameters: Any) -> str:
        """An address for one operation on this bucket, without a key, for so long."""
        parameters["Bucket"] = self.bucket_name
        address: str = self.public_client.generate_presigned_url(
            operation, Params=parameters, ExpiresIn=seconds, HttpMethod=method
        )
        return address

    def url(
        self,
        name: str,
        parameters: dict[str, str] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        key = self._normalize_name(clean_name(name))
        seconds = expire or self.querystring_expire
        return self.signed("get_object", seconds=seconds, method=http_method, Key=key, **(parameters or {}))

    def download(self, name: str, target: Path) -> None:
        """To a local file. Never through `open`, which keeps the whole object in memory or in /tmp first."""
        with reached():
            self.bucket.download_file(name, str(target))

    def chunks(self, name: str, size: int) -> Iterator[bytes]:
        """The object as it comes over the wire. Never through `open`, as above."""
        with reached():
            body = self.bucket.Object(self._normalize_name(clean_name(name))).get()["Body"]
            with closing(body):
                yield from body.iter_chunks(size)

    def _save(self, name: str, content: Any) -> str:
        with reached():
            return str(super()._save(name, content))

    def delete(self, name: str) -> None:
        with reached():
            super().delete(name)

    def exists(self, name: str) -> bool:
        with reached():
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        with reached():
            return int(super().size(name))

    def all_files(self) -> Iterator[tuple[str, int, datetime]]:
        """Name, bytes and time of everything in the bucket, a page of a thousand at a time."""
        with reached():
            for file in self.bucket.objects.all():
                yield file.key, file.size, file.last_modified

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        with reached():
            folders, files = super().listdir(name)
        return folders, files
