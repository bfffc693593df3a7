"""Memory over a long film: what counts as flat, and one short film the whole way."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from apps.engine.facts import survey
from trials import drawn, soak
from trials.soak import judged

START = [100.0, 300.0] * 30
"""A first minute that does not count."""


def judge(course: list[float], **told):
    return judged("chroma", 600, 300, 15_000, course, **told)


def test_a_level_course_is_flat_whatever_the_first_minute_was():
    found = judge([*START, *[400.0, 420.0] * 100])

    assert (found.is_flat, found.peak_megabytes) == (True, 420)
    assert found.spread < 0.05


@pytest.mark.parametrize(
    "course",
    [[400 + n for n in range(240)], [400.0] * 150 + [520.0] * 50, [400.0] * 150 + [300.0] * 50],
    ids=["grows", "jumps", "falls"],
)
def test_a_course_that_moves_more_than_a_tenth_is_not(course):
    found = judge([*START, *course])

    assert found.is_flat is False
    assert found.line().startswith("FAIL chroma")


def test_the_proof_may_take_less_but_not_more():
    work = [*START, *[400.0] * 100]

    assert judge([*work, *[150.0] * 100], worked=len(work)).is_flat is True
    assert judge([*work, *[450.0] * 100], worked=len(work)).is_flat is False


def test_one_odd_second_is_no_growth():
    assert judge([*START, *[400.0] * 100, 900.0, *[400.0] * 100]).is_flat is True


def test_growth_is_told():
    assert judge([*START, *[400 + n * 0.2 for n in range(200)]]).growth == pytest.approx(0.08, abs=0.02)


def test_a_film_too_short_to_judge_fails():
    found = judge([*START, *[400.0] * 19])

    assert (found.is_flat, "too short" in found.line()) == (False, True)


def test_a_failure_of_the_engine_fails():
    found = judge([*START, *[400.0] * 100], failure="out_of_memory: Memory ran out.")

    assert (found.is_flat, found.line()) == (False, "FAIL chroma: out_of_memory: Memory ran out.")


def test_a_clip_over_and_over_is_one_long_clip(tmp_path):
    once = drawn.write(tmp_path / "once.mp4", soak.FILM, frames=drawn.ROUND_FRAMES)
    long = drawn.repeat(once, tmp_path / "long.mp4", 5, seconds=Fraction(4))

    found = survey(long)

    assert (found.facts.frames, found.facts.is_variable_rate, found.is_sound_torn) == (500, False, False)
    assert found.facts.duration == pytest.approx(20, abs=0.03)


def test_a_short_film_goes_the_whole_way(tmp_path, capsys):
    size, minutes = "160x120", 0.3
    more = ["--size", size, "--minutes", str(minutes), "--human-minutes", "0", "--settling", "0", "--threads", "1"]

    status = soak.main([*more, "--out", str(tmp_path)])

    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert status in (0, 1)
    assert status == (0 if capsys.readouterr().out.startswith("ok") else 1)
    assert report["peak_megabytes"] > 50
    assert report["megabytes"] != []
