"""What a request body may be: strict JSON, or a multipart upload that is measured while it streams in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from apps.errors import AppError

MAX_DEPTH = 32
"""Levels of nesting; far above any real request and far below what exhausts a stack."""

MAX_DIGITS = 100


class StrictJSONParser(parsers.JSONParser):
    """One JSON object in UTF-8, of text that any database can keep."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            body = json.loads(
                stream.read().decode("utf-8"),
                parse_constant=refuse_constant,
                parse_float=finite,
                parse_int=short,
                object_pairs_hook=each_once,
            )
        except RecursionError:
            raise ParseError(f"The JSON is nested more than {MAX_DEPTH} levels deep.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
        if not isinstance(body, dict):
            raise AppError("invalid_request", "The body must be a JSON object.")
        for name, value in body.items():
            check_text(name, param=None, depth=0)
            check_text(value, param=name, depth=1)
        return body


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:MAX_DIGITS]} is larger than any number here")
    return number


def short(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name given twice every reader picks one as it likes, so neither is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice[:80]!r} is given more than once")
    return found


def check_text(value: Any, *, param: str | None, depth: int) -> None:
    """Refuse NUL and lone surrogates, which PostgreSQL and UTF-8 cannot hold, and bottomless nesting."""
    if depth > MAX_DEPTH:
        raise ParseError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            message = "Text must not contain NUL characters or lone surrogates."
            raise AppError("invalid_request", f"{param}: {message}" if param else message, param=param)
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_text(name, param=param, depth=depth + 1)
            check_text(inner, param=param, depth=depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_text(inner, param=param, depth=depth + 1)


class LimitedFileUploadHandler(TemporaryFileUploadHandler):
    """Straight to disk, and no further than `MAX_UPLOAD_BYTES` for the whole request."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        if self.received > settings.MAX_UPLOAD_BYTES:
            raise file_too_large()
        super().receive_data_chunk(raw_data, start)

    def upload_interrupted(self) -> None:
        super().upload_interrupted()
        raise ParseError("The multipart body ended before its closing boundary.")

    def discard(self) -> None:
        """Delete a half-received file: Django's parser forgets it when anything but StopUpload is raised."""
        if hasattr(self, "file"):
            self.file.close()


def file_too_large() -> AppError:
    megabytes = settings.MAX_UPLOAD_BYTES / 1_000_000
    return AppError("file_too_large", f"file: at most {megabytes:g} MB a file.", param="file")


class UploadParser(parsers.MultiPartParser):
    """Multipart whose file parts never sit in memory."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        request: HttpRequest = (parser_context or {})["request"]._request
        # Fields and boundaries come on top of the file, and are limited on their own.
        longest = settings.MAX_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if int(request.META.get("CONTENT_LENGTH") or 0) > longest:
            raise file_too_large()
        handler = LimitedFileUploadHandler(request)
        request.upload_handlers = [handler]
        try:
            return super().parse(stream, media_type, parser_context)
        except BaseException:
            handler.discard()
            raise


def open_files(files: Any) -> list[tuple[str, UploadedFile[Any]]]:
    """Every uploaded file with its field's name."""
    return [(name, file) for name, many in files.lists() for file in many]
