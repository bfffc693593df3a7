"""`python -m bench` on a drawn folder with the keyer: what it writes, keeps, and says when a run fails."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest

from bench import __main__ as bench
from bench.sheet import CELL_WIDTH, LABEL_WIDTH
from bench.store import alone_in
from tests.bench.drawn import FRAMES, make_bench


class Ran(NamedTuple):
    folder: Path
    out: Path
    models: Path


def run(ran: Ran, *more: str) -> int:
    return bench.main(
        [str(ran.folder), "--models", "chroma", "--out", str(ran.out), "--models-dir", str(ran.models), *more]
    )


def report_of(ran: Ran) -> dict:
    return json.loads((ran.out / "report.json").read_text())


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One whole run, which the tests only read or copy."""
    root = tmp_path_factory.mktemp("bench")
    ran = Ran(make_bench(root / "given"), root / "out", root / "models")
    assert run(ran) == 0
    return ran


@pytest.fixture
def again(once: Ran, tmp_path: Path) -> Ran:
    """A copy that a test may spoil; what was measured is known in it."""
    ran = Ran(tmp_path / "given", tmp_path / "out", once.models)
    shutil.copytree(once.folder, ran.folder)
    shutil.copytree(once.out, ran.out)
    return ran


def test_every_clip_is_run_through_the_command_line_and_judged(once: Ran) -> None:
    measured = report_of(once)["measured"]["chroma"]

    assert sorted(measured) == ["jump", "still"]
    for clip in measured.values():
        assert clip["frames"] == FRAMES
        assert clip["mad"] < 5
        assert clip["fgr_mse"] == FRAMES
        assert clip["webm"]["mad"] == 0.5
        assert clip["cpu_seconds"] > 0
        assert clip["peak_rss_bytes"] > 1e6


def test_the_picture_itself_is_judged_at_the_frames_whose_colours_are_known(once: Ran) -> None:
    uncorrected = report_of(once)["uncorrected"]

    assert {name: clip["fgr_mse"] for name, clip in uncorrected.items()} == {"jump": 1.0, "still": 1.0}


def test_tables_show_groups_and_roles_but_no_clip(once: Ran) -> None:
    figures = (once.out / "figures.md").read_text()

    titles = [line for line in figures.splitlines() if line.startswith("#")]
    assert titles == [
        "### Human (1 sequence)",
        "### Object (1 sequence)",
        "### All (2 sequences)",
        "### Scene cut (1 sequence)",
        "### Glass (1 sequence)",
        "### Delivered files",
    ]
    assert "jump" not in figures
    assert "still" not in figures


def test_a_sheet_shows_both_sides_of_a_cut_in_every_row(once: Ran) -> None:
    sheet = cv2.imread(str(once.out / "sheets" / "jump.png"))

    # Frames 0 1 2 3 4 5: the quarters and the cut at 3. Rows: the picture, the truth, the keyer.
    assert sheet.shape[1] == LABEL_WIDTH + 6 * CELL_WIDTH
    assert sheet.shape[0] == 22 + 3 * 200
    assert sheet[-10, -10].tolist() == [255, 0, 255]


def test_only_what_the_sheets_need_is_kept(once: Ran) -> None:
    unit = once.out / "units" / "still" / "chroma"

    assert sorted(path.name for path in unit.iterdir()) == ["fgr", "matte.mkv", "result.json"]
    assert sorted(path.stem for path in (unit / "fgr").iterdir()) == ["00000", "00001", "00002", "00004", "00005"]


def test_a_second_run_measures_nothing_again(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(again.out / "units" / "still" / "uncorrected")
    before = report_of(again)["measured"]

    assert run(again) == 0

    # Three units a clip; one was lost.
    assert "5 of 6 were known from before" in capsys.readouterr().err
    assert report_of(again)["measured"] == before


def test_only_the_wanted_parts_are_measured_in_order_of_weight(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(again, "--parts", "mov,models") == 0

    steps = re.findall(r"\[\d/\d\] (.*)", capsys.readouterr().err)
    assert steps == [
        *("uncorrected picture, jump", "uncorrected picture, still"),
        *("chroma, jump", "chroma, still"),
        *("chroma, mov, jump", "chroma, mov, still"),
    ]


def test_fresh_measures_again(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(again, "--only", "scene cut", "--fresh") == 0

    assert "0 of 3 were known from before" in capsys.readouterr().err
    assert list(report_of(again)["measured"]["chroma"]) == ["jump"]


def test_a_failed_run_is_named_and_the_others_go_on(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    (again.folder / "dev" / "jump" / "input.mp4").write_bytes(b"no video")

    assert run(again, "--models", "chroma") == 1

    said = capsys.readouterr()
    assert "failed: chroma, jump: exit" in said.err
    assert "unsupported_media" in said.err
    assert list(report_of(again)["measured"]["chroma"]) == ["still"]
    # A mean without one of its clips would flatter.
    assert "| chroma | – |" in said.out.partition("### All")[2]


def test_a_delivered_file_far_from_its_matte_is_a_failure(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    (again.folder / "loss.txt").write_text("20")
    for result in again.out.rglob("result.json"):
        result.unlink()

    assert run(again, "--quick") == 1

    said = capsys.readouterr()
    assert "failed: chroma, webm: the delivered file is" in said.err
    assert "**no**" in said.out


def test_two_benches_do_not_share_a_folder(again: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    with alone_in(again.out):
        assert run(again) == 2

    assert "Another bench is running in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--models", "raw-u2net"], "u2net missing in"),
        (["--models", "raw-u2net,raw-u2netp"], "python manage.py models install u2net u2netp"),
        (["--models", "chrome"], "MODELS=chrome is unknown. Known: original, light, human, pro,"),
        (["--parts", "models,costs"], "PARTS=costs is unknown. Known: models, shares, oracles, raw, mov,"),
        (["--only", "moon"], "ONLY=moon is no name, group, tag or role"),
        (["--quick", "--publish"], "leave out QUICK and ONLY"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    again: Ran, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert run(again, *more) == 2

    assert said in capsys.readouterr().err
