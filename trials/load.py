"""`python -m trials.load`: fifty accounts submit jobs and ask after them for a minute, on two cores.

No answer may be a fault, reads stay quick, and no account's jobs keep another's from their turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trials import drawn
from trials.crowd import READ, WAIT, WRITE, Account, Answer, at_work
from trials.site import ROOT, Site, SiteFailed, running_site

READ_P95_SECONDS = 0.25
MOST_TURNS = 2
"""That another account may have while one waits with nothing running: one, and one more for two that ended together."""
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "trials.keyer_settings",
    "API_WRITES_PER_MINUTE": "60",
    "API_READS_PER_MINUTE": "600",
}
"""The site's own limits, which the other trials lift."""


@dataclass(slots=True)
class Report:
    accounts: int
    seconds: float
    requests: int
    faults: dict[str, int]
    """What was answered by a 5xx, or not at all."""
    limited: int
    """429s."""
    read_p50: float
    read_p95: float
    read_max: float
    write_p95: float
    waits: int
    submitted: int
    finished: int
    most_turns: int
    first_started: int
    """Accounts of which a job was begun."""

    @property
    def complaints(self) -> list[str]:
        found = [f"{count} × {what}" for what, count in self.faults.items()]
        if self.read_p95 >= READ_P95_SECONDS:
            found.append(f"reads: 95 of 100 within {self.read_p95 * 1000:.0f} ms, not {READ_P95_SECONDS * 1000:.0f}")
        if self.most_turns > MOST_TURNS:
            found.append(f"an account waited while another had {self.most_turns} turns")
        if not self.finished:
            found.append("no job was finished")
        return found

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.accounts} accounts, {self.seconds:.0f} s: {self.requests} requests ({self.waits} of them waiting), "
            f"{sum(self.faults.values())} faults, {self.limited} times over a limit"
        )
        yield (
            f"reads: half within {self.read_p50 * 1000:.0f} ms, 95 of 100 within {self.read_p95 * 1000:.0f} ms, "
            f"the slowest {self.read_max * 1000:.0f} ms; writes: 95 of 100 within {self.write_p95 * 1000:.0f} ms"
        )
        yield (
            f"jobs: {self.submitted} submitted, {self.finished} finished, of {self.first_started} accounts begun; "
            f"at most {self.most_turns} turns of another account while one waited"
        )
        yield from (f"FAIL {text}" for text in self.complaints)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.load", description=__doc__, allow_abbrev=False)
    parser.add_argument("--accounts", type=int, default=50, metavar="N")
    parser.add_argument("--seconds", type=float, default=60, metavar="S")
    parser.add_argument("--cores", type=int, default=2, metavar="N", help="0: all")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "load", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    if given.cores and hasattr(os, "sched_setaffinity"):
        # Inherited by the site, which shares them with the crowd.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    try:
        with running_site(models_dir=Path("no-networks"), **SETTINGS) as site:
            report = load(site, accounts=given.accounts, seconds=given.seconds)
    except SiteFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    print(*report.lines(), sep="\n")
    return 1 if report.complaints else 0


def load(site: Site, *, accounts: int, seconds: float) -> Report:
    crowd = [Account(number, site.url, key) for number, key in enumerate(make_accounts(site, accounts))]
    with tempfile.TemporaryDirectory(prefix="load-") as folder, ThreadPoolExecutor(2) as pool:
        clip = drawn.write(Path(folder) / "clip.mp4", drawn.KINDS[0])
        list(pool.map(lambda account: account.bring(clip), crowd))
    if missing := [account.number for account in crowd if not account.video_url]:
        raise SiteFailed(f"accounts {missing} could not upload")
    for account in crowd:
        account.answers.clear()
    began = time.monotonic()
    with at_work(crowd):
        time.sleep(seconds)
    seconds = time.monotonic() - began
    answers = [answer for account in crowd for answer in account.answers]
    return judged(answers, {account.number: account.jobs() for account in crowd}, seconds=seconds)


def make_accounts(site: Site, count: int) -> list[str]:
    made = subprocess.run(
        [sys.executable, "-m", "trials.cast", str(count)],
        cwd=ROOT, env=site.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise SiteFailed(f"no accounts could be made: {made.stderr[-1000:]}")
    keys: list[str] = json.loads(made.stdout.splitlines()[-1])
    return keys


def judged(answers: Sequence[Answer], jobs: Mapping[int, list[dict[str, Any]]], *, seconds: float) -> Report:
    reads = sorted(answer.seconds for answer in answers if answer.kind == READ)
    writes = sorted(answer.seconds for answer in answers if answer.kind == WRITE)
    faults = Counter(f"{a.what} {a.status or 'no answer'}" for a in answers if a.status >= 500 or not a.status)
    every = [job for own in jobs.values() for job in own]
    return Report(
        accounts=len(jobs),
        seconds=round(seconds, 1),
        requests=len(answers),
        faults=dict(faults.most_common(10)),
        limited=sum(answer.status == 429 for answer in answers),
        read_p50=share(reads, 0.5),
        read_p95=share(reads, 0.95),
        read_max=share(reads, 1),
        write_p95=share(writes, 0.95),
        waits=sum(answer.kind == WAIT for answer in answers),
        submitted=len(every),
        finished=sum(job["status"] == "completed" for job in every),
        most_turns=most_turns(jobs),
        first_started=sum(any(job["started_at"] for job in own) for own in jobs.values()),
    )


def share(ordered: Sequence[float], part: float) -> float:
    """What this part of all stays within."""
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 4) if ordered else 0.0


def most_turns(jobs: Mapping[int, list[dict[str, Any]]]) -> int:
    """How many jobs any one account got begun while another, with nothing running, waited for its next one."""
    begun = {number: [moment(job["started_at"]) for job in own if job["started_at"]] for number, own in jobs.items()}
    most = 0
    for number, own in jobs.items():
        for since, until in waits(own):
            others = (sum(since < at < until for at in begun[other]) for other in jobs if other != number)
            most = max(most, *others, 0)
    return most


def waits(own: Sequence[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """From when an account had nothing running and something waiting, until its next job was begun."""
    free_at = 0.0
    for job in sorted(own, key=lambda job: (job["started_at"] is None, job["started_at"], job["created_at"])):
        until = moment(job["started_at"]) if job["started_at"] else float("inf")
        since = max(free_at, min(moment(other["created_at"]) for other in own if not begun_before(other, until)))
        yield since, until
        if job["completed_at"] is None:
            return
        free_at = moment(job["completed_at"])


def begun_before(job: Mapping[str, Any], when: float) -> bool:
    return bool(job["started_at"]) and moment(job["started_at"]) < when


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
