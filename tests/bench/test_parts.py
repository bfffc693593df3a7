"""The bench's parts by themselves: the folder, the rows, the figures, the page, the bare networks, the share."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from apps.engine.matting import stages
from apps.engine.matting.base import Matte
from bench import raw, share, tables
from bench.folder import BenchError, open_bench, quickest_of_each_group
from bench.publish import BEGIN, END, publish
from bench.report import Report
from bench.rows import ablations, plan
from bench.store import ROOT
from tests.bench.drawn import make_bench


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return make_bench(tmp_path / "given")


def test_the_folder_of_sequences_and_the_one_above_it_are_the_same_bench(given: Path) -> None:
    above, itself = open_bench(given), open_bench(given / "dev")

    assert above == itself
    assert [clip.name for clip in above.clips] == ["jump", "still"]


def test_a_folder_that_is_no_bench_is_refused(given: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is not a folder"):
        open_bench(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="has no sequences"):
        open_bench(given / "dev" / "still")
    (given / "dev" / "still" / "alpha.mkv").unlink()
    with pytest.raises(BenchError, match=r"alpha\.mkv is missing"):
        open_bench(given)
    shutil.rmtree(given / "dev" / "still")
    (given / "score.py").unlink()
    with pytest.raises(BenchError, match=r"score\.py is neither in"):
        open_bench(given)


def test_the_quickest_clip_of_each_group_is_taken(given: Path) -> None:
    text = (given / "dev" / "still" / "meta.json").read_text()
    shutil.copytree(given / "dev" / "still", given / "dev" / "longer")
    (given / "dev" / "longer" / "meta.json").write_text(text.replace('"frames": 6', '"frames": 60'))

    assert [clip.name for clip in quickest_of_each_group(open_bench(given).clips)] == ["jump", "still"]


def test_every_model_is_also_measured_without_each_of_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "of", lambda name, permissive: ("cuts", "bare") if permissive else ("steady",))

    rows = plan(["light", "human-permissive", "rembg", "chroma"])

    assert [(row.name, row.of, row.without) for row in ablations(rows, [])] == [
        ("light without steady", "light", "steady"),
        ("human-permissive without cuts", "human-permissive", "cuts"),
        ("human-permissive without bare", "human-permissive", "bare"),
    ]
    assert [row.name for row in ablations(rows, ["light"])] == ["light without steady"]
    with pytest.raises(BenchError, match=r"ABLATE=pro,rembg is no model .* Measured are: light, human-permissive\."):
        ablations(rows, ["pro", "rembg", "light"])
    with pytest.raises(BenchError, match=r"ABLATE=light is no model .* name one in MODELS too"):
        ablations(plan(["chroma"]), ["light"])


def test_without_a_wish_everything_but_the_keyer_is_measured() -> None:
    names = [row.name for row in plan([])]

    models = ["original", "light", "human", "pro", "human-permissive", "pro-permissive"]
    told = ["light told the truth", "original told the truth"]
    assert names == [*models, *told, "raw-u2net", "raw-u2netp", "raw-modnet", "raw-isnet", "raw-rvm", "rembg"]


def costs(**scores: object) -> dict:
    return {"frames": 10, "frames_inferred": 5, "seconds": 2.0, "cpu_seconds": 3.0, "peak_rss_bytes": 7e6, **scores}


def test_figures_are_means_over_clips_and_costs_are_per_frame(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "of", lambda name, permissive: ("steady",))
    rows = plan(["light"])
    report = Report([*rows, *ablations(rows, [])], open_bench(given).clips, threads=2)
    report.measured["light"] = {
        "jump": costs(mad=4.0, webm={"mad": 4.5}),
        "still": costs(mad=2.0, fgr_mse=1.0, webm={"mad": 4.0}),
    }
    report.measured["light without steady"] = {"jump": {"mad": 9.0}, "still": {"mad": 4.0}}
    report.shares["light"] = {"jump": {"cpu_share": 0.25}, "still": {"cpu_share": 0.5}}

    text = tables.markdown(report)

    whole = text.partition("### All")[2]
    assert "| light | 3.0 | – | – | – | – | – | – | – | 1.00 | 200 | 0.30 | 50 % | 7 |" in whole
    assert "| **light** | 3.0 | – | – | – | 1.00 | 0.30 | 2.0 | 4.0 |" in text
    assert "| without steady | 6.5 (+3.5) | – | – | – | – | – | 4.0 (+2.0) | 9.0 (+5.0) |" in text
    assert "| light | webm | 2 | +1.25 | +2.00 | **no** |" in text
    assert "| light | 38 % | 25 % | 50 % |" in text


def test_publishing_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")

    publish(page, "new")

    assert page.read_text() == f"Before.\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter.\n"


def test_a_page_without_a_place_for_figures_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Words.\n")

    with pytest.raises(BenchError, match="has no place for the figures"):
        publish(page, "new")

    assert page.read_text() == "Words.\n"


def test_the_page_has_a_place_for_the_figures() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    assert text.count(BEGIN) == text.count(END) == 1


class Remembering:
    """Stands for a network: keeps what it was fed."""

    def __init__(self, *answers: list) -> None:
        self.answers, self.fed = list(answers), []

    def get_inputs(self) -> list:
        return [type("Input", (), {"name": "x"})]

    def run(self, names: object, feed: dict) -> list:
        self.fed.append(feed)
        return self.answers.pop(0)


def test_a_bare_square_network_is_stretched_to_its_own_range() -> None:
    answer = np.array([[0.2, 0.3], [0.4, 0.6]], np.float32)[None, None]
    session = Remembering([answer])

    alpha = raw.NETWORKS["u2net"](session)(np.full((20, 30, 3), 124, np.uint8))

    assert np.allclose(alpha, [[0, 0.25], [0.5, 1]])
    assert session.fed[0]["x"].shape == (1, 3, 320, 320)
    assert abs(session.fed[0]["x"]).max() < 0.4


def test_a_bare_recurrent_network_gets_its_memory_back() -> None:
    alpha = np.zeros((1, 1, 768, 1024), np.float32)
    session = Remembering([alpha, 1, 2, 3, 4], [alpha, 5, 6, 7, 8])
    look = raw.NETWORKS["rvm"](session)
    frame = np.zeros((768, 1024, 3), np.uint8)

    look(frame)
    look(frame)

    assert [session.fed[1][f"r{index}i"] for index in range(1, 5)] == [1, 2, 3, 4]
    assert session.fed[1]["downsample_ratio"].tolist() == [0.5]


class Counting:
    """A model that gives back `lost` mattes too few, and only at the end."""

    name, version, device = "light", "counting@1", "cpu"

    def __init__(self, lost: int = 0) -> None:
        self.lost, self.pushed = lost, 0

    def session(self, width: int, height: int) -> Counting:
        self.pushed = 0
        return self

    def push(self, frame: np.ndarray) -> list[Matte]:
        self.pushed += 1
        return []

    def flush(self) -> list[Matte]:
        return [Matte(np.zeros((2, 2), np.uint8), None)] * (self.pushed - self.lost)


def test_the_yardstick_sees_every_frame_once_after_warming_up() -> None:
    seen: list[int] = []
    frames = [np.full((2, 2, 3), index, np.uint8) for index in range(5)]

    measured = share.measure(Counting(), lambda frame: seen.append(int(frame[0, 0, 0])), frames)

    assert seen == [0, 1, 0, 1, 2, 3, 4]
    assert measured["frames"] == 5


def test_a_model_that_loses_a_matte_has_no_share() -> None:
    frames = [np.zeros((2, 2, 3), np.uint8)] * 5

    with pytest.raises(SystemExit, match="4 mattes for 5 frames"):
        share.measure(Counting(lost=1), lambda frame: frame, frames)


def test_the_environment_of_rembg_is_pinned_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "requirements-bench.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]

    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.MULTILINE))
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    for need in map(Requirement, project["dependency-groups"]["bench"]):
        assert need.specifier.contains(locked[need.name])
