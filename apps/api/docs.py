"""The API described by itself: /v1/openapi.json, and a page to read it at /docs."""

from __future__ import annotations

from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from apps.api.throttling import KeyThrottle
from apps.api.views import OneRenderer


class SchemaView(SpectacularJSONAPIView):
    renderer_classes = [OpenApiJsonRenderer2]  # noqa: RUF012
    content_negotiation_class = OneRenderer
    throttle_classes = (KeyThrottle,)


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its script is a second request, as the site's CSP wants it."""

    template_name = "api/docs.html"
    title = "Clearmatte API"
    content_negotiation_class = OneRenderer
