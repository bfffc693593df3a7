"""Accounts that use one site at once: each a thread that submits jobs, asks after them, and notes each answer."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from trials.keyer import KEYER
from trials.site import ANSWER_SECONDS, FINAL

READ, WRITE, WAIT = "read", "write", "wait"
PAUSE_SECONDS = 2.0
"""Between two questions of one client; those in use wait as long by default."""
SUBMIT_EVERY = 4
"""Rounds of asking between two jobs of an account."""
UNFINISHED = 3
"""Jobs that an account lets wait at most, but for the greedy one."""
GREEDY_JOBS = 50
"""Within the minute's limit of writes."""
WAITERS_EVERY = 5
"""Of so many accounts one asks with ?wait= instead of again and again."""
WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    kind: str
    seconds: float
    status: int
    """0: no answer at all."""
    what: str


@dataclass(slots=True)
class Account:
    """One of the crowd. `number` 0 is greedy: it submits all of its jobs at once."""

    number: int
    url: str
    key: str
    answers: list[Answer] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    video_url: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def bring(self, clip: Path) -> None:
        with clip.open("rb") as file:
            made = self.call(WRITE, "POST", "/v1/uploads", files={"file": (clip.name, file, "video/mp4")})
        self.video_url = made.get("video_url", "")

    def live(self, stop: threading.Event) -> None:
        for _ in range(GREEDY_JOBS if self.number == 0 else 1):
            self.submit()
        for turn in itertools.count(1):
            if stop.wait(PAUSE_SECONDS * random.uniform(0.8, 1.2)):
                return
            self.ask(turn)
            if turn % SUBMIT_EVERY == 0 and len(self.unfinished) < UNFINISHED:
                self.submit()

    def submit(self) -> None:
        fields = {"video_url": self.video_url, "model": KEYER, "output_format": "mp4", "bg_type": "green"}
        made = self.call(WRITE, "POST", "/v1/jobs", json=fields)
        if "id" in made:
            self.unfinished.append(made["id"])

    def ask(self, turn: int) -> None:
        if self.unfinished:
            job_id = self.unfinished[0]
            if self.number % WAITERS_EVERY == WAITERS_EVERY - 1:
                job = self.call(WAIT, "GET", f"/v1/jobs/{job_id}?wait={WAIT_SECONDS}")
            else:
                job = self.call(READ, "GET", f"/v1/jobs/{job_id}")
            if job.get("status") in FINAL:
                self.unfinished.remove(job_id)
        if turn % 5 == 0:
            self.call(READ, "GET", "/v1/jobs")
            self.call(READ, "GET", "/v1/credits")

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(READ, "GET", "/v1/jobs?limit=100").get("data", [])
        return found

    def call(self, kind: str, method: str, path: str, **how: Any) -> dict[str, Any]:
        began, what = time.monotonic(), f"{method} {path.partition('?')[0]}"
        try:
            answer = self.session.request(
                method, f"{self.url}{path}", headers={"X-Api-Key": self.key}, timeout=ANSWER_SECONDS, **how
            )
            body: dict[str, Any] = answer.json()
            status = answer.status_code
        except (requests.RequestException, ValueError) as error:
            body, status, what = {}, 0, f"{what}: {type(error).__name__}"
        self.answers.append(Answer(kind, time.monotonic() - began, status, what))
        return body


@contextmanager
def at_work(accounts: Sequence[Account]) -> Iterator[None]:
    """All of them at once, for as long as the caller's block runs; whatever befalls the site meanwhile is up to it."""
    stop = threading.Event()
    threads = [threading.Thread(target=account.live, args=(stop,), daemon=True) for account in accounts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_SECONDS + ANSWER_SECONDS)
