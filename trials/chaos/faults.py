"""What befalls the fleet: a course that one seed decides, and the hands that carry it out."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trials.chaos import store
from trials.chaos.fleet import (
    FREEZE,
    FRONT,
    KILL,
    LEASE_SECONDS,
    SCRATCH_BYTES,
    STOP,
    THAW,
    WORKSHOPS,
    Fleet,
    signal_all,
)

DATABASE, QUEUE, STORAGE, WORKSHOP, SCRATCH, RECONCILER, PAYMENTS = (
    "database", "queue", "storage", "workshop", "scratch", "reconciler", "payments",
)  # fmt: skip
KINDS = {
    "worker killed": WORKSHOP,
    "task killed": WORKSHOP,
    "engine killed": WORKSHOP,
    "power lost": WORKSHOP,
    "frozen": WORKSHOP,
    "deployed": WORKSHOP,
    "scratch full": SCRATCH,
    "database restarted": DATABASE,
    "database crashed": DATABASE,
    "queue restarted": QUEUE,
    "queue lost": QUEUE,
    "storage refuses": STORAGE,
    "storage hangs": STORAGE,
    "storage cuts": STORAGE,
    "reconciler killed": RECONCILER,
    "payments killed": PAYMENTS,
}
"""What can happen, and to which part: two faults of one part never happen at once."""
ON_HOSTS = (WORKSHOP, SCRATCH)
"""Of which each workshop has its own."""
FIRST_SECONDS, GAP_SECONDS = 8.0, (5.0, 11.0)
AWAY_SECONDS = (2.0, 9.0)
FROZEN_SECONDS = (LEASE_SECONDS * 1.3, LEASE_SECONDS * 2.0)
Tell = Callable[[str], None]
PATIENCE = 15.0
"""How long a fault waits for its victim to have something in hand."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    """Seconds from the beginning."""
    kind: str
    host: str
    """Whose, where there are several."""
    lasts: float
    moment: float
    """Seconds after the victim was found at work."""

    @property
    def part(self) -> str:
        return KINDS[self.kind]

    @property
    def place(self) -> str:
        """Two faults of one place follow each other."""
        return f"{self.part} {self.host}".strip()


def course(seed: int, seconds: float) -> list[Fault]:
    """The same for the same seed and time: every kind once before any comes twice."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    at, deck = FIRST_SECONDS, list[str]()
    while at < seconds:
        if not deck:
            deck = chance.sample(sorted(KINDS), len(KINDS))
        kind = deck.pop()
        host = chance.choice(WORKSHOPS) if KINDS[kind] in ON_HOSTS else ""
        lasts = chance.uniform(*(FROZEN_SECONDS if kind == "frozen" else AWAY_SECONDS))
        faults.append(Fault(round(at, 1), kind, host, round(lasts, 1), round(chance.uniform(0, 2), 2)))
        at += chance.uniform(*GAP_SECONDS)
    return faults


@dataclass(frozen=True, slots=True)
class Away:
    """A part was not what it should be, between these moments of the clock."""

    part: str
    since: float
    until: float


@dataclass
class Striker:
    """Carries a course out, each fault in a thread of its own, and tells of it."""

    fleet: Fleet
    tell: Tell
    away: list[Away] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    places: dict[str, threading.Lock] = field(default_factory=dict)

    def carry_out(self, faults: Sequence[Fault], began: float) -> list[threading.Thread]:
        """Begun; each thread ends when its part is whole again."""
        self.places = {fault.place: threading.Lock() for fault in faults}
        threads = [threading.Thread(target=self._one, args=(fault, began), daemon=True) for fault in faults]
        for thread in threads:
            thread.start()
        return threads

    def _one(self, fault: Fault, began: float) -> None:
        time.sleep(max(0.0, began + fault.at - time.monotonic()))
        with self.places[fault.place]:
            try:
                getattr(self, fault.kind.replace(" ", "_"))(fault)
            except Exception as error:
                self.failed.append(f"{fault.kind} {fault.host}: {error!r}")
                self.tell(f"{fault.kind} {fault.host}: could not be done: {error!r}")

    @contextmanager
    def _without(self, fault: Fault, what: str = "") -> Iterator[None]:
        since = time.monotonic()
        self.tell(f"{fault.kind} {fault.host}{what}, for {fault.lasts:g} s")
        try:
            yield
        finally:
            self.away.append(Away(fault.part, since, time.monotonic()))
            self.tell(f"{fault.kind} {fault.host}: over")

    # -- workers ----------------------------------------------------------------------------

    def worker_killed(self, fault: Fault) -> None:
        """Only itself: what it forked has to end by the kernel's hand."""
        self._await_task(fault)
        self.fleet.strike(_bench(fault), KILL, down=fault.lasts)

    def task_killed(self, fault: Fault) -> None:
        family = self._await_task(fault)
        signal_all(family[1:2], KILL)

    def engine_killed(self, fault: Fault) -> None:
        """As the kernel does when memory runs out."""
        family = self._await_task(fault, least=3)
        signal_all(family[2:], KILL)

    def power_lost(self, fault: Fault) -> None:
        """Everything on the host, at once."""
        self._await_task(fault)
        names = [name for name in self.fleet.posts if name.startswith(f"{fault.host}/")]
        victims = [pid for name in names for pid in self.fleet.family(name)[1:]]
        for name in names:
            self.fleet.strike(name, KILL, down=fault.lasts)
        signal_all(victims, KILL)

    def frozen(self, fault: Fault) -> None:
        """Worker, task and engine, past the lease; then they go on as if nothing had happened."""
        family = self._await_task(fault)
        signal_all(family, FREEZE)
        time.sleep(fault.lasts)
        signal_all(family, THAW)
        self.tell(f"frozen {fault.host}: thawed")

    def deployed(self, fault: Fault) -> None:
        """Every worker of the host is told to end and is replaced."""
        self._await_task(fault)
        for name in self.fleet.posts:
            if name.startswith(f"{fault.host}/"):
                self.fleet.strike(name, STOP)

    def scratch_full(self, fault: Fault) -> None:
        """Somebody else's file takes all that the host's workers may fill."""
        ballast = self.fleet.scratch(fault.host) / "ballast"
        with self._without(fault):
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, SCRATCH_BYTES)
            time.sleep(fault.lasts)
            ballast.unlink()

    def _await_task(self, fault: Fault, least: int = 2) -> list[int]:
        """The family of the host's worker, once somebody works, or as it is when that takes too long."""
        ends_at = time.monotonic() + PATIENCE
        while len(family := self.fleet.family(_bench(fault))) < least and time.monotonic() < ends_at:
            time.sleep(0.05)
        time.sleep(fault.moment)
        family = self.fleet.family(_bench(fault))
        hands = {0: "which is away", 1: "idle", 2: "with a task in hand"}.get(len(family), "with the engine at work")
        self.tell(f"{fault.kind} {fault.host}, {hands}")
        return family

    # -- stores -----------------------------------------------------------------------------

    def database_restarted(self, fault: Fault) -> None:
        self._without_database(fault, "fast")

    def database_crashed(self, fault: Fault) -> None:
        self._without_database(fault, "immediate")

    def _without_database(self, fault: Fault, how: str) -> None:
        with self._without(fault):
            self.fleet.stop_database(how)
            time.sleep(fault.lasts)
            self.fleet.start_database()

    def queue_restarted(self, fault: Fault) -> None:
        with self._without(fault):
            self.fleet.strike(f"{FRONT}/queue", STOP, down=fault.lasts)
            self._until_queue()

    def queue_lost(self, fault: Fault) -> None:
        """Killed, and whatever was in it is gone."""
        with self._without(fault):
            self.fleet.strike(f"{FRONT}/queue", KILL, down=fault.lasts)
            time.sleep(min(1.0, fault.lasts / 2))
            for path in sorted((self.fleet.host(FRONT) / "queue").rglob("*"), reverse=True):
                if path.name not in ("url", "valkey.sock"):
                    path.rmdir() if path.is_dir() else path.unlink()
            self._until_queue()

    def _until_queue(self) -> None:
        from apps.ops import queue_server

        time.sleep(1)
        while not queue_server.is_alive(self.fleet.environment["REDIS_URL"]):
            time.sleep(0.2)

    def storage_refuses(self, fault: Fault) -> None:
        self._bad_store(fault, store.REFUSES)

    def storage_hangs(self, fault: Fault) -> None:
        self._bad_store(fault, store.HANGS)

    def storage_cuts(self, fault: Fault) -> None:
        self._bad_store(fault, store.CUTS)

    def _bad_store(self, fault: Fault, mode: str) -> None:
        with self._without(fault):
            self.fleet.store_mode(mode)
            time.sleep(fault.lasts)
            self.fleet.store_mode("")

    # -- the rest ---------------------------------------------------------------------------

    def reconciler_killed(self, fault: Fault) -> None:
        with self._without(fault):
            self.fleet.strike(f"{FRONT}/reconciler", KILL, down=fault.lasts)
            time.sleep(fault.lasts)

    def payments_killed(self, fault: Fault) -> None:
        with self._without(fault):
            self.fleet.strike(f"{FRONT}/payments", KILL, down=fault.lasts)
            time.sleep(fault.lasts)


def _bench(fault: Fault) -> str:
    """Where the host's long work is done."""
    return f"{fault.host}/worker-jobs-1"


def is_excused(away: Sequence[Away], began: float, ended: float, *, grace: float, parts: Sequence[str]) -> bool:
    """Whether one of these parts was away while something was asked, or had only just come back."""
    return any(one.part in parts and began <= one.until + grace and ended >= one.since for one in away)


def log_to(path: Path, began: float) -> Tell:
    """Lines with their second, to a file and to whoever looks on."""
    lock = threading.Lock()

    def tell(text: str) -> None:
        line = f"{time.monotonic() - began:7.1f} s  {text}"
        with lock, path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            print(line, flush=True)

    return tell
