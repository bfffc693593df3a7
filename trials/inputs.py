"""`python -m trials.inputs DIR`: every file of an index through the command line and through the API."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from apps.engine.formats import FORMATS
from apps.engine.matting import weights
from trials import api, engine, judge
from trials.index import EITHER, PROCESS, REJECT, BadIndex, Entry, read
from trials.site import Site, SiteFailed, running_site

WAYS = ("cli", "api")


@dataclass(slots=True)
class Row:
    """One file, and what is wrong with how it went."""

    entry: Entry
    went: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        went = "  ".join(f"{way} {self.went[way]}" for way in WAYS if way in self.went)
        mark = "ok  " if not self.complaints else "FAIL"
        return f"{mark} {self.entry.name:40.40} {self.entry.expect:8} {went}"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.inputs", description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="DIR", help="index.json and the files that it names")
    parser.add_argument("--only", default="", metavar="A,B", help="files whose name holds one of these")
    parser.add_argument("--ways", default=",".join(WAYS), metavar="A,B", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--format", default="mov", choices=list(FORMATS), help="what the command line writes")
    parser.add_argument("--jobs", type=int, default=3, metavar="N", help="whole jobs through the API, of each kind")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("DATA_DIR", "data")) / "models")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    ways = [way for way in WAYS if way in given.ways.split(",")]
    try:
        entries = _chosen(read(given.folder), given.only)
        rows = [Row(entry) for entry in entries]
        with tempfile.TemporaryDirectory(prefix="trial-") as folder:
            if "cli" in ways:
                _through_cli(rows, Path(folder), given)
            if "api" in ways:
                _through_api(rows, Path(folder), given)
    except (BadIndex, SiteFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _report(rows, ways)


def _chosen(entries: list[Entry], only: str) -> list[Entry]:
    parts = [part for part in only.split(",") if part]
    chosen = [entry for entry in entries if not parts or any(part in entry.name for part in parts)]
    if not chosen:
        raise BadIndex(f"No file's name holds {only}.")
    return chosen


def _through_cli(rows: list[Row], folder: Path, given: argparse.Namespace) -> None:
    def one(row: Row) -> None:
        entry = row.entry
        looked = engine.probe(entry.path)
        row.complaints += [f"probe: {text}" for text in judge.of_outcome(entry, looked)] if looked.code else []
        if not looked.code:
            row.complaints += [f"probe: {text}" for text in judge.of_facts(entry, looked.facts)]
        with engine.processed(entry.path, folder, format_name=given.format, threads=given.threads) as (outcome, target):
            row.went["cli"] = outcome.in_short
            row.complaints += [f"cli: {text}" for text in judge.of_outcome(entry, outcome)]
            if not outcome.code:
                row.complaints += [f"cli: {text}" for text in judge.of_result(entry, outcome, target)]
        if left := [path.name for path in folder.iterdir()]:
            row.complaints.append(f"cli: left behind {', '.join(left)}")

    _each(rows, one)


def _through_api(rows: list[Row], folder: Path, given: argparse.Namespace) -> None:
    jobs = {row.entry.name for row in _some(rows, PROCESS, given.jobs)}
    refused = {row.entry.name for row in _some(rows, REJECT, given.jobs) if row.entry.path.stat().st_size}
    if jobs and not weights.model_status(given.models_dir, permissive=False)[api.MODEL].installed:
        raise SiteFailed(f"{api.MODEL} is not in {given.models_dir}: python manage.py models install {api.MODEL}")
    with (
        api.served(given.folder) as (address, port),
        running_site(models_dir=given.models_dir, egress_allow=f"127.0.0.1:{port}") as site,
    ):

        def one(row: Row) -> None:
            _upload(site, row, folder, with_job=row.entry.name in jobs)
            if row.entry.name in refused:
                row.went["api"] += ", job refused"
                row.complaints += api.refused_job(site, row.entry, address)

        _each(rows, one)


def _upload(site: Site, row: Row, folder: Path, *, with_job: bool) -> None:
    outcome, body, complaints = api.upload(site, row.entry)
    row.went["api"] = outcome.in_short
    row.complaints += [f"api: {text}" for text in (*complaints, *judge.of_outcome(row.entry, outcome))]
    if outcome.code:
        return
    row.complaints += [f"api: {text}" for text in judge.of_facts(row.entry, outcome.facts)]
    if with_job:
        row.went["api"] += ", job"
        row.complaints += [f"api: {text}" for text in api.job(site, row.entry, body["video_url"], folder)]


def _some(rows: list[Row], expect: str, count: int) -> list[Row]:
    """The cheapest of a kind."""
    return [row for row in rows if row.entry.expect == expect][:count]


def _each(rows: list[Row], work: Callable[[Row], None]) -> None:
    for number, row in enumerate(rows, 1):
        known = len(row.complaints)
        work(row)
        print(f"[{number}/{len(rows)}] {row.line()}", *row.complaints[known:], sep="\n  ", file=sys.stderr, flush=True)


def _report(rows: list[Row], ways: list[str]) -> int:
    for row in rows:
        print(row.line())
        for complaint in row.complaints:
            print(f"       {complaint}")
    failed = [row for row in rows if row.complaints]
    counts = {expect: sum(row.entry.expect == expect for row in rows) for expect in (PROCESS, REJECT, EITHER)}
    told = ", ".join(f"{count} {expect}" for expect, count in counts.items())
    good = len(rows) - len(failed)
    print(f"{len(rows)} files ({told}) through {' and '.join(ways)}: {good} as expected, {len(failed)} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
