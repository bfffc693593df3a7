"""Idempotency-Key: the same POST sent twice takes effect once and is answered alike."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import errors
from apps.api.models import IdempotencyRecord
from apps.api.parsers import open_files
from apps.errors import AppError

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
LEASE = timedelta(minutes=1)
"""A JSON request is answered in well under a second; after this long its process is taken for dead."""
RENEWED_EVERY = LEASE / 3
"""While a file is copied to storage and looked at, which may take long; a dead process renews nothing."""

Method = Callable[..., Response]


def idempotent(method: Method) -> Method:
    """For a POST whose work is in the database: work and answer commit together or not at all.

    A process that dies in between leaves neither, so the next try starts from nothing.
    """
    return wrap(method, together=True)


def idempotent_upload(method: Method) -> Method:
    """For a POST that writes files: not in one transaction, because a lock must not wait for a disk."""
    return wrap(method, together=False)


def wrap(method: Method, *, together: bool) -> Method:
    @wraps(method)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = read_key(request)
        if key is None:
            return method(view, request, *args, **kwargs)
        record = claim(request.user, key, fingerprint=fingerprint(request))
        if record.state == IdempotencyRecord.State.ANSWERED:
            return Response(json.loads(record.body), status=record.status, headers={"Idempotent-Replayed": "true"})
        scope: AbstractContextManager[Any] = transaction.atomic() if together else renewed(record)
        try:
            with scope:
                response = method(view, request, *args, **kwargs)
                answered(record, response, is_required=together)
        except BaseException as error:
            return refused(record, view, error)
        return response

    once.is_idempotent = True  # type: ignore[attr-defined]
    return once


def read_key(request: Request) -> str | None:
    key: str | None = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not all(" " < character <= "~" for character in key):
        raise AppError("invalid_request", f"{HEADER}: 1 to 255 visible ASCII characters.", param=HEADER)
    return key


def fingerprint(request: Request) -> str:
    """Same method, address and body give the same digest; of a file only its contents count."""
    body: Any = request.data
    if request.FILES:
        files = sorted([name, digest(file)] for name, file in open_files(request.FILES))
        fields = {name: request.POST.getlist(name) for name in request.POST}
        body = {"fields": fields, "files": files}
    text = json.dumps([request.method, request.path, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(file: Any) -> str:
    sha256 = hashlib.sha256()
    for chunk in file.chunks():
        sha256.update(chunk)
    file.seek(0)
    return sha256.hexdigest()


def claim(user: Any, key: str, *, fingerprint: str) -> IdempotencyRecord:
    """This request's record: RUNNING and ours to answer, or ANSWERED and to be replayed."""
    now = timezone.now()
    # Not left to the sweep, which may be late: the key is free to the second.
    IdempotencyRecord.objects.filter(user=user, created_at__lt=now - KEPT).delete()
    record, is_new = IdempotencyRecord.objects.get_or_create(
        user=user, key=key, defaults={"fingerprint": fingerprint, "lease_until": now + LEASE}
    )
    if is_new:
        return record
    if record.fingerprint != fingerprint:
        raise AppError("idempotency_mismatch", errors.MEANINGS["idempotency_mismatch"], param=HEADER)
    if record.state == IdempotencyRecord.State.ANSWERED:
        return record
    mine = uuid.uuid4()
    running = IdempotencyRecord.objects.filter(pk=record.pk, state=IdempotencyRecord.State.RUNNING)
    if not running.filter(lease=record.lease, lease_until__lt=now).update(lease=mine, lease_until=now + LEASE):
        raise in_progress()
    record.lease = mine
    return record


@contextmanager
def renewed(record: IdempotencyRecord) -> Iterator[None]:
    """The lease stays ours for as long as the caller's block takes."""
    over = threading.Event()

    def renew() -> None:
        ours = IdempotencyRecord.objects.filter(pk=record.pk, lease=record.lease)
        while not over.wait(RENEWED_EVERY.total_seconds()):
            try:
                ours.update(lease_until=timezone.now() + LEASE)
            except DatabaseError as error:
                log.warning("an upload's lease was not renewed: %s", error)
            finally:
                connection.close()

    keeper = threading.Thread(target=renew, name="idempotency-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def forget_old() -> int:
    """Delete the answers whose day is over, also of accounts that ask nothing any more; how many."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    return deleted


def in_progress() -> AppError:
    return AppError("idempotency_in_progress", errors.MEANINGS["idempotency_in_progress"], param=HEADER)


def answered(record: IdempotencyRecord, response: Response, *, is_required: bool) -> None:
    """Keep the answer, if the record is still ours; `is_required`: otherwise undo the work by raising."""
    kept = IdempotencyRecord.objects.filter(pk=record.pk, lease=record.lease).update(
        state=IdempotencyRecord.State.ANSWERED,
        status=response.status_code,
        body=JSONRenderer().render(response.data).decode(),
    )
    if not kept and is_required:
        # Taken over while we were slow: the other request's work counts, ours is rolled back.
        raise in_progress()


def passes(response: Response) -> bool:
    return response.status_code == 429 or "Retry-After" in response.headers


def refused(record: IdempotencyRecord, view: Any, error: BaseException) -> Response:
    """Refusals are answers and are kept; faults and what passes by itself are not: trying again can succeed."""
    ours = IdempotencyRecord.objects.filter(pk=record.pk, lease=record.lease)
    response: Response | None = None
    try:
        if isinstance(error, Exception):
            # Raises the error itself when it is a fault.
            response = view.handle_exception(error)
    finally:
        is_kept = response is not None and response.status_code < 500 and not passes(response)
        if not is_kept:
            ours.delete()
    if response is None:
        raise error
    if is_kept:
        answered(record, response, is_required=False)
    return response
