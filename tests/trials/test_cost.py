"""What the pipeline costs beside its stages: the sums are right, and one small clip goes both ways."""

from __future__ import annotations

import json

import pytest

from apps.engine.facts import survey
from trials import cost
from trials.cost import Cost, Row, Turn


def turn(whole: float, *, proof: float = 0.0) -> Turn:
    alone = {"decode": Cost(1, 1), "matte": Cost(6, 4), "colour": Cost(1, 1), "encode": Cost(2, 2)}
    return Turn(alone, whole=Cost(whole, whole / 2), proof=Cost(proof, proof))


@pytest.mark.parametrize(("cores", "least"), [(1, 2.5), (2, 1.25), (8, 1.0)])
def test_the_whole_is_held_against_the_sum_in_cpu_and_the_slower_of_two_on_the_wall(monkeypatch, cores, least):
    monkeypatch.setattr(cost.os, "sched_getaffinity", lambda pid: set(range(cores)))

    ratios = turn(12, proof=1).ratios

    assert ratios == {"cpu": 1.1, "cpu_proved": 1.2, "wall": 1.25, "wall_proved": 1.5, "least": least}


def test_one_slow_turn_does_not_count():
    row = Row("clip", "light", "webm", 10, [turn(11), turn(30), turn(10.5)])

    assert row.ratio("cpu") == 1.1


@pytest.mark.parametrize("format_name", ["webm", "mp4"])
def test_both_ways_see_every_frame_and_leave_a_report(tmp_path, capsys, format_name):
    out = tmp_path / "report"

    status = cost.main(
        ["--models", "chroma", "--formats", format_name, "--sizes", "96x64", "--frames", "10", "--turns", "1",
         "--threads", "1", "--out", str(out)]
    )  # fmt: skip

    (row,) = json.loads((out / "report.json").read_text())
    assert (status, row["frames"]) == (0, 10)
    assert all(stage["cpu"] > 0 for stage in row["turns"][0]["alone"].values())
    assert f"chroma   {format_name}" in capsys.readouterr().out


def test_a_drawn_clip_has_the_size_and_length_that_were_asked_for(tmp_path):
    facts = survey(cost.draw(tmp_path / "a.mp4", 160, 90, 12)).facts

    assert (facts.width, facts.height, facts.frames) == (160, 90, 12)
