"""The API described by itself: /v1/openapi.json, a page to read it at /docs, and the guides of docs/ beside it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.errors import MEANINGS
from apps.api.throttling import KeyThrottle
from apps.api.views import OneRenderer, finished
from apps.errors import STATUS_BY_CODE

GUIDES = {
    "api": "The API in words: from a file to a cutout, every field, uploads in parts, webhooks and their signatures",
    "api-calls": "Every call ready to paste, in curl, Python and JavaScript",
    "moving": "Moving here from removebgvideo, remove.bg or Unscreen: the field map",
    "formats": "What each output format holds",
    "quality": "What the report on a matte means",
}
"""Files of docs/ that are for whoever calls the API."""
HERE = "http://127.0.0.1:8000"
"""The site in them."""


class SchemaView(SpectacularJSONAPIView):
    renderer_classes = [OpenApiJsonRenderer2]  # noqa: RUF012
    content_negotiation_class = OneRenderer
    throttle_classes = (KeyThrottle,)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        return finished(request, super().finalize_response(request, response, *args, **kwargs))


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its script is a second request, as the site's CSP wants it."""

    template_name = "api/docs.html"
    title = "Clearmatte API"
    content_negotiation_class = OneRenderer

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The page also has what each error means, where `doc_url` points; without a script."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.data["guides"] = GUIDES
        response.data["errors"] = [(code, STATUS_BY_CODE[code], meaning) for code, meaning in MEANINGS.items()]
        return response


@require_safe
def guide(request: HttpRequest, name: str) -> HttpResponse:
    """One guide as it was written, with this site's address in its examples: text, so that what is copied is exact."""
    text = (settings.BASE_DIR / "docs" / f"{name}.md").read_text(encoding="utf-8")
    return HttpResponse(text.replace(HERE, settings.SITE_URL), content_type="text/plain; charset=utf-8")
