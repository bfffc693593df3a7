"""What is written into CSV files: names are whatever somebody typed, and spreadsheets run what looks like a formula."""

from __future__ import annotations

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def cell(value: object) -> object:
    """A leading quote keeps a spreadsheet from running it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value
