"""`python -m trials.fleet`: jobs a minute of one worker and of two, and many more played from what these took.

Each worker has one thread and one core, as if it had a machine of its own. Both numbers are of one run on one machine,
taken in turns, and what is told is the ratio of their medians, because a shared machine is now slow and now fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from trials import drawn
from trials.chaos.fleet import descendants
from trials.fleet_play import Outcome, Play, Times, full_at
from trials.keyer import KEYER
from trials.load import moment
from trials.site import ROOT, Site, SiteFailed, running_site

TARGET = 1.8
QUEUE = "cpu"
PLAYED_SECONDS = 1800
FLEETS = (1, 2, 5, 10, 20, 50, 100, 200)
WIRE = 125e6
"""Bytes a second between the store and all workers: a gigabit, which is assumed and not measured."""
MARK = "<!-- measured by make fleet -->"
SETTINGS = {
    "ENGINE_THREADS": "1",
    "WORKERS": "1",
    "WORKER_QUEUES": QUEUE,
    "PREVIEW_WORKERS": "0",
    "MAX_JOBS_AT_ONCE": "1000",
    "DJANGO_SETTINGS_MODULE": "trials.keyer_settings",
}


@dataclass(frozen=True, slots=True)
class Report:
    model: str
    frames: int
    size: str
    jobs: int
    """In each turn."""
    one: list[float]
    two: list[float]
    """Jobs a minute, turn by turn."""
    gaps: list[float]
    """Seconds from a job's end to the next one's claim, where one worker did both."""
    costs: dict[str, Any]
    source_bytes: int
    result_bytes: int
    machine: str
    load: float
    when: str

    @property
    def ratio(self) -> float:
        return statistics.median(self.two) / statistics.median(self.one)

    @property
    def times(self) -> Times:
        database, beside = self.costs["in_database"], self.costs["beside"]
        return Times(
            submit=database["submit"] + beside["submit"],
            submit_database=database["submit"],
            ring=beside["ring"],
            claim=database["claim"],
            turnaround=statistics.median(self.gaps),
            work=tuple(self.costs["work"]),
            tick=database["tick"],
            settle=database["settle"],
            round=database["round"],
            round_every=5.0,
            source_bytes=self.source_bytes,
            result_bytes=self.result_bytes,
            wire=WIRE,
            # SQLite has one writer; a core of PostgreSQL's is counted, whatever it has.
            database_at_once=1,
            web_at_once=2,
        )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.fleet", description=__doc__)
    parser.add_argument("--model", default="light", help="`chroma` needs no weights")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--jobs", type=int, default=6, help="in each turn; even")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--count", type=int, default=20, help="calls of each kind that are timed")
    parser.add_argument("--write", type=Path, help="the document whose tables are written anew, docs/fleet.md")
    asked = parser.parse_args(arguments)
    try:
        report = measure(asked)
    except SiteFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tables = "\n".join(lines(report))
    print(tables)
    if asked.write:
        write(asked.write, tables)
    return 0 if report.ratio >= TARGET else 1


def measure(asked: argparse.Namespace) -> Report:
    width, height = map(int, asked.size.split("x"))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SiteFailed("two workers need two cores")
    with (
        tempfile.TemporaryDirectory(prefix="trial-fleet-") as name,
        running_site(models_dir=ROOT / "data" / "models", **SETTINGS) as site,
    ):
        if asked.model == KEYER:
            # Makes no account, but a price for it.
            subprocess.run([sys.executable, "-m", "trials.cast", "0"], cwd=ROOT, env=site.environment, check=True)
        clip = drawn.write(Path(name) / "clip.mp4", drawn.KINDS[0], frames=asked.frames, width=width, height=height)
        status, source = site.upload(clip)
        if status != 201:
            raise SiteFailed(f"the clip was refused: {source}")
        keep_to(cores[0], own_worker(site))
        done = [*batch(site, source, asked.model, 1)]
        paces: dict[int, list[float]] = {1: [], 2: []}
        between: list[float] = []
        for turn in range(asked.turns):
            for workers in (1, 2) if turn % 2 == 0 else (2, 1):
                with another(site, cores[1] if workers == 2 else None):
                    done = batch(site, source, asked.model, asked.jobs)
                paces[workers].append(pace(done))
                between += gaps(done) if workers == 1 else []
                print(f"turn {turn + 1}, {workers} workers: {paces[workers][-1]:.2f} jobs a minute", file=sys.stderr)
        return Report(
            model=asked.model, frames=asked.frames, size=asked.size, jobs=asked.jobs, one=paces[1], two=paces[2],
            gaps=between, costs=costs(site, asked.count), source_bytes=source["size"],
            result_bytes=sum(output["bytes"] for output in done[0]["outputs"]), machine=machine(),
            load=round(os.getloadavg()[2], 1), when=f"{datetime.now(UTC):%Y-%m-%d}",
        )  # fmt: skip


def batch(site: Site, source: Mapping[str, Any], model: str, count: int) -> list[dict[str, Any]]:
    """So many jobs at once, each of them when it is done."""
    submitted = [site.submit(video_url=source["video_url"], model=model) for _ in range(count)]
    if refused := [body for status, body in submitted if status != 201]:
        raise SiteFailed(f"a job was refused: {refused[0]}")
    done = [site.finished(body["id"]) for _, body in submitted]
    if failed := [job for job in done if job["status"] != "completed"]:
        raise SiteFailed(f"a job ended as {failed[0]['status']}: {failed[0]['error']}")
    return done


def pace(jobs: Sequence[Mapping[str, Any]]) -> float:
    """Jobs a minute, from the first claim to the last end."""
    span = max(moment(job["completed_at"]) for job in jobs) - min(moment(job["started_at"]) for job in jobs)
    return 60 * len(jobs) / span


def gaps(jobs: Sequence[Mapping[str, Any]]) -> list[float]:
    rows = sorted((moment(job["started_at"]), moment(job["completed_at"])) for job in jobs)
    return [start - end for (_, end), (start, _) in pairwise(rows)]


@contextmanager
def another(site: Site, core: int | None) -> Iterator[None]:
    """A second worker beside the site's own, on this core, for a while; both listen before the work begins."""
    if core is None:
        yield
        return
    command = ["manage.py", "rqworker", QUEUE, "--worker-class=apps.jobs.worker.Worker"]
    worker = subprocess.Popen(
        [sys.executable, *command, "--serializer=rq.serializers.JSONSerializer"],
        cwd=ROOT, env=site.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until(site, 2)
        keep_to(core, worker.pid)
        yield
    finally:
        worker.terminate()
        worker.wait(60)
        _until(site, 1)


def own_worker(site: Site) -> int:
    wanted = f"rqworker\0{QUEUE}\0".encode()
    return next(pid for pid in descendants(site.pid) if wanted in Path(f"/proc/{pid}/cmdline").read_bytes())


def keep_to(core: int, pid: int) -> None:
    """The process, its threads and whatever it starts from now on."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def _until(site: Site, workers: int) -> None:
    ends_at = time.monotonic() + 120
    while time.monotonic() < ends_at:
        if site.get("/health")["checks"]["workers"].get(QUEUE) == workers:
            return
        time.sleep(0.5)
    raise SiteFailed(f"{workers} workers were not there within two minutes")


def costs(site: Site, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "trials.fleet_costs", f"--count={count}"]
    done = subprocess.run(command, cwd=ROOT, env=site.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteFailed(f"the costs could not be measured: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores, {name}"


def lines(report: Report) -> Iterator[str]:
    """Markdown."""
    yield (
        f"Measured on {report.when}, {report.machine}, load {report.load} at the end, database "
        f"{report.costs['database']}, `{report.model}`, a drawn clip of {report.frames} frames, {report.size}, one "
        f"thread and one core a worker; {report.jobs} jobs a turn, turns of one worker and of two by turns."
    )
    yield ""
    yield "| | jobs a minute, median | turn by turn |"
    yield "|---|---:|---|"
    for name, paces in (("one worker", report.one), ("two workers", report.two)):
        yield f"| {name} | {statistics.median(paces):.2f} | {', '.join(f'{one:.2f}' for one in paces)} |"
    yield f"| ratio (wanted: {TARGET} at least) | **{report.ratio:.2f}** | |"
    yield ""
    yield from _measured(report)
    for title, factor in ((f"Clips of {report.frames} frames, as measured", 1), ("Clips ten times as long", 10)):
        times = replace(
            report.times,
            work=tuple(factor * work for work in report.times.work),
            source_bytes=factor * report.source_bytes,
            result_bytes=factor * report.result_bytes,
        )
        yield ""
        yield from _played(title, times)


def _measured(report: Report) -> Iterator[str]:
    times, calls = report.times, report.costs["calls"]
    rows = {
        "submit (web process and database)": (times.submit, calls["submit"]),
        "of that, database": (times.submit_database, calls["submit"]),
        "ring (queue server)": (times.ring, calls["ring"]),
        "claim (database)": (times.claim, calls["claim"]),
        "bring, work and proof (worker)": (statistics.median(times.work), len(times.work)),
        "tick (database, once a second)": (times.tick, calls["tick"]),
        "store and settle, as seen by the worker": (statistics.median(report.costs["store"]), len(times.work)),
        "settle (database)": (times.settle, calls["settle"]),
        "from a job's end to the next claim (worker)": (times.turnaround, len(report.gaps)),
        "a round of the reconciler (database)": (times.round, calls["round"]),
    }
    yield "| measured | ms, median | of |"
    yield "|---|---:|---:|"
    for name, (seconds, count) in rows.items():
        yield f"| {name} | {seconds * 1000:.1f} | {count} |"
    yield f"| source, results: bytes | {report.source_bytes}, {report.result_bytes} | 1 |"


def _played(title: str, times: Times) -> Iterator[str]:
    outcomes = [Play(times, workers).run(PLAYED_SECONDS) for workers in FLEETS]
    alone = outcomes[0].jobs_a_minute
    yield f"**{title}** (played, not measured; the store's wire is assumed to carry {WIRE / 1e6:.0f} MB/s)"
    yield ""
    yield "| workers | jobs a minute | times one | database used | queue | wire | web | wait at the database, ms |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for outcome in outcomes:
        yield _row(outcome, alone)
    full = ", ".join(f"{name} {'never' if at == float('inf') else f'{at:.0f}'}" for name, at in full_at(times).items())
    yield ""
    yield f"Full with so many workers, by arithmetic: {full}."


def _row(outcome: Outcome, alone: float) -> str:
    used = " | ".join(f"{100 * outcome.use[name]:.1f} %" for name in ("database", "queue", "store", "web"))
    wait = outcome.wait["database"] * 1000
    paces = f"{outcome.jobs_a_minute:.1f} | {outcome.jobs_a_minute / alone:.1f}"
    return f"| {outcome.workers} | {paces} | {used} | {wait:.1f} |"


def write(document: Path, tables: str) -> None:
    """Between the document's two marks."""
    before, _, after = document.read_text(encoding="utf-8").split(MARK)
    document.write_text(f"{before}{MARK}\n{tables}\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
