"""What networks answered: kept, found again, and asked anew; the bare networks feed what the product feeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.engine.matting import weights
from apps.engine.matting.isnet import ISNet
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.opening import Opened
from apps.engine.matting.runtime import open_session
from apps.engine.matting.u2net import U2Net
from bench import raw
from bench.answers import RECALL, RECORD, Answering, Answers
from bench.store import ROOT
from bench.video import alphas_of
from tests import clips

FRAMES = 7


def tiny(red: float) -> bytes:
    """A network of one pixel-wise mixture that takes any size."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y0"]), helper.make_node("Sigmoid", ["y0"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [numpy_helper.from_array(np.array([red, -1, -1], np.float32).reshape(1, 3, 1, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


class Asked:
    """The tiny network, counting how often it is asked."""

    def __init__(self, folder: Path, red: float = 2.0) -> None:
        path = folder / f"tiny-{red}.onnx"
        path.write_bytes(tiny(red))
        self._session = open_session(path, threads=1)
        self.times = 0

    def get_inputs(self) -> list:
        return self._session.get_inputs()

    def run(self, outputs: object, feed: dict) -> list:
        self.times += 1
        return self._session.run(outputs, feed)


def through(answers: Answers, session: object, tag: str = "u2net-int8@aaaa") -> Answering:
    return answers.through(Opened(session, "cpu", tag), "u2net").session


@pytest.fixture
def feed() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(3).normal(size=(1, 3, 8, 12)).astype(np.float32)}


def test_a_kept_answer_is_found_without_asking(tmp_path: Path, feed: dict) -> None:
    recorded, recalled = Asked(tmp_path), Asked(tmp_path)
    computed = through(Answers(tmp_path, RECORD), recorded).run(None, feed)[0]
    answers = Answers(tmp_path, RECALL)

    found = through(answers, recalled).run(None, feed)[0]

    assert (recorded.times, recalled.times) == (1, 0)
    assert (answers.recalled, answers.computed) == (1, 0)
    assert found.dtype == np.float32
    assert found.shape == computed.shape == (1, 1, 8, 12)
    assert np.array_equal(found, computed)
    assert [path.suffix for path in (tmp_path / "u2net").glob("??/*")] == [".npy"]


def test_an_answer_that_is_missing_is_asked_for_and_kept(tmp_path: Path, feed: dict) -> None:
    session = Asked(tmp_path)
    answers = Answers(tmp_path, RECALL)

    for _ in range(2):
        through(answers, session).run(None, feed)

    assert session.times == 1
    assert (answers.recalled, answers.computed) == (1, 1)


def test_other_pixels_another_shape_and_another_network_are_other_questions(tmp_path: Path, feed: dict) -> None:
    through(Answers(tmp_path, RECORD), Asked(tmp_path)).run(None, feed)
    answers = Answers(tmp_path, RECALL)
    other = Asked(tmp_path, red=-2.0)

    through(answers, other).run(None, {"x": feed["x"] + 1})
    through(answers, other).run(None, {"x": feed["x"].reshape(1, 3, 12, 8)})
    found = through(answers, other, "u2net-fp32@bbbb").run(None, feed)[0]

    assert (answers.recalled, answers.computed) == (0, 3)
    assert np.array_equal(found, other.run(None, feed)[0])


def test_recording_asks_again_and_replaces_what_was_kept(tmp_path: Path, feed: dict) -> None:
    through(Answers(tmp_path, RECORD), Asked(tmp_path)).run(None, feed)
    changed = Asked(tmp_path, red=-2.0)

    computed = through(Answers(tmp_path, RECORD), changed).run(None, feed)[0]

    found = through(Answers(tmp_path, RECALL), Asked(tmp_path)).run(None, feed)[0]
    assert changed.times == 1
    assert np.array_equal(found, computed)


def test_a_network_with_a_memory_is_left_alone(tmp_path: Path) -> None:
    opened = Opened(type("Recurrent", (), {"get_inputs": lambda self: ["src", "r1i"]})(), "cpu", "rvm-fp32@cccc")

    assert Answers(tmp_path, RECORD).through(opened, "rvm") is opened


class Remembering:
    """Stands for a network: keeps what it was fed."""

    def __init__(self) -> None:
        self.fed: list[np.ndarray] = []

    def get_inputs(self) -> list:
        return [type("Input", (), {"name": "x", "shape": ["N", 3, "H", "W"]})]

    def run(self, outputs: object, feed: dict) -> list:
        self.fed.append(feed["x"])
        return [np.zeros((1, 1, 2, 2), np.float32)]


@pytest.mark.parametrize(
    ("network", "looks"),
    [
        ("u2net", lambda session: U2Net(session, 320)),
        ("isnet", ISNet),
        ("modnet", lambda session: MODNet(session, 512)),
    ],
)
@pytest.mark.parametrize("size", [(90, 160), (700, 400)])
def test_a_bare_network_is_fed_to_the_last_bit_as_in_the_product(network: str, looks: type, size: tuple) -> None:
    frame = np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8)
    session = Remembering()

    raw.NETWORKS[network](session)(frame)
    looks(session).predict_many([frame])

    bare, product = session.fed
    assert bare.shape == product.shape
    assert bare.tobytes() == product.tobytes()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A models folder in which the tiny network passes for U²-Net."""
    folder = tmp_path / "models" / "u2net"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(tiny(2.0))
    record = {
        "revision": weights.networks()["u2net"].revision,
        "sha256": "d" * 64,
        "files": {"model.onnx": {"bytes": len(tiny(2.0))}},
        "self_test": {},
    }
    (folder / "installed.json").write_text(json.dumps(record))
    return folder.parent


def run_product(folder: Path, models: Path, mode: str) -> tuple[int, str, list[np.ndarray]]:
    matte = folder / f"{mode}.mkv"
    ours = [sys.executable, "-m", "bench.recall", str(folder / "answers"), mode, "--"]
    theirs = [str(folder / "clip.mp4"), str(folder / f"{mode}.webm"), "--json", "--device", "cpu", "--threads", "1"]
    theirs += ["--models-dir", str(models), "--model", "light", "--matte", str(matte)]
    done = subprocess.run([*ours, *theirs], cwd=ROOT, capture_output=True, text=True, check=False)
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("answers:"))
    return done.returncode, told, list(alphas_of(matte)) if matte.is_file() else []


def test_the_product_gives_the_same_mattes_from_kept_answers(tmp_path: Path, installed: Path) -> None:
    clips.make_clip(tmp_path / "clip.mp4", frames=FRAMES)

    status, said, recorded = run_product(tmp_path, installed, RECORD)
    status_again, said_again, recalled = run_product(tmp_path, installed, RECALL)

    assert status == status_again == 0
    asked = int(said.removeprefix("answers: 0 recalled, ").removesuffix(" computed"))
    assert 1 <= asked <= FRAMES
    assert said_again == f"answers: {asked} recalled, 0 computed"
    assert len(recorded) == len(recalled) == FRAMES
    assert all(np.array_equal(a, b) for a, b in zip(recorded, recalled, strict=True))


def test_the_products_refusal_is_handed_on(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")

    status, said, mattes = run_product(tmp_path, installed, RECALL)

    assert status != 0
    assert said == "answers: 0 recalled, 0 computed"
    assert mattes == []
