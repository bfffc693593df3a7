"""Callers of the API with a key, and a clip to upload."""

from __future__ import annotations

from tests.api.conftest import api, caller, clip, fresh  # noqa: F401
