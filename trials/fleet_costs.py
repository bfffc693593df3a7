"""`python -m trials.fleet_costs`, beside a site: what a job costs the parts that all workers share. JSON on stdout.

It makes jobs with a need that none of the site's workers takes, and carries them through claim, tick and end itself,
without an engine; what the site's own workers did is read from their attempts.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import django

WORKER = "trial:0"
NEED = "gpu"


class Clock:
    """Seconds in the database, and beside it, of each kind of call."""

    def __init__(self) -> None:
        self.database: defaultdict[str, list[float]] = defaultdict(list)
        self.beside: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        from django.db import connection

        inside = 0.0

        def ask(execute: Any, *query: Any) -> Any:
            nonlocal inside
            began = time.perf_counter()
            try:
                return execute(*query)
            finally:
                inside += time.perf_counter() - began

        began = time.perf_counter()
        with connection.execute_wrapper(ask):
            yield
        self.database[name].append(inside)
        self.beside[name].append(time.perf_counter() - began - inside)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.fleet_costs", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="how many jobs")
    count = parser.parse_args(arguments).count
    django.setup()
    logging.disable(logging.INFO)
    json.dump({**_attempts(), **_calls(count)}, sys.stdout)
    return 0


def _calls(count: int) -> dict[str, Any]:
    from django.conf import settings
    from django.db import connection

    from apps.accounts.models import User
    from apps.engine.options import Options
    from apps.engine.report import Result
    from apps.jobs import attempts, doorbell, needs, reconcile, room, services, turns
    from apps.projects.models import Asset

    settings.MAX_JOBS_AT_ONCE = count
    clock, asset = Clock(), Asset.objects.filter(kind="video").latest("created_at")
    user = User.objects.get(assets=asset)
    options = Options(model="pro")
    assert needs.need_of(options) == NEED
    # Nothing of the network is run.
    services.need_installed = lambda options: None
    for _ in range(count):
        with clock.timed("submit"):
            services.submit(user, asset=asset, options=options)
        with clock.timed("ring"):
            doorbell.ring(turns.WORK)
    for _ in range(3):
        with clock.timed("round"):
            reconcile.reconcile()
    result = Result(status="completed", frames=25, decoded_seconds=asset.facts["duration"], model="pro")
    for _ in range(count):
        with clock.timed("claim"):
            job = attempts.claim_next(WORKER, (NEED,))
        assert job is not None
        for _ in range(3):
            with clock.timed("tick"):
                services.tick(job)
        with clock.timed("settle"):
            services.complete(job, replace(result), [])
        room.give_up(f"{job.pk}-{job.lease}")
    return {"database": connection.vendor, **_told(clock)}


def _told(clock: Clock) -> dict[str, Any]:
    return {
        "in_database": {name: statistics.median(times) for name, times in clock.database.items()},
        "beside": {name: statistics.median(times) for name, times in clock.beside.items()},
        "calls": {name: len(times) for name, times in clock.database.items()},
    }


def _attempts() -> dict[str, Any]:
    """How long the site's workers took: until everything was proved, and from then to the end of the claim."""
    from apps.jobs.models import Attempt

    work, store = [], []
    for attempt in Attempt.objects.filter(outcome="completed"):
        assert attempt.ended_at is not None
        stored = next(datetime.fromisoformat(at) for stage, at in attempt.stages if stage == "storing")
        work.append((stored - attempt.started_at).total_seconds())
        store.append((attempt.ended_at - stored).total_seconds())
    return {"work": work, "store": store}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
