"""The carving and conversion that make bare weights into graphs we run, on graphs small enough to reckon by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.engine.errors import InstallFailed
from apps.engine.matting import fuse, manifest, rvm_convert, selftest
from apps.engine.matting.carve import carve
from apps.engine.matting.prepare import PREPARATIONS, RANGES
from apps.engine.matting.quantise import quantise
from apps.engine.matting.runtime import open_session
from apps.engine.matting.scale import Map
from apps.engine.matting.u2net import stretched


def save_half_net(path: Path) -> None:
    """float16 inside, halved and brought back to a constant 64 × 64, with a side head nobody needs."""
    weight = np.full((1, 3, 1, 1), 0.25, np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["x16", "w"], ["mixed"]),
        helper.make_node("AveragePool", ["mixed"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "", "size"], ["full"], mode="nearest"),
        helper.make_node("Cast", ["full"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Sigmoid", ["y"], ["side"]),
    ]
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 64, 64]),
            helper.make_tensor_value_info("side", TensorProto.FLOAT, [1, 1, 64, 64]),
        ],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.array([1, 1, 64, 64], np.int64), "size"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_carve_frees_the_size_and_drops_what_is_not_needed(tmp_path: Path) -> None:
    save_half_net(tmp_path / "net.onnx")

    carved = carve(tmp_path / "net.onnx", fixed_side=64)

    assert [output.name for output in carved.graph.output] == ["y"]
    assert {row.data_type for row in carved.graph.initializer} <= {TensorProto.FLOAT, TensorProto.INT64}
    onnx.save(carved, str(tmp_path / "carved.onnx"))
    picture = np.random.default_rng(0).random((1, 3, 96, 128), np.float32)
    found = open_session(tmp_path / "carved.onnx").run(None, {"x": picture})[0]
    means = picture.sum(1).reshape(1, 48, 2, 64, 2).mean((2, 4)) / 4
    assert np.allclose(found[0], means.repeat(2, 1).repeat(2, 2), atol=1e-6)


def test_stretched_leaves_a_doubtful_frame_empty() -> None:
    faint: Map = np.array([[0.1, 0.49]], np.float32)
    clear: Map = np.array([[0.1, 0.5, 0.9]], np.float32)

    assert stretched(faint).tolist() == [[0.0, 0.0]]
    assert stretched(clear)[0].tolist() == pytest.approx([0.0, 0.5, 1.0])


def test_fuse_restores_what_the_fine_network_dropped_and_drops_what_is_far() -> None:
    robust: Map = np.zeros((256, 256), np.float32)
    robust[60:200, 60:200] = 1
    fine: Map = np.zeros((256, 256), np.float32)
    fine[60:120, 60:200] = 1
    fine[230:250, 230:250] = 1

    fused = fuse.fuse(robust, fine)

    assert float(fused[160, 130]) > 0.95
    assert float(fused[240, 240]) == 0.0
    assert float(fused[62, 130]) > 0.9


def test_a_fine_look_is_heard_only_where_it_sees_the_same_subject() -> None:
    robust: Map = np.zeros((256, 256), np.float32)
    robust[20:236, 60:200] = 1
    fine = robust.copy()
    fine[140:236, 60:200] = 0
    fine[20:90, 60] = 0
    robust[140:236, 60:63] = 0.5

    both = fuse.agreed(robust, fine)

    assert float(both[50, 60]) < 0.2, "an edge that both see, and the fine one draws"
    assert float(both[200, 61]) == pytest.approx(0.5, abs=0.01), "an edge that the fine one has lost with all behind it"
    assert float(both[200, 130]) > 0.99
    assert float(fuse.fuse(robust, fine)[200, 61]) < 0.1, "what it is better than"


def test_fuse_without_a_robust_subject_is_empty() -> None:
    assert not fuse.fuse(np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)).any()


def test_read_weights_unpacks_eight_bit_values(tmp_path: Path) -> None:
    (tmp_path / "rvm.bin").write_bytes(bytes([0, 1, 2]) + np.array([1.5], np.float32).tobytes())
    packed = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
    rows = [
        {"name": "a", "shape": [3], "dtype": "float32", "quantization": packed},
        {"name": "b", "shape": [1], "dtype": "float32"},
    ]

    found = rvm_convert.read_weights([{"paths": ["rvm.bin"], "weights": rows}], tmp_path)

    assert {name: array.tolist() for name, array in found.items()} == {"a": [-1.0, -0.5, 0.0], "b": [1.5]}


def test_read_weights_refuses_bytes_the_index_does_not_describe(tmp_path: Path) -> None:
    (tmp_path / "rvm.bin").write_bytes(bytes(8))
    rows = [{"name": "b", "shape": [1], "dtype": "float32"}]

    with pytest.raises(ValueError, match=r"rvm\.bin has 8 bytes, its index describes 4"):
        rvm_convert.read_weights([{"paths": ["rvm.bin"], "weights": rows}], tmp_path)


def test_convert_refuses_an_operation_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "rvm.bin").write_bytes(b"")
    graph = {"weightsManifest": [], "modelTopology": {"node": [{"op": "FFT", "name": "f", "input": []}]}}
    (tmp_path / "rvm.json").write_text(json.dumps(graph), encoding="utf-8")

    with pytest.raises(ValueError, match="FFT"):
        rvm_convert.convert(tmp_path, tmp_path / "out.onnx")


def test_every_network_has_a_preparation_and_a_self_test() -> None:
    for network in manifest.read().values():
        assert network.preparation in PREPARATIONS
        assert network.preparation in selftest.RUNS
        assert all(0.05 < mean < 0.5 for mean in network.self_test["means"])


def test_shipped_ranges_are_of_networks_in_the_manifest() -> None:
    names = {path.stem for path in RANGES.glob("*.json")}

    assert names == {"u2net", "isnet", "modnet"}
    for name in names:
        for low, high in json.loads((RANGES / f"{name}.json").read_text(encoding="utf-8")).values():
            assert low <= high


def save_two_convolutions(path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.1, (4, many, 3, 3)).astype(np.float32) for many in (3, 4)]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["inner"], name="encoder", pads=[1] * 4),
        helper.make_node("Conv", ["inner", "w1"], ["y"], name="decoder", pads=[1] * 4),
    ]
    shape = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, "H", "W"])],
        [numpy_helper.from_array(one, f"w{index}") for index, one in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_only_the_convolutions_whose_range_was_measured_get_eight_bits(tmp_path: Path) -> None:
    save_two_convolutions(tmp_path / "model.onnx")
    ranges = tmp_path / "ranges.json"
    ranges.write_text(json.dumps({"inner": [-2.0, 2.0], "y": [-2.0, 2.0]}), encoding="utf-8")

    quantise(onnx.load(str(tmp_path / "model.onnx")), ranges, tmp_path / "int8.onnx", only_measured=True)

    in_bits = {row.name for row in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer if row.data_type == 3}
    assert any(name.startswith("w1") for name in in_bits)
    assert not any(name.startswith("w0") for name in in_bits)
    picture = np.random.default_rng(1).random((1, 3, 16, 24), np.float32)
    plain, fewer = (open_session(tmp_path / name).run(None, {"x": picture})[0] for name in ("model.onnx", "int8.onnx"))
    assert 0 < float(np.abs(plain - fewer).max()) < 0.05


def test_prove_refuses_a_network_that_computes_something_else(tmp_path: Path) -> None:
    save_half_net(tmp_path / "model.onnx")
    onnx.save(carve(tmp_path / "model.onnx", fixed_side=64), str(tmp_path / "model.onnx"))

    with pytest.raises(InstallFailed, match="it would cut out wrongly"):
        selftest.prove("u2net", tmp_path, {"side": 64, "means": [0.9, 0.9, 0.9]})


def test_prove_drops_int8_that_strays(tmp_path: Path) -> None:
    """The quantised file is another network: kept out, and said."""
    save_half_net(tmp_path / "model.onnx")
    onnx.save(carve(tmp_path / "model.onnx", fixed_side=64), str(tmp_path / "model.onnx"))
    other = onnx.load(str(tmp_path / "model.onnx"))
    for row in other.graph.initializer:
        if row.name == "w":
            row.CopyFrom(numpy_helper.from_array(np.full((1, 3, 1, 1), -0.25, np.float32), "w"))
    onnx.save(other, str(tmp_path / "model.int8.onnx"))
    means = [float(one.mean()) for one in selftest.RUNS["u2net"](open_session(tmp_path / "model.onnx"), 64)]

    result = selftest.prove("u2net", tmp_path, {"side": 64, "means": means})

    assert result["precision"] == "fp32"
    assert result["int8_iou"] < 0.95
    assert "float32 is used" in result["said"]
    assert not (tmp_path / "model.int8.onnx").exists()
