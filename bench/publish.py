"""The figures' place in the documentation; what people wrote around it stays."""

from __future__ import annotations

from pathlib import Path

from bench.folder import BenchError

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def publish(page: Path, figures: str) -> None:
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{page} has no place for the figures: {BEGIN} and {END}, each on a line of its own.")
    page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")
