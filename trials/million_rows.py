"""A PostgreSQL filled with the rows of so many jobs (trials/million.sql), and what it says of how it finds them."""

from __future__ import annotations

import json
import random
import re
import string
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

SQL = Path(__file__).with_suffix(".sql").with_name("million.sql")
FIRST = "account-1@example.org"
"""Who asked for a tenth of all jobs."""
WORTH_TELLING = 5
"""Seconds."""
SMALL = 10_000
"""Rows of a table that may be read through: that takes few milliseconds."""

FACTS: dict[str, Any] = {
    "container": "mov,mp4,m4a,3gp,3g2,mj2", "video_codec": "h264", "pixel_format": "yuv420p", "width": 1920,
    "height": 1080, "fps": 25.0, "frames": 250, "duration": 10.0, "rotation": 0, "has_audio": True,
    "audio_codec": "aac", "has_alpha": False, "is_hdr": False, "is_interlaced": False, "is_variable_rate": False,
}  # fmt: skip
OUTPUT_FACTS = {
    "width": 1920,
    "height": 1080,
    "frames": 250,
    "duration": 10.0,
    "alpha_mode": "straight",
    "has_audio": True,
}
MEASURE = {"score": 90, "verdict": "good", "words": "All is well.", "flags": [], "more_flags": 0}
QUALITY = {
    "version": 1, "duration": 10.0, "edge_stability": MEASURE, "foreground_integrity": MEASURE,
    "temporal_consistency": MEASURE,
    "timeline": [{"t": t, "edge": 100, "integrity": 100, "consistency": 100} for t in range(10)],
}  # fmt: skip


def fill(jobs: int, options: Mapping[str, Any]) -> None:
    """As a restore does it: first the rows, unchecked, then what finds and binds them; what was there goes."""
    given = {
        "jobs": str(jobs),
        "options": _text(options),
        "facts": _text(FACTS),
        "output_facts": _text(OUTPUT_FACTS),
        "quality": _text(QUALITY),
    }
    script = re.sub(r"(?<![:\w]):([a-z_]+)", lambda named: given[named[1]], SQL.read_text(encoding="utf-8"))
    tables = sorted(set(re.findall(r"INSERT INTO (\w+)", script)))
    with transaction.atomic(), connection.cursor() as cursor:
        # With wal_level=minimal, rows of a table that was emptied in their own transaction are not logged as well.
        cursor.execute("SET LOCAL session_replication_role = replica; SET LOCAL maintenance_work_mem = '512MB'")
        afterwards = [*_dropped_constraints(cursor), *_dropped_indexes(cursor, tables)]
        cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
        cursor.execute("CREATE TEMP TABLE sample (n int, text text) ON COMMIT DROP")
        cursor.executemany("INSERT INTO sample VALUES (%s, %s)", list(_samples()))
        for statement in (*script.split(";\n"), *afterwards):
            began = time.monotonic()
            cursor.execute(statement)
            if (took := time.monotonic() - began) > WORTH_TELLING:
                print(f"{took:5.0f} s  {' '.join(statement.split())[:90]}", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _dropped_constraints(cursor: Any) -> list[str]:
    """What makes them anew: keys first, and references to them without a look at what was just written."""
    cursor.execute(
        "SELECT conrelid::regclass, quote_ident(conname), contype, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'u', 'p') ORDER BY contype"
    )
    found = cursor.fetchall()
    for table, name, _, _ in found:
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    again = [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{' NOT VALID' if kind == 'f' else ''}"
        for table, name, kind, definition in found
    ]
    return again[::-1]


def _dropped_indexes(cursor: Any, tables: list[str]) -> list[str]:
    """What makes them anew."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(%s)", [tables]
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def _text(value: Mapping[str, Any]) -> str:
    return "'" + json.dumps(value).replace("'", "''") + "'::jsonb"


def _samples() -> Iterator[tuple[int, str]]:
    """Texts that no database makes much smaller, as logs and reports are."""
    chance = random.Random(7)
    for number in range(64):
        yield number, "".join(chance.choices(string.ascii_letters + string.digits, k=1200))


@dataclass(frozen=True, slots=True)
class Plan:
    """How one SELECT was carried out."""

    indexes: set[str]
    read_through: set[str]
    """Tables of more than SMALL rows."""
    blocks: int
    """Of 8 KiB, that it looked at; the same on a busy machine and on a quiet one."""
    ms: float


def plan(statement: str) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement)
        told = cursor.fetchone()[0][0]
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [SMALL])
        large = {name for (name,) in cursor.fetchall()}
    top = told["Plan"]
    nodes = list(_nodes(top))
    # What is read until so many rows are found is not read through.
    soon_over = {id(below) for node in nodes if node["Node Type"] == "Limit" for below in node["Plans"]}
    read = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan" and id(node) not in soon_over}
    return Plan(
        indexes={node["Index Name"] for node in nodes if "Index Name" in node},
        read_through=read & large,
        blocks=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        ms=told["Execution Time"],
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def seconds_at_work() -> float:
    """Of processor time: this process's, and its connection's at a database on the same Linux machine."""
    with connection.cursor() as cursor:
        # In one process, or the rest would not be counted.
        cursor.execute("SET max_parallel_workers_per_gather = 0; SELECT pg_backend_pid()")
        cursor.nextset()
        (backend,) = cursor.fetchone()
    times = Path(f"/proc/{backend}/schedstat")
    return time.process_time() + (int(times.read_text().split()[0]) / 1e9 if times.exists() else 0)
