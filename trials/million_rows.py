"""A PostgreSQL filled with the rows of so many jobs (trials/million.sql), and what it says of how it finds them."""

from __future__ import annotations

import json
import random
import re
import string
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import connection, transaction

SQL = Path(__file__).with_suffix(".sql").with_name("million.sql")
FIRST = "account-1@example.org"
"""Who asked for a tenth of all jobs."""
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
    """As a restore does it: first the rows, unchecked, then the indexes that are no keys."""
    given = {
        "jobs": str(jobs),
        "options": _text(options),
        "facts": _text(FACTS),
        "output_facts": _text(OUTPUT_FACTS),
        "quality": _text(QUALITY),
    }
    script = re.sub(r"(?<![:\w]):([a-z_]+)", lambda named: given[named[1]], SQL.read_text(encoding="utf-8"))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica; SET LOCAL maintenance_work_mem = '512MB'")
        indexes = _dropped_indexes(cursor)
        cursor.execute("CREATE TEMP TABLE sample (n int, text text) ON COMMIT DROP")
        cursor.executemany("INSERT INTO sample VALUES (%s, %s)", list(_samples()))
        for statement in (*script.split(";\n"), *indexes):
            cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _dropped_indexes(cursor: Any) -> list[str]:
    """What makes them anew; the tables of our apps lose all that no constraint needs."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN "
        "(SELECT conname FROM pg_constraint) AND tablename ~ '^(accounts|api|credits|jobs|projects|webhooks)_'"
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


def plan(statement: str) -> tuple[set[str], set[str]]:
    """The indexes that a SELECT goes by, and the tables of more than SMALL rows that it reads through."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + statement)
        top = cursor.fetchone()[0][0]["Plan"]
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [SMALL])
        large = {name for (name,) in cursor.fetchall()}
    nodes = list(_nodes(top))
    read = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    return {node["Index Name"] for node in nodes if "Index Name" in node}, read & large


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
