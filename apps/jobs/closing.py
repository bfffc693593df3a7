"""Whether this process has to go. The web server says so, whose settings are read before models can load."""

from __future__ import annotations

from collections.abc import Callable

signs: list[Callable[[], bool]] = []


def is_closing() -> bool:
    return any(sign() for sign in signs)
