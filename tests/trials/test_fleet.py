"""What `make fleet` makes of what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import fleet
from trials.fleet import MARK, Report, gaps, lines, pace, write

COSTS = {
    "database": "sqlite",
    "in_database": {"submit": 0.01, "ring": 0.001, "claim": 0.005, "tick": 0.001, "settle": 0.008, "round": 0.02},
    "beside": {"submit": 0.02, "ring": 0.0005, "claim": 0.001, "tick": 0.0, "settle": 0.001, "round": 0.01},
    "calls": dict.fromkeys(("submit", "ring", "claim", "tick", "settle", "round"), 20),
    "work": [4.0, 5.0, 6.0],
    "store": [0.1, 0.1, 0.1],
}


def job(start: int, end: int) -> dict[str, str]:
    return {"started_at": f"2026-01-01T00:00:{start:02}+00:00", "completed_at": f"2026-01-01T00:00:{end:02}+00:00"}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(fleet, "PLAYED_SECONDS", 200)
    return Report(
        model="light", frames=25, size="640x360", jobs=4, one=[10.0, 12.0, 11.0], two=[20.0, 22.0, 18.0],
        gaps=[0.3, 0.5], costs=COSTS, source_bytes=10_000, result_bytes=20_000, machine="2 cores", load=0.1,
        when="2026-01-01",
    )  # fmt: skip


def test_pace_is_from_the_first_claim_to_the_last_end() -> None:
    assert pace([job(0, 10), job(12, 20), job(10, 30)]) == pytest.approx(6)


def test_gaps_are_those_of_one_worker() -> None:
    assert gaps([job(12, 20), job(0, 10), job(21, 30)]) == [2, 1]


def test_what_is_told_is_the_ratio_of_the_medians(report: Report) -> None:
    told = "\n".join(lines(report))

    assert report.ratio == pytest.approx(20 / 11)
    assert "**1.82**" in told
    assert "| claim (database) | 5.0 | 20 |" in told


def test_all_fleets_are_played_and_said_to_be(report: Report) -> None:
    told = "\n".join(lines(report))

    for workers in fleet.FLEETS:
        assert f"\n| {workers} | " in told
    assert told.count("(played, not measured; the store's wire is assumed") == 2
    assert "Full with so many workers, by arithmetic: database " in told


def test_the_document_keeps_what_stands_around_the_tables(tmp_path: Path) -> None:
    document = tmp_path / "fleet.md"
    document.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n")

    write(document, "new")

    assert document.read_text() == f"before\n{MARK}\nnew\n{MARK}\nafter\n"


def test_the_committed_document_has_its_marks() -> None:
    assert (fleet.ROOT / "docs" / "fleet.md").read_text(encoding="utf-8").count(MARK) == 2
