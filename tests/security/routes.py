"""Every address of the site, read from its url table, so that a new one cannot be forgotten by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>|\(\?P<(\w+)>.*?\)(?=[-/$]|$)")
OTHERS = ("admin/", "__")
"""The admin has a door of its own, which tests/accounts/test_admin.py knocks at."""


@dataclass(frozen=True, slots=True)
class Route:
    pattern: str
    name: str

    @property
    def parameters(self) -> list[str]:
        return [name or old_name for _, name, old_name in PARAMETER.findall(self.pattern)]

    @property
    def kinds(self) -> list[str]:
        """Of each parameter: uuid, int, …"""
        return [kind for kind, *_ in PARAMETER.findall(self.pattern)]

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith(("v1/", "api/"))

    def path(self, *values: object) -> str:
        told = iter(values)
        return "/" + PARAMETER.sub(lambda _: str(next(told)), self.pattern)


def routes() -> list[Route]:
    found = [Route(pattern, name) for pattern, name in walk(get_resolver(), "")]
    return [route for route in found if not route.pattern.startswith(OTHERS) and "(?:v1|api)" not in route.pattern]


def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        pattern = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLPattern):
            yield pattern, entry.name or ""
        else:
            yield from walk(entry, pattern)
