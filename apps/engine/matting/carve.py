"""Carve the part of an ONNX graph that we run: one output, free batch, height and width, float32 weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 17
FLOAT16 = onnx.TensorProto.FLOAT16
FLOAT = onnx.TensorProto.FLOAT

Arrays = dict[str, NDArray[Any]]


def carve(path: Path, *, fixed_side: int | None = None) -> Any:
    """Keep what the first output needs.

    `fixed_side` is the input side that a network's constant Resize targets
    were written for; they become fractions of the real input instead.
    """
    model = onnx.load(str(path))
    source, output = model.graph.input[0].name, model.graph.output[0].name
    nodes = _needed(model.graph, output)
    arrays = _arrays(model.graph, nodes)
    nodes = _as_float32(nodes, arrays)
    if fixed_side is not None:
        nodes = _free_sizes(nodes, arrays, source, fixed_side)
    graph = helper.make_graph(
        nodes,
        "carved",
        [helper.make_tensor_value_info(source, FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info(output, FLOAT, ["N", 1, "H", "W"])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    carved = helper.make_model(graph, opset_imports=[o for o in model.opset_import if o.domain == ""])
    carved.ir_version = 8
    if carved.opset_import[0].version < OPSET:
        carved = onnx.version_converter.convert_version(carved, OPSET)
    onnx.checker.check_model(carved)
    return carved


def _needed(graph: Any, output: str) -> list[Any]:
    """The nodes that lead to `output`, inputs before users; the side heads of the training fall away."""
    maker = {name: node for node in graph.node for name in node.output}
    order: list[Any] = []
    seen: set[int] = set()
    # An explicit stack: the networks are deeper than Python's recursion limit.
    stack = [(output, False)]
    while stack:
        name, is_done = stack.pop()
        node = maker.get(name)
        if node is None:
            continue
        if is_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((name, True))
            stack += [(one, False) for one in node.input if one in maker and id(maker[one]) not in seen]
    return [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]


def _arrays(graph: Any, nodes: Iterable[Any]) -> Arrays:
    used = {name for node in nodes for name in node.input}
    return {row.name: numpy_helper.to_array(row) for row in graph.initializer if row.name in used}


def _as_float32(nodes: Iterable[Any], arrays: Arrays) -> list[Any]:
    """Half precision is slower than single on a CPU, and cannot be quantised."""
    renamed, kept = {}, []
    for name, array in arrays.items():
        if array.dtype == np.float16:
            arrays[name] = array.astype(np.float32)
    for node in nodes:
        if node.op_type == "Cast" and node.input[0] in arrays:
            renamed[node.output[0]] = node.input[0]
            continue
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT16:
                attribute.i = FLOAT
            if node.op_type == "Constant" and attribute.t.data_type == FLOAT16:
                value = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(value))
        kept.append(node)
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    return kept


def _free_sizes(nodes: Iterable[Any], arrays: Arrays, source: str, side: int) -> list[Any]:
    """Every Resize to side/k becomes a Resize to input/k, so that any multiple of 64 runs."""
    nodes = list(nodes)
    maker = {name: node for node in nodes for name in node.output}
    arrays.update(free_axis=np.array([0]), free_from=np.array([2]), free_to=np.array([4]))
    made = [
        helper.make_node("Shape", [source], ["free_shape"]),
        helper.make_node("Slice", ["free_shape", "free_from", "free_to", "free_axis"], ["free_size"]),
    ]
    divided: set[int] = set()
    for index, node in enumerate(nodes):
        if node.op_type == "Resize":
            channels, height = _resize_target(node.input[3], arrays, maker, index)
            k = side // height
            if k not in divided:
                divided.add(k)
                arrays[f"free_k{k}"] = np.array([k, k])
                made.append(helper.make_node("Div", ["free_size", f"free_k{k}"], [f"free_size{k}"]))
            made.append(helper.make_node("Concat", [channels, f"free_size{k}"], [f"free_target{index}"], axis=0))
            node.input[3] = f"free_target{index}"
        made.append(node)
    return made


def _resize_target(name: str, arrays: Arrays, maker: dict[str, Any], index: int) -> tuple[str, int]:
    """Name of the (batch, channels) part of a Resize's target, and the constant height it asked for."""
    target = _constant(name, arrays, maker)
    if target is not None:
        arrays[f"free_channels{index}"] = target[:2].astype(np.int64)
        return f"free_channels{index}", int(target[2])
    channels, size = maker[name].input
    constant = _constant(size, arrays, maker)
    if constant is None:
        raise ValueError(f"the Resize target {name} is not constant")
    return channels, int(constant[0])


def _constant(name: str, arrays: Arrays, maker: dict[str, Any]) -> NDArray[Any] | None:
    if name in arrays:
        return arrays[name]
    node = maker.get(name)
    if node is None or node.op_type != "Constant":
        return None
    value: NDArray[Any] = numpy_helper.to_array(node.attribute[0].t)
    return value
