"""Faults told to Sentry, where SENTRY_DSN says so: what the log has as an error, and nothing about people."""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.api import request_id
from apps.ops.logs import blotted

LEFT_OUT = ("request", "user", "extra", "modules")
"""Parts of an event that may hold what people sent, or what nobody asked for."""


def start() -> None:
    """Nothing of Sentry is even loaded without a DSN."""
    if not settings.SENTRY_DSN:
        return
    try:
        sdk = importlib.import_module("sentry_sdk")
    except ImportError:
        raise ImproperlyConfigured(
            "SENTRY_DSN is set, but Sentry's client is not installed: "
            ".venv/bin/python -m pip install --require-hashes -r requirements-sentry.lock"
        ) from None
    sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.VERSION,
        before_send=scrubbed,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        # Errors come by way of the log; whoever watches requests and queries would see people's data.
        auto_enabling_integrations=False,
    )


def scrubbed(event: dict[str, Any], hint: Any = None) -> dict[str, Any]:
    kept: dict[str, Any] = _blotted({name: part for name, part in event.items() if name not in LEFT_OUT})
    kept["tags"] = {**kept.get("tags", {}), "request_id": request_id.current.get()}
    return kept


def _blotted(part: Any) -> Any:
    if isinstance(part, str):
        return blotted(part)
    if isinstance(part, dict):
        return {name: _blotted(value) for name, value in part.items()}
    return [_blotted(value) for value in part] if isinstance(part, list | tuple) else part
