"""Lists come as `{data, total, limit, offset, has_more}`."""

from __future__ import annotations

from typing import Any

from rest_framework import pagination, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.strict import StrictFields


class PageQuery(StrictFields):
    """The query parameters every list takes; a list's own filters are added in a subclass."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class LimitOffsetPagination(pagination.LimitOffsetPagination):
    """Reads what `ApiViewSet` has already checked, so a bad limit is refused and not corrected in silence."""

    default_limit = 20
    max_limit = 100

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
