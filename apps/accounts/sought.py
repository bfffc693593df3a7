"""What somebody types to find a record, read as the ids, hashes and addresses that it may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

FEWEST_CHARACTERS = 8
"""Of an id: as many as logs and pages show of one."""
MOST_RECORDS = 200
"""That one search names by their ids."""
HEX = re.compile(r"[0-9a-f]+")
ID = re.compile(r"/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?![0-9a-fA-F-])")
"""In the address of one of our pages, as people copy it into their mails: the first is what the page is of."""


@dataclass(frozen=True, slots=True)
class Sought:
    """One text; only what it can be is set, so that nothing is looked up in vain."""

    text: str
    id: UUID | None = None
    first: UUID | None = None
    """With `last`: the ids that begin with what was typed."""
    last: UUID | None = None
    sha256: str = ""
    email: str = ""

    def ids(self) -> Q | None:
        """Records whose id is, or begins with, the text: a range of the primary key, which every database looks up."""
        return Q(pk__gte=self.first, pk__lte=self.last) if self.first else None

    def is_of(self, pk: UUID) -> bool:
        return self.first is not None and self.last is not None and self.first <= pk <= self.last


def read(text: str) -> Sought:
    text = text.strip().replace("\x00", "")[:300]
    if text.startswith(settings.SITE_URL) and (copied := ID.search(text)):
        text = copied[1]
    digits = text.replace("-", "").lower()
    if HEX.fullmatch(digits):
        if len(digits) == 64:
            return Sought(text, sha256=digits)
        if FEWEST_CHARACTERS <= len(digits) <= 32:
            first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
            return Sought(text, id=first if len(digits) == 32 else None, first=first, last=last)
    return Sought(text, email=text.lower() if "@" in text else "")


def keys(rows: QuerySet[Any], most: int = MOST_RECORDS) -> list[Any]:
    """Ids of rows that are few. Without their order, or a database may walk through all of a table to keep it."""
    return list(rows.order_by().values_list("pk", flat=True)[:most])


def among(ids: list[Any]) -> Q | None:
    return Q(pk__in=ids) if ids else None
