"""The API described by itself: /v1/openapi.json, and a page to read it at /docs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.errors import MEANINGS
from apps.api.throttling import KeyThrottle
from apps.api.views import OneRenderer
from apps.errors import STATUS_BY_CODE


class SchemaView(SpectacularJSONAPIView):
    renderer_classes = [OpenApiJsonRenderer2]  # noqa: RUF012
    content_negotiation_class = OneRenderer
    throttle_classes = (KeyThrottle,)


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its script is a second request, as the site's CSP wants it."""

    template_name = "api/docs.html"
    title = "Clearmatte API"
    content_negotiation_class = OneRenderer

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The page also has what each error means, where `doc_url` points; without a script."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.data["errors"] = [(code, STATUS_BY_CODE[code], meaning) for code, meaning in MEANINGS.items()]
        return response
