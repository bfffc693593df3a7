"""The simulated fleet against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trials.fleet_play import DATABASE, QUEUE, STORE, WEB, Play, Times, full_at

# Of many lengths, nine seconds on average: were all alike, whoever waited behind the same call would stay together.
WORK = tuple(4.5 + 0.09 * n for n in range(101))
QUIET = Times(
    submit=0.0, submit_database=0.0, ring=0.0, claim=0.0, turnaround=1.0, work=WORK, tick=0.0, settle=0.0, round=0.0,
    round_every=5.0, source_bytes=0.0, result_bytes=0.0, wire=1e6, database_at_once=1, web_at_once=1,
)  # fmt: skip


def jobs_a_minute(times: Times, workers: int) -> float:
    return Play(times, workers).run(2000).jobs_a_minute


@pytest.mark.parametrize("workers", [1, 2, 100])
def test_workers_that_share_nothing_do_not_delay_each_other(workers: int) -> None:
    assert jobs_a_minute(QUIET, workers) == pytest.approx(6 * workers, rel=0.05)


def test_what_a_full_place_lets_through_is_all_there_is() -> None:
    """A claim of half a second: no more than 120 a minute, however many ask."""
    times = replace(QUIET, claim=0.5)

    one, many = Play(times, 1).run(2000), Play(times, 100).run(2000)

    assert one.jobs_a_minute == pytest.approx(60 / 10.5, rel=0.05)
    assert many.jobs_a_minute == pytest.approx(120, rel=0.05)
    assert many.use[DATABASE] == pytest.approx(1, abs=0.05)
    assert one.wait[DATABASE] == 0
    assert many.wait[DATABASE] > 10


def test_two_at_once_let_through_twice_as_much() -> None:
    times = replace(QUIET, claim=0.5, database_at_once=2)

    assert jobs_a_minute(times, 100) == pytest.approx(240, rel=0.05)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (DATABASE, {"settle": 0.1}),
        (DATABASE, {"tick": 0.02}),
        (QUEUE, {"ring": 0.05}),
        (STORE, {"source_bytes": 60_000.0, "result_bytes": 40_000.0}),
    ],
)
def test_a_place_is_full_with_as_many_workers_as_was_worked_out(place: str, change: dict[str, float]) -> None:
    times = replace(QUIET, **change)  # type: ignore[arg-type]
    full = full_at(times)[place]

    half, twice = (Play(times, round(full * share)).run(2000) for share in (0.5, 2))

    assert half.use[place] == pytest.approx(0.5, abs=0.05)
    assert twice.use[place] > 0.95
    assert full == min(full_at(times).values())


def test_what_is_submitted_loads_the_web_server_and_delays_no_worker() -> None:
    times = replace(QUIET, submit=0.5)

    outcome = Play(times, 4).run(2000)

    assert outcome.jobs_a_minute == pytest.approx(24, rel=0.05)
    assert outcome.use[WEB] == pytest.approx(4 * 0.5 / 10, rel=0.05)


def test_the_reconcilers_rounds_are_counted_too() -> None:
    assert Play(replace(QUIET, round=5.0), 1).run(2000).use[DATABASE] == pytest.approx(0.5, abs=0.05)
