"""What is written into CSV files: names are whatever somebody typed, and spreadsheets run what looks like a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def cell(value: object) -> object:
    """A leading quote keeps a spreadsheet from running it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value


def as_csv(columns: Sequence[str], blocks: Iterable[Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    """The file, block by block, so that the first rows of a long one are sent before the last are read."""
    yield ",".join(columns) + "\r\n"
    for block in blocks:
        text = io.StringIO()
        csv.DictWriter(text, columns).writerows({name: cell(row[name]) for name in columns} for row in block)
        yield text.getvalue()
