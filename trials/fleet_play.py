"""Many workers played from measured times: an event simulation of what they share, and where each part of it is full.

What each worker has to itself (its cores, its disk) grows with the workers; what all of them share does not: the
database, the queue server, the store's wire. A place that is shared serves so many at once, and the rest wait in line.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

DATABASE, QUEUE, STORE, WEB = "database", "queue", "store", "web"

WARM_UP = 0.25
"""Of the time played, which is not counted: all workers begin together, later they do not."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. Those of shared places are what a call takes when nobody else is there."""

    submit: float
    """In the web process, its database included: upload, price, hold, row."""
    submit_database: float
    ring: float
    """Queue server: look how many calls there are, add one; and take it off again."""
    claim: float
    """Database."""
    turnaround: float
    """Of the worker itself, from a job's end to the next one's claim: fork, imports."""
    work: Sequence[float]
    """The engine, of some jobs, on the cores that a worker has; drawn from at random."""
    tick: float
    """Database; once a second."""
    settle: float
    """Database."""
    round: float
    """Database: one of the reconciler's."""
    round_every: float
    source_bytes: float
    result_bytes: float
    wire: float
    """Bytes a second between all workers and the store."""
    database_at_once: int
    web_at_once: int


@dataclass(slots=True)
class Place:
    """Whatever serves `at_once` callers, first come first served."""

    at_once: int
    busy: int = 0
    line: deque[tuple[float, Iterator[Step] | None, float]] = field(default_factory=deque)
    worked: float = 0.0
    waited: float = 0.0
    served: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What a process does next: `seconds` at a place, or, without one, alone. `joins`: it goes on when that is done."""

    seconds: float
    place: str = ""
    joins: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    workers: int
    jobs_a_minute: float
    use: dict[str, float]
    """Share of each place's time that was used, 0 to 1."""
    wait: dict[str, float]
    """Seconds that a call waited there, on average."""


class Play:
    """One run of the clock."""

    def __init__(self, times: Times, workers: int, *, seed: int = 1) -> None:
        self.times, self.workers = times, workers
        self.chance = random.Random(seed)
        self.places = {
            DATABASE: Place(times.database_at_once), QUEUE: Place(1), STORE: Place(1), WEB: Place(times.web_at_once),
        }  # fmt: skip
        self.now = 0.0
        self.order = itertools.count()
        self.events: list[tuple[float, int, str, float, Iterator[Step] | None]] = []
        self.done = 0

    def run(self, seconds: float) -> Outcome:
        for _ in range(self.workers):
            self._go_on(self._worker())
        self._go_on(self._reconciler())
        begins, counted_from = seconds * WARM_UP, -1
        while self.events and self.events[0][0] <= seconds:
            if counted_from < 0 and self.events[0][0] >= begins:
                counted_from = self.done
                for place in self.places.values():
                    place.worked = place.waited = place.served = 0
            self.now, _, name, spent, process = heapq.heappop(self.events)
            if name:
                self._leave(name, spent)
            self._go_on(process)
        span = seconds - begins
        return Outcome(
            workers=self.workers,
            jobs_a_minute=(self.done - max(0, counted_from)) / span * 60,
            use={name: min(1.0, place.worked / span / place.at_once) for name, place in self.places.items()},
            wait={name: place.waited / place.served if place.served else 0.0 for name, place in self.places.items()},
        )

    def _worker(self) -> Iterator[Step]:
        """There is always a job waiting, and for each that is taken another one is submitted."""
        times = self.times
        # They did not start at one moment.
        yield Step(self.chance.random() * max(times.work))
        while True:
            yield Step(times.submit, WEB, joins=False)
            yield Step(times.submit_database, DATABASE, joins=False)
            yield Step(times.ring, QUEUE)
            yield Step(times.claim, DATABASE)
            yield Step(times.source_bytes / times.wire, STORE)
            work = self.chance.choice(times.work)
            while work > 1:
                yield Step(1.0)
                # The engine does not wait for it.
                yield Step(times.tick, DATABASE, joins=False)
                work -= 1
            yield Step(work)
            yield Step(times.result_bytes / times.wire, STORE)
            yield Step(times.settle, DATABASE)
            self.done += 1
            yield Step(times.ring, QUEUE, joins=False)
            yield Step(times.turnaround)

    def _reconciler(self) -> Iterator[Step]:
        while True:
            yield Step(self.times.round_every)
            yield Step(self.times.round, DATABASE)

    def _go_on(self, process: Iterator[Step] | None) -> None:
        """Until it has to wait for something."""
        while process is not None:
            step = next(process)
            if step.place:
                self._arrive(step, process if step.joins else None)
            else:
                self._at(self.now + step.seconds, "", 0.0, process)
            if step.joins:
                return

    def _arrive(self, step: Step, process: Iterator[Step] | None) -> None:
        place = self.places[step.place]
        place.served += 1
        if place.busy < place.at_once:
            place.busy += 1
            self._at(self.now + step.seconds, step.place, step.seconds, process)
        else:
            place.line.append((self.now, process, step.seconds))

    def _leave(self, name: str, spent: float) -> None:
        place = self.places[name]
        place.worked += spent
        if not place.line:
            place.busy -= 1
            return
        came, process, seconds = place.line.popleft()
        place.waited += self.now - came
        self._at(self.now + seconds, name, seconds, process)

    def _at(self, when: float, name: str, spent: float, process: Iterator[Step] | None) -> None:
        heapq.heappush(self.events, (when, next(self.order), name, spent, process))


def full_at(times: Times) -> dict[str, float]:
    """With how many workers each place would be busy all the time, if nothing else were full before: arithmetic."""
    mean = sum(times.work) / len(times.work)
    moved = (times.source_bytes + times.result_bytes) / times.wire
    ticks = sum(int(work) for work in times.work) / len(times.work)
    database = times.submit_database + times.claim + times.settle + times.tick * ticks
    cycle = 2 * times.ring + times.claim + moved + mean + times.settle + times.turnaround
    left = max(0.0, times.database_at_once - times.round / (times.round_every + times.round))
    a_job = {DATABASE: database, QUEUE: 2 * times.ring, STORE: moved, WEB: times.submit}
    there = {DATABASE: left, QUEUE: 1, STORE: 1, WEB: times.web_at_once}
    return {name: there[name] * cycle / seconds if seconds else math.inf for name, seconds in a_job.items()}
