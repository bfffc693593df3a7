"""An S3-compatible store over real HTTP, the site's settings for it, and a way to make it fail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from moto.s3 import models as moto_models
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from apps.jobs.models import Output
from apps.projects.models import Asset
from apps.projects.s3 import S3Media

SECRETS = {"access_key": "test", "secret_key": "test", "region_name": "us-east-1", "addressing_style": "path"}


class Quiet(MotoRequestHandler):  # type: ignore[misc]
    def log_request(self, *_: object) -> None: ...


@dataclass
class Store:
    """The server: what was asked of it, and which requests it answers with 503 for now."""

    endpoint: str
    bucket: str
    fails: Callable[[str, str], bool] = lambda method, address: False
    asked: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the site is told, to keep its media here."""
        told = {"S3_BUCKET": self.bucket, "S3_ENDPOINT_URL": self.endpoint, "S3_REGION": "us-east-1"}
        return {**told, "S3_ACCESS_KEY": "test", "S3_SECRET_KEY": "test", "S3_ADDRESSING_STYLE": "path"}

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip

    def files(self) -> set[str]:
        return {entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())}

    def unfinished(self) -> int:
        """Uploads in parts that were begun and neither completed nor given up."""
        return len(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()))

    def answer(self, app: Any, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, address = environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        self.asked.append(f"{method} {address}")
        if self.fails(method, address):
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        answer: Iterable[bytes] = app(environ, start)
        return answer


@cache
def _running() -> tuple[Store, S3Media]:
    """One server for all tests: to start it and to load its client takes longer than most of them."""
    app = DomainDispatcherApplication(create_backend_app)
    store = Store("", f"media-{uuid.uuid4()}")
    server = make_server(
        "127.0.0.1", 0, lambda environ, start: store.answer(app, environ, start), threaded=True, request_handler=Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.endpoint = f"http://127.0.0.1:{server.server_port}"
    store.client.create_bucket(Bucket=store.bucket)
    return store, S3Media(bucket_name=store.bucket, endpoint_url=store.endpoint, **SECRETS)


@contextmanager
def s3_store() -> Iterator[Store]:
    """The store with an empty bucket, which the site uses for its media meanwhile."""
    store, media = _running()
    store.fails, store.asked = Store.fails, []
    for unfinished in store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", ()):
        store.client.abort_multipart_upload(Bucket=store.bucket, Key=unfinished["Key"], UploadId=unfinished["UploadId"])
    for name in store.files():
        store.client.delete_object(Bucket=store.bucket, Key=name)
    with pytest.MonkeyPatch.context() as patch:
        # Real stores take no small part but the last; small ones keep these tests small.
        patch.setattr(moto_models, "S3_UPLOAD_PART_MIN_SIZE", 1)
        patch.setitem(storages._storages, "media", media)
        for model in (Asset, Output):
            # Fields ask for their storage once, when their class is made.
            patch.setattr(model._meta.get_field("file"), "storage", media)
        yield store
