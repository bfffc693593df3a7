"""What a key may do: its scopes against what a call needs."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.models import SCOPES, ApiKey
from apps.errors import AppError


def requires(scope: str) -> type[BasePermission]:
    """A permission class: the caller has a key, and the key has this scope."""
    if scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")

    class HasScope(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            key = request.auth
            if not isinstance(key, ApiKey):
                raise AppError("missing_api_key", "Send your API key in X-Api-Key, or as Authorization: Bearer <key>.")
            if scope not in key.scopes:
                message = f"This key lacks the scope {scope}; make one that has it on the API keys page."
                raise AppError("forbidden_scope", message, details={"scope": scope})
            return True

    return HasScope
