"""`python -m trials.chaos --seed N`: a crowd on a fleet of which something is always broken; then nothing may be lost.

Exit status 1 when any line of the reckoning is a complaint.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trials import drawn
from trials.chaos import faults, reckoning
from trials.chaos.fleet import FRONT, WORKSHOPS, Fleet, is_running, running_fleet, stop
from trials.chaos.outside import Outside, outside
from trials.chaos.patron import Patron
from trials.site import ANSWER_SECONDS, ROOT, SiteFailed

REST_SECONDS = 420
"""In which everything must have come to its end, after the crowd has gone and all parts are whole."""
CREDITS = 1_00
"""So little, in 1/100, that an account has to pay before long."""
CLIPS = (("short.mp4", 10, 64, 48), ("middle.mp4", 50, 64, 48), ("long.mp4", 150, 96, 64))
LARGE = ("large.avi", 14, 640, 480)
"""Raw, and so more than one part."""


@dataclass(slots=True)
class Report:
    seed: int
    accounts: int
    seconds: float
    faults: int
    answers: dict[str, int]
    """By status, and by code where refused."""
    jobs: dict[str, int] = field(default_factory=dict)
    failed_because: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    purchases: dict[str, int] = field(default_factory=dict)
    events: int = 0
    downloads: int = 0
    rest_seconds: float = 0.0
    ended_by_themselves: dict[str, int] = field(default_factory=dict)
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Megabytes of what lived long: in the middle of its life, at the end."""
    complaints: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield (
            f"seed {self.seed}: {self.accounts} accounts, {self.seconds:.0f} s, {self.faults} faults; "
            f"{sum(self.answers.values())} requests: {told(self.answers)}"
        )
        yield (
            f"jobs: {sum(self.jobs.values())} ({told(self.jobs)}) in {self.attempts} attempts; "
            f"failed because of: {told(self.failed_because)}"
        )
        yield f"purchases: {told(self.purchases)}; events received: {self.events}; downloads: {self.downloads}"
        yield f"at rest after {self.rest_seconds:.0f} s; ended by themselves: {told(self.ended_by_themselves)}"
        yield from (f"memory of {name}: {a:.0f} → {b:.0f} MB" for name, (a, b) in self.memory.items())
        yield from (f"FAIL {text}" for text in self.complaints)


def told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.chaos", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--accounts", type=int, default=50, metavar="N")
    parser.add_argument("--seconds", type=float, default=300, metavar="S")
    parser.add_argument("--rest", type=float, default=REST_SECONDS, metavar="S", help="to come to an end in, at most")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "chaos", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        report = chaos(folder, given)
    except SiteFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        keep_logs(folder, given.out)
        shutil.rmtree(folder, ignore_errors=True)
    (given.out / "report.json").write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    print(*report.lines(), sep="\n")
    return 1 if report.complaints else 0


def chaos(folder: Path, given: argparse.Namespace) -> Report:
    clips = draw(folder / "clips")
    with outside(folder / "clips") as world, running_fleet(folder, EGRESS_ALLOW=world.place) as fleet:
        patrons = cast(fleet, given, clips, world)
        began = time.monotonic()
        tell = faults.log_to(given.out / "course.log", began)
        striker = faults.Striker(fleet, tell)
        course = faults.course(given.seed, given.seconds)
        threads = [threading.Thread(target=patron.live, daemon=True) for patron in patrons]
        for thread in threads:
            thread.start()
        strikes = striker.carry_out(course, began)
        fleet.keep(given.seconds)
        patrons[0].stop.set()
        tell("the crowd goes")
        keep_until_done(fleet, [*threads, *strikes], tell)
        rested, complaints = rest(fleet, given.rest, tell)
        report = reckon(fleet, given, patrons, striker, world)
        report.faults, report.rest_seconds = len(course), rested
        report.complaints += complaints
        if not report.jobs.get("completed"):
            report.complaints.append("no job was completed")
        stop(fleet)
        (given.out / "memory.json").write_text(json.dumps(fleet.memory), encoding="utf-8")
        report.complaints += [*striker.failed, *left_behind(fleet)]
    return report


def draw(folder: Path) -> list[Path]:
    folder.mkdir()
    kind, raw = drawn.KINDS[0], next(kind for kind in drawn.KINDS if kind.codec == "rawvideo")
    made = [drawn.write(folder / name, kind, frames=n, width=w, height=h) for name, n, w, h in CLIPS]
    name, frames, width, height = LARGE
    return [*made, drawn.write(folder / name, raw, frames=frames, width=width, height=height)]


def cast(fleet: Fleet, given: argparse.Namespace, clips: Sequence[Path], world: Outside) -> list[Patron]:
    """Accounts with a key, a browser that is signed in, and hardly any credits."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from apps.accounts.models import User
    from apps.accounts.services import issue_key
    from apps.credits import services as credits
    from trials.cast import price_keyer

    price_keyer()
    stop_sign, patrons = threading.Event(), []
    for number in range(given.accounts):
        user = User.objects.create_user(f"patron-{number}@example.org")
        credits.grant(user, CREDITS, key=f"chaos:{user.pk}", note="for a trial")
        browser = import_module(settings.SESSION_ENGINE).SessionStore()
        browser[SESSION_KEY] = str(user.pk)
        browser[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        browser[HASH_SESSION_KEY] = user.get_session_auth_hash()
        browser.save()
        key = issue_key(user, name="trial")[1]
        seed = str(given.seed)
        patrons.append(Patron(number, fleet.url, key, browser.session_key, clips, world.address, seed, stop_sign))
    forget_connections()
    return patrons


def forget_connections() -> None:
    """The database is about to be restarted."""
    from django.db import connections

    connections.close_all()
    for connection in connections.all(initialized_only=True):
        connection.close_pool()  # type: ignore[attr-defined]


def keep_until_done(fleet: Fleet, threads: Sequence[threading.Thread], tell: faults.Tell) -> None:
    """The clients' last requests and the last faults end; meanwhile the fleet is kept up."""
    ends_at = time.monotonic() + 2 * ANSWER_SECONDS
    while any(thread.is_alive() for thread in threads):
        if time.monotonic() > ends_at:
            raise SiteFailed("a client or a fault does not come to its end")
        fleet.keep(0.5)
    tell("all parts are whole")


def rest(fleet: Fleet, seconds: float, tell: faults.Tell) -> tuple[float, list[str]]:
    """Until nothing is left to complain of in what settles by itself, or the time is over."""
    began = time.monotonic()
    while True:
        left = [
            *reckoning.of_records(reckoning.asked()),
            *reckoning.of_storage(fleet),
            *reckoning.of_hosts(fleet.host(name) for name in (FRONT, *WORKSHOPS)),
            *reckoning.of_purchases(fleet.host(FRONT) / "fakestripe" / "state.json"),
            *idle(fleet),
        ]
        took = time.monotonic() - began
        if not left or took > seconds:
            tell(f"at rest after {took:.0f} s" if not left else f"no rest after {took:.0f} s")
            return round(took, 1), left
        fleet.keep(3)


def idle(fleet: Fleet) -> Iterator[str]:
    """After all work a worker has nobody beside itself."""
    for name in fleet.posts:
        if "/worker-" in name and len(family := fleet.family(name)) > 1:
            yield f"{name} still has {len(family) - 1} processes"


def reckon(
    fleet: Fleet, given: argparse.Namespace, patrons: Sequence[Patron], striker: faults.Striker, world: Outside
) -> Report:
    from apps.credits.models import Purchase
    from apps.jobs.models import Attempt, Job

    answers = [answer for patron in patrons for answer in patron.answers]
    grown = {name: reckoning.growth(samples) for name, samples in fleet.memory.items()}
    return Report(
        seed=given.seed,
        accounts=given.accounts,
        seconds=given.seconds,
        faults=0,
        answers=dict(Counter(f"× {answer.status} {answer.code}".strip() for answer in answers)),
        jobs=dict(Counter(Job.objects.order_by().values_list("status", flat=True))),
        failed_because=dict(Counter(Job.objects.filter(status="failed").values_list("error_code", flat=True))),
        attempts=Attempt.objects.count(),
        purchases=dict(Counter(Purchase.objects.order_by().values_list("status", flat=True))),
        events=len(world.heard),
        downloads=sum(patron.downloads for patron in patrons),
        ended_by_themselves={name: post.ends for name, post in fleet.posts.items() if post.ends},
        memory={name: pair for name, pair in grown.items() if pair},
        complaints=[
            *reckoning.of_books(),
            *reckoning.of_clients(patrons),
            *reckoning.of_answers(answers, striker.away),
            *reckoning.of_events(world.heard),
            *reckoning.of_memory(fleet.memory),
        ],
    )


def left_behind(fleet: Fleet) -> Iterator[str]:
    """Whatever lost its parent became ours; but for the database, which is stopped last, nobody may be left."""
    from apps.ops.processes import child_ids

    for pid in sorted(child_ids()):
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() if is_running(pid) else ""
        if name and name != "postgres":
            yield f"process {pid} ({name}) was left behind"


def keep_logs(folder: Path, out: Path) -> None:
    """Of every host, for whoever has to find out what went wrong."""
    for host in (FRONT, *WORKSHOPS):
        if (logs := folder / host / "logs").is_dir():
            shutil.copytree(logs, out / host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
