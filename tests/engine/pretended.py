"""A pretended GPU, and the smallest graphs that can pass for the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from apps.engine.matting.runtime import CPU, CUDA

REAL_SESSION = onnxruntime.InferenceSession


class PretendedGpu:
    """A session on the CPU that says it is on CUDA, and counts the frames of each call."""

    def __init__(self, *given: Any, **options: Any) -> None:
        options["providers"] = [CPU]
        self._real = REAL_SESSION(*given, **options)
        self.calls: list[int] = []

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def run(self, names: Any, feed: dict[str, Any]) -> Any:
        self.calls.append(next(iter(feed.values())).shape[0])
        return self._real.run(names, feed)


def save_mixture(path: Path, batch: str | int = "N") -> None:
    """How red each pixel is, 0..1: the smallest network that can pass for U²-Net."""
    weight = np.array([2.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y0"]), helper.make_node("Sigmoid", ["y0"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1, "H", "W"])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def save_recurrent(path: Path) -> None:
    """Robust Video Matting's inputs and outputs: its memories count the calls, in steps of the ratio."""
    nodes = [
        helper.make_node("Identity", ["src"], ["fgr"]),
        helper.make_node("ReduceMean", ["src"], ["gray"], axes=[1]),
        helper.make_node("Add", ["gray", "r4i"], ["pha"]),
        *[helper.make_node("Add", [f"r{n}i", "downsample_ratio"], [f"r{n}o"]) for n in range(1, 5)],
    ]
    shape = [1, "C", "H", "W"]
    ins = [("src", shape), *[(f"r{n}i", [1, 1, 1, 1]) for n in range(1, 5)], ("downsample_ratio", [1])]
    outs = [("fgr", shape), ("pha", shape), *[(f"r{n}o", [1, 1, 1, 1]) for n in range(1, 5)]]
    graph = helper.make_graph(
        nodes,
        "recurrent",
        *[
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in each]
            for each in (ins, outs)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
