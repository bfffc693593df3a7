"""Networks with a memory: told of cuts, of another size, and of people who enter an empty scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.engine.matting.base import Frame
from apps.engine.matting.runtime import open_session
from apps.engine.matting.rvm import RVM
from apps.engine.matting.scale import Map
from apps.engine.matting.sessions import People, Recipe, Recurrent, ShotSession
from tests.engine.drawn import ELSEWHERE, SCENE, Clip, FakeLook, alphas_of, clip_of, mattes_of, negative, texture


class FakeRVM(RVM):
    """Remembers like the real one: after a frame without people, those who come are faint at first."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.resets: list[int] = []
        self.steps: list[int] = []
        self.memory: Map | None = None

    def reset(self) -> None:
        self.memory = None
        self.resets.append(len(self.steps))

    def step(self, frame: Frame) -> tuple[Map, Map]:
        at = next(index for index, one in enumerate(self.clip[0]) if one is frame)
        self.steps.append(at)
        truth = self.clip[1][at]
        alpha = truth if self.memory is None else (0.2 * self.memory + 0.8 * truth).astype(np.float32)
        self.memory = truth
        return alpha, frame.astype(np.float32) / 255


def by_people(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
    assert people is not None
    return people.alpha


def people_session(network: FakeRVM, *, gap: int = 1) -> ShotSession:
    look = FakeLook(*network.clip)
    return ShotSession(Recipe((look,), lambda: by_people, lambda: network, gap=gap, finds_colours=False))


@pytest.mark.parametrize("gap", [1, 2, 4])
def test_the_recurrent_network_sees_every_frame_once_and_in_order(gap: int) -> None:
    network = FakeRVM(clip_of(SCENE, 9))

    mattes = mattes_of(people_session(network, gap=gap), network.clip[0])

    assert network.steps == list(range(9))
    assert len(mattes) == 9


def test_the_recurrent_network_forgets_at_a_cut() -> None:
    first, second = clip_of(SCENE, 3), negative(clip_of(ELSEWHERE, 3))
    network = FakeRVM((first[0] + second[0], first[1] + second[1]))

    mattes = mattes_of(people_session(network), network.clip[0])

    assert network.resets == [0, 3]
    assert np.abs(alphas_of(mattes)[3] - second[1][0]).max() < 0.01


def test_who_enters_an_empty_scene_is_whole_at_once() -> None:
    frames, truth = clip_of(SCENE, 5)
    truth[:2] = [np.zeros_like(truth[0])] * 2
    network = FakeRVM((frames, truth))
    people = People(network)

    found = [people.look(frame).alpha for frame in frames]

    assert network.steps == [0, 1, 2, 2, 3, 4]
    assert network.resets == [3]
    assert np.array_equal(found[2], truth[2])


def test_people_who_stay_are_remembered() -> None:
    network = FakeRVM(clip_of(SCENE, 4))
    people = People(network)

    for frame in network.clip[0]:
        people.look(frame)

    assert network.resets == []
    assert network.steps == [0, 1, 2, 3]


def save_counting_net(path: Path) -> None:
    """A graph with RVM's inputs and outputs, whose alpha is a tenth of how often it ran with these states."""
    states = [f"r{index}" for index in range(1, 5)]
    nodes = [helper.make_node("Identity", ["src"], ["fgr"])]
    nodes += [helper.make_node("Add", [f"{name}i", "one"], [f"{name}o"]) for name in states]
    nodes += [
        helper.make_node("ReduceMean", ["src"], ["grey"], axes=[1]),
        helper.make_node("Mul", ["grey", "zero"], ["black"]),
        helper.make_node("Mul", ["r4o", "tenth"], ["count"]),
        helper.make_node("Mul", ["downsample_ratio", "zero"], ["nothing"]),
        helper.make_node("Add", ["count", "nothing"], ["counted"]),
        helper.make_node("Add", ["black", "counted"], ["pha"]),
    ]
    shapes = {"src": [1, 3, "H", "W"], "fgr": [1, 3, "H", "W"], "pha": [1, 1, "H", "W"], "downsample_ratio": [1]}
    shapes |= {f"{name}{way}": [1, 1, 1, 1] for name in states for way in "io"}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()
    }
    inputs = ["src", "downsample_ratio", *(f"{name}i" for name in states)]
    outputs = ["fgr", "pha", *(f"{name}o" for name in states)]
    constants = {"one": 1, "tenth": 0.1, "zero": 0}
    graph = helper.make_graph(
        nodes,
        "counting",
        [values[name] for name in inputs],
        [values[name] for name in outputs],
        [numpy_helper.from_array(np.array([value], np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_rvm_forgets_at_another_size_and_when_told(tmp_path: Path) -> None:
    save_counting_net(tmp_path / "model.onnx")
    network = RVM(open_session(tmp_path / "model.onnx"))

    counts = [network.step(texture(width, 64, 1))[0].max() for width in (96, 96, 96, 128, 128)]
    network.reset()
    counts.append(network.step(texture(128, 64, 1))[0].max())

    # The first frame of each is seen twice, the first time without any memory.
    assert counts == pytest.approx([0.2, 0.3, 0.4, 0.2, 0.3, 0.2])
