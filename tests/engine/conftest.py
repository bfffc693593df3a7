"""The tiny network that the tests of weights install, and an empty place to install it in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.engine.matting import selftest
from apps.engine.matting.runtime import open_session
from tests.engine.carriers import House, wheel_of, write_manifest


@pytest.fixture(scope="module")
def bare() -> bytes:
    """A network of one pixel-wise mixture: the smallest that can pass for U²-Net."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y0"]), helper.make_node("Sigmoid", ["y0"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 64, 64])],
        [numpy_helper.from_array(np.array([2.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def means(bare: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    path = tmp_path_factory.mktemp("bare") / "tiny.onnx"
    path.write_bytes(bare)
    return [float(one.mean()) for one in selftest.RUNS["u2net"](open_session(path), 64)]


@pytest.fixture
def house(tmp_path: Path, bare: bytes, means: list[float]) -> House:
    return House(tmp_path, write_manifest(tmp_path, carrier=wheel_of(bare), bare=bare, means=means))
