"""Lists come as `{data, total, limit, offset, has_more}`; of each, pages' too, only what is shown is read whole."""

from __future__ import annotations

from typing import Any, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from rest_framework import pagination, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.strict import StrictFields

Row = TypeVar("Row", bound=Model)


def rows_at(rows: QuerySet[Row], start: int, end: int) -> list[Row]:
    """`rows[start:end]`, found by their keys first: a database reads what it skips, and all that is joined to it."""
    keys = list(rows.prefetch_related(None).values_list("pk", flat=True)[start:end])
    found = rows.order_by().in_bulk(keys)
    return [found[key] for key in keys if key in found]


class NarrowPaginator(Paginator):  # type: ignore[type-arg]
    """Django's own for pages, with `rows_at`."""

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows: Any = self.object_list
        return Page(rows_at(rows, start, start + self.per_page), number, self)


class PageQuery(StrictFields):
    """The query parameters every list takes; a list's own filters are added in a subclass."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class LimitOffsetPagination(pagination.LimitOffsetPagination):
    """Reads what `ApiViewSet` has already checked, so a bad limit is refused and not corrected in silence."""

    default_limit = 20
    max_limit = 100

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        self.request, self.limit, self.offset = request, self.get_limit(request), self.get_offset(request)
        self.count = self.get_count(queryset)
        return rows_at(queryset, self.offset, self.offset + self.limit) if self.offset < self.count else []

    def get_limit(self, request: Request) -> int:
        limit: int = self.checked(request)["limit"]
        return limit

    def get_offset(self, request: Request) -> int:
        offset: int = self.checked(request)["offset"]
        return offset

    def checked(self, request: Request) -> dict[str, Any]:
        query: dict[str, Any] = request.checked_query  # type: ignore[attr-defined]
        return query

    def get_paginated_response(self, data: Any) -> Response:
        total, offset = self.count or 0, self.offset or 0
        more = offset + len(data) < total
        return Response({"data": data, "total": total, "limit": self.limit, "offset": offset, "has_more": more})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        number = {"type": "integer"}
        properties = {
            "data": schema,
            "total": number,
            "limit": number,
            "offset": number,
            "has_more": {"type": "boolean"},
        }
        return {"type": "object", "properties": properties, "required": list(properties)}
