"""What every view under /v1 does alike: strict queries, one JSON parser, rate headers, no content negotiation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import viewsets
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import conditional
from apps.api.parsers import StrictJSONParser
from apps.api.strict import StrictFields
from apps.api.throttling import KeyThrottle, by_address
from apps.errors import AppError


class OneRenderer(BaseContentNegotiation):
    """The API speaks JSON whatever Accept says; a browser that opens an address sees JSON too."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        wanted = request.content_type.split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


def finished(request: Request, response: Any) -> Any:
    """An answer with what all of them have: its ETag or a 304, the caller's rate, how long it may be kept."""
    if request.method in ("GET", "HEAD") and response.status_code == 200:
        response = conditional.answer(request, response)
    for name, value in getattr(getattr(request, "rate", None), "headers", {}).items():
        response[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response


class ApiViewSet(viewsets.GenericViewSet[Any]):
    """`queries` names the query parameters of an action; an action without an entry takes none."""

    parser_classes: Sequence[type[BaseParser]] = (StrictJSONParser,)
    throttle_classes = (KeyThrottle,)
    content_negotiation_class = OneRenderer
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]  # noqa: RUF012
    queries: ClassVar[dict[str, type[StrictFields]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            # WSGI has no length to read up to, so the body would pass for empty.
            raise ParseError("Send a Content-Length; chunked request bodies are not read.")
        if self.action is None:
            # A method that the address does not have, which is told before any fault of the query.
            return
        query = self.queries.get(self.action, StrictFields)(data=request.query_params)
        query.is_valid(raise_exception=True)
        request.checked_query = query.validated_data  # type: ignore[attr-defined]

    def perform_authentication(self, request: Request) -> None:
        """Counted right after it, so that refused calls count too; a key that does not work counts for its sender."""
        try:
            super().perform_authentication(request)
        except AppError:
            throttle = KeyThrottle()
            if not throttle.admits(request, by_address(request)):
                self.throttled(request, throttle.wait())
            raise
        super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Done with authentication."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        return finished(request, super().finalize_response(request, response, *args, **kwargs))

    def page(self, rows: QuerySet[Any], present: Callable[[list[Any]], list[Any]]) -> Response:
        """One page of a queryset, its rows as `present` shows them."""
        return self.get_paginated_response(present(list(self.paginate_queryset(rows) or [])))

    @property
    def user(self) -> Any:
        """The account that the key belongs to."""
        return self.request.user

    @property
    def key(self) -> Any:
        """The API key the call came with; None where a call needs none."""
        return self.request.auth

    @property
    def query(self) -> dict[str, Any]:
        """The query parameters, checked, with their defaults."""
        checked: dict[str, Any] = self.request.checked_query  # type: ignore[attr-defined]
        return checked

    def body(self, fields: type[StrictFields]) -> dict[str, Any]:
        """The request's body, checked."""
        checked = fields(data=self.request.data)
        checked.is_valid(raise_exception=True)
        data: dict[str, Any] = checked.validated_data
        return data
