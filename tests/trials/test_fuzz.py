"""The drive over damaged copies: the same for the same seed, and it sees a hang, a death, a fault and a leftover."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.engine.child import ROOT
from apps.engine.facts import survey
from tests.clips import ATTACKS, make_clip
from trials import drawn, fuzz
from trials.damage import damaged
from trials.nursery import Ended, Nursery, nursery


@pytest.fixture(scope="module")
def nurse() -> Iterator[Nursery]:
    with nursery() as started:
        yield started


def probe_of(nurse: Nursery, path: Path, seconds: float = 60) -> Ended:
    return nurse.run(["--probe", "--", str(path)], seconds=seconds)


def test_the_same_seed_gives_the_same_damage():
    data = bytes(range(256)) * 40
    copies = [damaged(data, f"1/{number}") for number in range(60)]

    assert copies == [damaged(data, f"1/{number}") for number in range(60)]
    assert len(set(copies)) == 60
    assert data not in copies
    assert {len(copy) < len(data) for copy in copies} == {True, False}


@pytest.mark.parametrize("kind", drawn.KINDS, ids=lambda kind: kind.name)
def test_every_drawn_kind_is_a_whole_clip(tmp_path, kind):
    found = survey(drawn.write(tmp_path / kind.name, kind))

    assert (found.facts.frames, found.is_cut_off) == (drawn.FRAMES, False)
    assert found.facts.has_audio is bool(kind.sound)


def test_a_forked_run_is_the_command_line_behind_its_walls(tmp_path, nurse):
    clip = make_clip(tmp_path / "a.mp4")

    first, second = probe_of(nurse, clip), probe_of(nurse, tmp_path / "none.mp4")
    done = nurse.run(["--model", "chroma", "--format", "mov", "--", str(clip), str(tmp_path / "o.mov")], seconds=60)

    assert (first.status, first.report["input"]["frames"]) == (0, 12)
    assert (second.status, second.report["error"]["code"]) == (3, "unsupported_media")
    assert (done.status, done.report["frames"]) == (0, 12)
    assert (tmp_path / "o.mov").is_file()


def test_a_run_that_hangs_is_killed_and_the_next_one_lives(tmp_path, nurse):
    os.mkfifo(tmp_path / "pipe.mp4")

    hung = probe_of(nurse, tmp_path / "pipe.mp4", seconds=1)

    assert (hung.status, hung.hung, hung.report) == (-signal.SIGKILL, True, None)
    assert probe_of(nurse, make_clip(tmp_path / "a.mp4")).status == 0


def found(report: dict | None, *, status: int = 0, hung: bool = False) -> fuzz.Found:
    copy = fuzz.Copy("1-00000-a.mp4", Path("a.mp4"), "1/0/a.mp4")
    return fuzz.Found(copy, "probe", Ended(status, hung, 0.1, report, ""))


@pytest.mark.parametrize(
    ("row", "outcome", "bad"),
    [
        (found({"error": None, "warnings": []}), "processed", False),
        (found({"error": None, "warnings": [{}]}), "processed with a warning", False),
        (found({"error": {"code": "input_truncated"}}, status=3), "input_truncated", False),
        (found({"error": {"code": "internal_error"}}, status=70), "internal_error", True),
        (found({"error": {"code": "verification_failed"}}, status=70), "verification_failed", True),
        (found(None, status=-11), "died of signal 11", True),
        (found(None, status=0), "ended with 0 and no report", True),
        (found(None, status=-9, hung=True), "hang", True),
    ],
)
def test_every_ending_has_a_name_and_only_answers_are_good(row, outcome, bad):
    assert (row.outcome, row.is_bad) == (outcome, bad)


def test_a_small_drive_counts_its_endings(tmp_path, capsys):
    status = fuzz.main(["--seed", "7", "--count", "6", "--children", "1", "--out", str(tmp_path)])

    told = capsys.readouterr().out
    assert status == 0
    assert "6 copies with seed 7: 0 ended badly" in told
    assert sum(int(line.split()[-1]) for line in told.splitlines() if line.startswith(("probe", "process"))) == 12


def test_what_ends_badly_is_kept_with_its_story(tmp_path, capsys, monkeypatch):
    """Every refusal counted as bad stands for one."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "a.mp4").write_bytes(ATTACKS["text"])
    monkeypatch.setattr(fuzz, "REFUSALS", set())
    monkeypatch.setattr(fuzz, "draw", lambda folder: [])

    status = fuzz.main(["--count", "1", "--inputs", str(given), "--children", "1", "--out", str(tmp_path / "out")])

    kept = {path.name: path for path in (tmp_path / "out").iterdir()}
    copy = "1-00000-a.mp4"
    assert status == 1
    assert kept[copy].read_bytes() == damaged(ATTACKS["text"], "1/0/a.mp4")
    told = json.loads(kept[f"{copy}.probe.json"].read_text())
    assert (told["outcome"], told["report"]["error"]["code"]) == ("unsupported_media", "unsupported_media")
    assert f"BAD  {copy}: probe: unsupported_media" in capsys.readouterr().err


def test_what_is_left_behind_is_bad(tmp_path, monkeypatch):
    class Untidy:
        def run(self, arguments: list[str], *, seconds: float) -> Ended:
            Path(arguments[-1]).with_name("rest.part").touch()
            return Ended(0, False, 0.1, {"error": None, "warnings": []}, "")

    clip = make_clip(tmp_path / "a.mp4")
    rows = fuzz.look(fuzz.Copy("a", clip, "1"), Untidy(), 10)

    assert [row.is_bad for row in rows] == [False, False, True]
    assert rows[2].outcome == "left ['rest.part'] behind"


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert fuzz.main(["--count", "1", "--inputs", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_what_is_kept_lies_in_an_ignored_folder():
    given = fuzz.make_parser().parse_args([])

    assert given.out == ROOT / "trials-out" / "fuzz"
    assert "/trials-out/" in (ROOT / ".gitignore").read_text().splitlines()
