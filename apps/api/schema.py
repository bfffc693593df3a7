"""How the API is described in OpenAPI 3.1. Must not import views: DRF loads this while they are being defined."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import is_list_serializer
from drf_spectacular.utils import Direction, OpenApiParameter
from rest_framework import serializers

from apps.api.errors import MEANINGS
from apps.errors import STATUS_BY_CODE

INTRODUCTION = """
Remove the background from video: upload a file, start a job, fetch the result.

Send your key in `X-Api-Key`, or as `Authorization: Bearer`. Every answer carries `X-Request-Id`; name it when you
ask for help. A POST with an `Idempotency-Key` is safe to send again for 24 hours. Amounts are in credits.

[In words](/docs/api.md), [every call ready to paste](/docs/api-calls.md) in curl, Python and JavaScript, and
[moving here](/docs/moving.md) from removebgvideo, remove.bg or Unscreen.

Every error has the same shape, `{"error": {code, message, type, param, request_id, doc_url}}`:

| code | status | meaning |
|---|---|---|
"""

REASONS = {
    400: "The body cannot be read.",
    401: "No key, or one that does not work.",
    402: "Not enough credits.",
    403: "The key lacks the scope.",
    404: "Unknown, or not yours.",
    409: "Not in this state, or a clash of Idempotency-Key.",
    413: "Too large.",
    415: "Wrong Content-Type.",
    422: "A field is unknown or wrong; param names it.",
    429: "Too many requests; wait Retry-After seconds.",
    500: "Our fault.",
    503: "A model or a part of the service is not there.",
}


class ErrorDetail(serializers.Serializer[Any]):
    """`insufficient_credits` also carries `needed`, `available` and `buy_url`, where to buy."""

    code = serializers.CharField()
    message = serializers.CharField()
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    request_id = serializers.CharField()
    doc_url = serializers.URLField()


class Error(serializers.Serializer[Any]):
    error = ErrorDetail()


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.ApiKeyAuthentication"
    name = ["apiKey", "bearer"]  # noqa: RUF012

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        # Two entries mean either; one entry with two names would ask for both.
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [{"type": "apiKey", "in": "header", "name": "X-Api-Key"}, {"type": "http", "scheme": "bearer"}]


class Schema(AutoSchema):
    """Adds to every operation what all of them share: its errors, its query parameters, Idempotency-Key."""

    def get_summary(self) -> str:
        """The first sentence of the view's docstring, beside the address on the page."""
        return str(self.get_description()).partition(". ")[0].partition(".\n")[0].rstrip(".")

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if query := getattr(self.view, "queries", {}).get(getattr(self.view, "action", None)):
            parameters.append(query)
        if self.method == "POST":
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
                    OpenApiParameter.HEADER,
                    description="1 to 255 visible ASCII characters; the same key and body within 24 hours "
                    "get the first answer again.",
                )
            )
        if self.method == "GET":
            parameters.append(
                OpenApiParameter(
                    "If-None-Match",
                    {"type": "string"},
                    OpenApiParameter.HEADER,
                    description="The `ETag` of the answer you have: 304 without a body while it is the newest.",
                )
            )
        return parameters

    def _is_list_view(self, serializer: Any = None) -> bool:
        # By what is answered, not by the action's name: `GET /v1/credits` is a list to DRF and one object to us.
        answers = serializer or self.get_response_serializers()
        if isinstance(answers, dict) and answers:
            answers = answers[min(answers, key=str)]
        return is_list_serializer(answers)

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self.error_statuses():
            body = self._get_response_for_code(  # type: ignore[no-untyped-call]
                Error, str(status), direction=direction
            )
            bodies[str(status)] = {**body, "description": REASONS[status]}
        if self.method == "GET":
            bodies["304"] = {"description": "Unchanged since the ETag in If-None-Match."}
        return bodies

    def error_statuses(self) -> list[int]:
        statuses = {422, 429, 500, 503}
        if self.get_auth() and {} not in self.get_auth():
            statuses |= {401, 403}
        if "{" in self.path:
            statuses.add(404)
        if self.method == "POST":
            statuses |= {400, 402, 409, 413, 415}
        # What a view's own states add to that: action → statuses.
        statuses |= getattr(self.view, "refusals", {}).get(getattr(self.view, "action", None), set())
        return sorted(statuses)


def describe(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Postprocessing hook: the introduction, with the table of errors that `doc_url` points at; bodies are closed."""
    rows = [f"| `{code}` | {STATUS_BY_CODE[code]} | {meaning} |" for code, meaning in MEANINGS.items()]
    result["info"]["description"] = INTRODUCTION.strip() + "\n" + "\n".join(rows)
    parts = result["components"]["schemas"]
    for operations in result["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {}).get("content", {}).values():
                close(body["schema"], parts)
    forget_enum_ids(result)
    return result


def close(schema: Any, parts: dict[str, Any]) -> None:
    """Say of a request's objects what is true of them: an unknown field is refused."""
    if isinstance(schema, list):
        for inner in schema:
            close(inner, parts)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            close(parts[schema["$ref"].rpartition("/")[2]], parts)
        if "properties" in schema:
            schema["additionalProperties"] = False
        for inner in schema.values():
            close(inner, parts)


def forget_enum_ids(schema: Any) -> None:
    """Marks of the library's own, for a hook that names enumerations and that we do not use."""
    if isinstance(schema, dict):
        schema.pop("x-spec-enum-id", None)
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        forget_enum_ids(inner)
