"""`python -m trials.pages`: what each page of the site costs and weighs for an account with some fifty jobs.

A page keeps its promise when half of its requests take less than 50 ms, and when it is at most 150 kB with its styles,
scripts and font.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from trials.site import ROOT

if TYPE_CHECKING:
    from django.test import Client

MOST_MS = 50
MOST_BYTES = 150_000
STATIC = re.compile(r'(?:href|src)="/static/([^"]+\.(?:css|js))"')
FONT = "vendor/inter/inter-latin-wght-normal.woff2"
"""Every page needs it; compressed in itself."""

Pages = Iterator[tuple[str, str]]
"""Name and address."""


@dataclass(slots=True)
class Row:
    """Of one page."""

    page: str
    status: int
    queries: int
    page_bytes: int
    whole_bytes: int
    """With styles and scripts, compressed, and font; without pictures and films."""
    least_cpu_ms: float
    median_cpu_ms: float
    """What it takes on a machine that nobody else keeps busy."""
    median_ms: float

    @property
    def complaints(self) -> list[str]:
        found = [] if self.status == 200 else [f"answered {self.status}"]
        if min(self.median_ms, self.median_cpu_ms) >= MOST_MS:
            found.append(f"took {self.median_ms:.0f} ms, {self.median_cpu_ms:.0f} ms of them at work")
        if self.whole_bytes > MOST_BYTES:
            found.append(f"weighs {self.whole_bytes / 1000:.0f} kB")
        return found

    @property
    def cells(self) -> tuple[str, ...]:
        weights = (f"{size / 1000:.1f}" for size in (self.page_bytes, self.whole_bytes))
        times = (f"{ms:.1f}" for ms in (self.least_cpu_ms, self.median_cpu_ms, self.median_ms))
        return (self.page, str(self.queries), *weights, *times)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.pages", description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=50, metavar="N", help="at least 10")
    parser.add_argument("--turns", type=int, default=20, metavar="N", help="requests of each page that count")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose name holds it")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "pages", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="pages-") as folder:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="trials.million_settings", DATABASE_URL=f"sqlite:///{folder}/db.sqlite3",
            DATA_DIR=folder, SANDBOX="1", REDIS_URL="", S3_BUCKET="", SITE_URL="http://testserver", LOG_LEVEL="ERROR",
        )  # fmt: skip
        django.setup()
        from django.core.management import call_command

        # Where a start collects the styles; the pages only name them.
        (Path(folder) / "static").mkdir()
        call_command("migrate", verbosity=0)
        rows = list(look(jobs=given.jobs, turns=given.turns, only=given.only))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    (given.out / "table.md").write_text("\n".join(table(rows)) + "\n", encoding="utf-8")
    print(*summary(rows), sep="\n")
    return 1 if any(row.complaints for row in rows) else 0


def look(*, jobs: int, turns: int, only: str = "") -> Iterator[Row]:
    """Each page for the account, and those before signing in for nobody. The database must be there."""
    from django.test import Client

    from trials.pages_rows import fill

    account = fill(jobs)
    mine, nobody = Client(raise_request_exception=False), Client(raise_request_exception=False)
    mine.force_login(account.user, backend="django.contrib.auth.backends.ModelBackend")
    for client, pages in ((mine, account.pages()), (nobody, account.pages_of_nobody())):
        for name, address in pages:
            if only in name:
                yield visit(client, name, address, turns=turns)


def visit(client: Client, name: str, address: str, *, turns: int) -> Row:
    """Twice to warm up and to count its queries, then as often as told to take the time."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
    # Now, because the next request forgets them.
    queries = len(captured.captured_queries)
    times, work = [], []
    for _ in range(turns):
        began, before = time.perf_counter(), time.process_time()
        client.get(address)
        times.append((time.perf_counter() - began) * 1000)
        work.append((time.process_time() - before) * 1000)
    statics = set(STATIC.findall(answer.content.decode()))
    return Row(
        page=name,
        status=answer.status_code,
        queries=queries,
        page_bytes=len(answer.content),
        whole_bytes=len(answer.content) + sum(_weight(path) for path in statics | ({FONT} if statics else set())),
        least_cpu_ms=round(min(work), 1),
        median_cpu_ms=round(statistics.median(work), 1),
        median_ms=round(statistics.median(times), 1),
    )


def _weight(path: str) -> int:
    from django.contrib.staticfiles import finders

    found: Any = finders.find(path)
    content = Path(found).read_bytes()
    return len(content) if path == FONT else len(gzip.compress(content))


def summary(rows: Sequence[Row]) -> Iterator[str]:
    yield from (f"{row.page}: {', '.join(row.cells[1:])}" for row in rows)
    if rows:
        slowest, heaviest = max(rows, key=lambda row: row.median_cpu_ms), max(rows, key=lambda row: row.whole_bytes)
        middle = statistics.median(row.median_cpu_ms for row in rows)
        yield (
            f"{len(rows)} pages: half within {middle:.0f} ms at work, the slowest, {slowest.page}, "
            f"{slowest.median_cpu_ms:.0f} ms; the heaviest, {heaviest.page}, {heaviest.whole_bytes / 1000:.0f} kB"
        )
    yield from (f"FAIL {row.page}: {'; '.join(row.complaints)}" for row in rows if row.complaints)


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| page | queries | page, kB | with style, scripts and font, kB | CPU, ms: least | median | ms: median |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    yield from (f"| {' | '.join(row.cells)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
