"""Threads are reckoned by what a container gives, not by the machine that it is on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.engine import cores
from apps.engine.matting.runtime import usable_threads


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The limits of a container on a machine of sixty-four cores."""
    monkeypatch.setattr(cores, "GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("400000 100000\n", 4),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("9900000 100000\n", 64),
        ("max 100000\n", 64),
    ],
)
def test_a_share_of_time_counts_as_its_cores(groups: Path, said: str, count: int) -> None:
    (groups / "cpu.max").write_text(said)

    assert (cores.usable_cores(), usable_threads(0), usable_threads(7)) == (count, count, 7)


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 64)])
def test_so_it_does_on_older_systems(groups: Path, quota: str, count: int) -> None:
    (groups / "cpu").mkdir()
    (groups / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (groups / "cpu" / "cpu.cfs_period_us").write_text("100000\n")

    assert cores.usable_cores() == count


@pytest.mark.parametrize("said", [None, "", "many 100000", "1 0"])
def test_what_tells_nothing_limits_nothing(groups: Path, said: str | None) -> None:
    if said is not None:
        (groups / "cpu.max").write_text(said)

    assert cores.usable_cores() == 64
