"""Convert the TensorFlow.js graph of Robust Video Matting (NHWC, 8-bit weights) to ONNX (NCHW, float32).

numpy and onnx only. It knows the operations of this one network; any other is refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
STATES = ((1, 16), (2, 20), (3, 40), (4, 64))
"""Number and channels of the recurrent states."""

NHWC_TO_NCHW = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1}
SAME_NAME = {"AddV2": "Add", "RealDiv": "Div", "Minimum": "Min", "Maximum": "Max"}
ARITHMETIC = ("Mul", "AddV2", "Add", "Sub", "RealDiv", "Minimum", "Maximum")
CONVOLUTIONS = ("_FusedConv2D", "Conv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative")

Tensor = tuple[str, int]
"""Name and rank. A rank-4 tensor is NCHW here and was NHWC there; lower ranks keep their order."""


def convert(folder: Path, target: Path) -> None:
    """`folder` holds rvm.json and rvm.bin."""
    graph = json.loads((folder / "rvm.json").read_text(encoding="utf-8"))
    weights = read_weights(graph["weightsManifest"], folder)
    model = _Converter(weights).run(graph["modelTopology"]["node"])
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def read_weights(groups: list[dict[str, Any]], folder: Path) -> dict[str, NDArray[Any]]:
    weights: dict[str, NDArray[Any]] = {}
    for group in groups:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for row in group["weights"]:
            packed = row.get("quantization")
            kind = np.dtype(packed["dtype"] if packed else row["dtype"])
            count = int(np.prod(row["shape"], dtype=np.int64))
            array: NDArray[Any] = np.frombuffer(data, kind, count, offset)
            offset += kind.itemsize * count
            if packed and packed["dtype"] == "float16":
                array = array.astype(np.float32)
            elif packed:
                array = array.astype(np.float32) * np.float32(packed["scale"]) + np.float32(packed["min"])
                array = array.astype(row["dtype"])
            weights[row["name"]] = array.reshape(row["shape"])
        if offset != len(data):
            raise ValueError(f"rvm.bin has {len(data)} bytes, its index describes {offset}")
    return weights


def _key(name: str) -> str:
    """TensorFlow says `x:0` for `x`."""
    node, _, output = name.partition(":")
    return name if output not in ("", "0") else node


def _text(value: str) -> str:
    return base64.b64decode(value).decode()


def _ints(node: dict[str, Any], attribute: str) -> list[int]:
    return [int(value) for value in node["attr"][attribute]["list"]["i"]]


class _Converter:
    """One pass over the nodes in their order; each handler registers its node's outputs."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.tensors: dict[str, Tensor] = {}
        self.padded: dict[str, tuple[str, list[int]]] = {}
        self.batched: dict[str, str] = {}
        self.count = 0

    def run(self, nodes: list[dict[str, Any]]) -> Any:
        for node in nodes:
            inputs = [name for name in node.get("input", []) if not name.startswith("^")]
            if not self._is_skipped(node):
                self._handler(node["op"])(node, inputs)
        return self._model()

    def _is_skipped(self, node: dict[str, Any]) -> bool:
        op, name = node["op"], node["name"]
        return (
            op in ("Const", "NoOp", "Equal")
            or (op == "Squeeze" and "/cond" in name)
            or "required_space_to_batch" in name
            or (op in ("Shape", "StridedSlice", "Pack") and "/depthwise/" in name)
        )

    def _handler(self, op: str) -> Callable[[dict[str, Any], list[str]], None]:
        if op in CONVOLUTIONS:
            return self._convolution
        if op in ARITHMETIC:
            return self._arithmetic
        handlers: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
            "Placeholder": self._placeholder,
            "Switch": self._switch,
            "Merge": self._merge,
            "Identity": self._identity,
            "SpaceToBatchND": self._space_to_batch,
            "BatchToSpaceND": self._same,
            "Pad": self._pad,
            "Shape": self._shape,
            "StridedSlice": self._strided_slice,
            "Pack": self._pack,
            "Cast": self._cast,
            "Relu": self._unary,
            "Sigmoid": self._unary,
            "Tanh": self._unary,
            "Relu6": self._relu6,
            "Square": self._square,
            "AvgPool": self._average_pool,
            "Mean": self._mean,
            "ConcatV2": self._concat,
            "Split": self._split,
            "SplitV": self._split_at,
            "Slice": self._slice,
            "BroadcastTo": self._broadcast,
            "ResizeBilinear": self._resize,
        }
        if op not in handlers:
            raise ValueError(f"the graph has an operation that was never seen in it: {op}")
        return handlers[op]

    # Building blocks.

    def _name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def _const(self, value: Any) -> str:
        name = self._name("c")
        self.arrays.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _int64(self, *values: int) -> str:
        return self._const(np.array(values, np.int64))

    def _emit(self, op: str, inputs: list[str], **attributes: Any) -> str:
        return self._emit_many(op, inputs, 1, **attributes)[0]

    def _emit_many(self, op: str, inputs: list[str], count: int, **attributes: Any) -> list[str]:
        outputs = [self._name(op.lower()) for _ in range(count)]
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs

    def _get(self, name: str) -> Tensor:
        key = _key(name)
        if key in self.tensors:
            return self.tensors[key]
        array = self.weights[key]
        return self._const(array.astype(np.int64) if array.dtype == np.int32 else array), array.ndim

    def _operand(self, name: str, rank: int) -> str:
        """Beside a rank-4 tensor, a constant vector runs over the channels, which moved to the second place."""
        array = self.weights.get(_key(name))
        if rank == 4 and array is not None:
            return self._const((array.reshape(1, -1, 1, 1) if array.ndim == 1 else array).astype(np.float32))
        return self._get(name)[0]

    # Control flow: the conditionals are decided here, for the branch downsample_ratio != 1.

    def _placeholder(self, node: dict[str, Any], inputs: list[str]) -> None:
        self.tensors[node["name"]] = (node["name"], 1 if node["name"] == "downsample_ratio" else 4)

    def _switch(self, node: dict[str, Any], inputs: list[str]) -> None:
        if inputs[0].rsplit("/", 1)[-1].startswith("Squeeze"):
            return
        key, name = _key(inputs[0]), node["name"]
        if key in self.weights:
            self.weights[name] = self.weights[f"{name}:1"] = self.weights[key]
        else:
            self.tensors[name] = self.tensors[f"{name}:1"] = self._get(key)

    def _merge(self, node: dict[str, Any], inputs: list[str]) -> None:
        if _key(inputs[1]) in self.tensors:
            self.tensors[node["name"]] = self.tensors[_key(inputs[1])]

    def _identity(self, node: dict[str, Any], inputs: list[str]) -> None:
        key = _key(inputs[0])
        if key in self.tensors:
            self.tensors[node["name"]] = self.tensors[key]
        elif key in self.weights:
            self.weights[node["name"]] = self.weights[key]

    # Convolutions. Explicit Pad and SpaceToBatch around them become the convolution's own pads and dilation.

    def _convolution(self, node: dict[str, Any], inputs: list[str]) -> None:
        x, weight = self._get(inputs[0])[0], self.weights[_key(inputs[1])]
        is_depthwise = "epthwise" in node["op"]
        height, width = weight.shape[:2]
        dilation = 2 if x in self.batched else 1
        x = self.batched.get(x, x)
        kernel = weight.transpose(2, 3, 0, 1) if is_depthwise else weight.transpose(3, 2, 0, 1)
        if is_depthwise:
            kernel = kernel.reshape(-1, 1, height, width)
        attributes: dict[str, Any] = {
            "kernel_shape": [height, width],
            "strides": _ints(node, "strides")[1:3],
            "dilations": [dilation, dilation],
            "group": weight.shape[2] if is_depthwise else 1,
        }
        if "box_filter" in node["name"]:
            # TensorFlow shrank here and stretched back later; repeating the border keeps pixels in place.
            pads = self._int64(0, 0, height // 2, width // 2, 0, 0, height // 2, width // 2)
            x = self._emit("Pad", [x, pads], mode="edge")
        elif x in self.padded:
            x, attributes["pads"] = self.padded[x]
        elif _text(node["attr"]["padding"]["s"]) == "SAME":
            if attributes["strides"] != [1, 1]:
                raise ValueError("SAME padding with a stride is not in this network")
            attributes["pads"] = [(height - 1) // 2, (width - 1) // 2, height // 2, width // 2]
        bias = [self._const(self.weights[_key(inputs[2])])] if len(inputs) > 2 else []
        y = self._emit("Conv", [x, self._const(kernel.astype(np.float32)), *bias], **attributes)
        self.tensors[node["name"]] = (self._activated(node, y), 4)

    def _activated(self, node: dict[str, Any], x: str) -> str:
        for fused in node["attr"].get("fused_ops", {}).get("list", {}).get("s", []):
            kind = _text(fused)
            if kind in ("Relu", "Sigmoid"):
                x = self._emit(kind, [x])
            elif kind == "Relu6":
                x = self._clip6(x)
            elif kind != "BiasAdd":
                raise ValueError(f"the graph has an activation that was never seen in it: {kind}")
        return x

    def _clip6(self, x: str) -> str:
        return self._emit("Clip", [x, self._const(np.float32(0)), self._const(np.float32(6))])

    def _space_to_batch(self, node: dict[str, Any], inputs: list[str]) -> None:
        token = self._name("batched")
        self.batched[token] = self._get(inputs[0])[0]
        self.tensors[node["name"]] = (token, 4)

    def _pad(self, node: dict[str, Any], inputs: list[str]) -> None:
        pads = self.weights[_key(inputs[1])]
        token = self._name("padded")
        edges = [int(pads[1][0]), int(pads[2][0]), int(pads[1][1]), int(pads[2][1])]
        self.padded[token] = (self._get(inputs[0])[0], edges)
        self.tensors[node["name"]] = (token, 4)

    # Shapes.

    def _same(self, node: dict[str, Any], inputs: list[str]) -> None:
        self.tensors[node["name"]] = self._get(inputs[0])

    def _shape(self, node: dict[str, Any], inputs: list[str]) -> None:
        x, rank = self._get(inputs[0])
        shape = self._emit("Shape", [x])
        if rank == 4:
            shape = self._emit("Gather", [shape, self._int64(0, 2, 3, 1)])
        self.tensors[node["name"]] = (shape, 1)

    def _strided_slice(self, node: dict[str, Any], inputs: list[str]) -> None:
        begin, end, step = (self._const(self.weights[_key(name)].astype(np.int64)) for name in inputs[1:4])
        part, rank = self._emit("Slice", [self._get(inputs[0])[0], begin, end, self._int64(0), step]), 1
        if int(node["attr"]["shrink_axis_mask"]["i"]):
            part, rank = self._emit("Squeeze", [part, self._int64(0)]), 0
        self.tensors[node["name"]] = (part, rank)

    def _pack(self, node: dict[str, Any], inputs: list[str]) -> None:
        parts = [self._emit("Unsqueeze", [self._get(name)[0], self._int64(0)]) for name in inputs]
        self.tensors[node["name"]] = (self._emit("Concat", parts, axis=0), 1)

    def _cast(self, node: dict[str, Any], inputs: list[str]) -> None:
        x, rank = self._get(inputs[0])
        to = {"DT_FLOAT": TensorProto.FLOAT, "DT_INT32": TensorProto.INT64}[node["attr"]["DstT"]["type"]]
        self.tensors[node["name"]] = (self._emit("Cast", [x], to=to), rank)

    def _slice(self, node: dict[str, Any], inputs: list[str]) -> None:
        size = self._emit("Slice", [self._get(inputs[2])[0], self._int64(1), self._int64(3), self._int64(0)])
        part = self._emit("Slice", [self._get(inputs[0])[0], self._int64(0, 0), size, self._int64(2, 3)])
        self.tensors[node["name"]] = (part, 4)

    def _broadcast(self, node: dict[str, Any], inputs: list[str]) -> None:
        shape = self._emit("Gather", [self._get(inputs[1])[0], self._int64(0, 3, 1, 2)])
        self.tensors[node["name"]] = (self._emit("Expand", [self._get(inputs[0])[0], shape]), 4)

    def _resize(self, node: dict[str, Any], inputs: list[str]) -> None:
        x = self._get(inputs[0])[0]
        kept = self._emit("Slice", [self._emit("Shape", [x]), self._int64(0), self._int64(2), self._int64(0)])
        size = self._emit("Concat", [kept, self._get(inputs[1])[0]], axis=0)
        y = self._emit("Resize", [x, "", "", size], mode="linear", coordinate_transformation_mode="half_pixel")
        self.tensors[node["name"]] = (y, 4)

    # Arithmetic.

    def _arithmetic(self, node: dict[str, Any], inputs: list[str]) -> None:
        rank = max(self.tensors[_key(name)][1] if _key(name) in self.tensors else 0 for name in inputs)
        op = SAME_NAME.get(node["op"], node["op"])
        self.tensors[node["name"]] = (self._emit(op, [self._operand(name, rank) for name in inputs]), rank)

    def _unary(self, node: dict[str, Any], inputs: list[str]) -> None:
        self.tensors[node["name"]] = (self._emit(node["op"], [self._get(inputs[0])[0]]), 4)

    def _relu6(self, node: dict[str, Any], inputs: list[str]) -> None:
        self.tensors[node["name"]] = (self._clip6(self._get(inputs[0])[0]), 4)

    def _square(self, node: dict[str, Any], inputs: list[str]) -> None:
        x = self._get(inputs[0])[0]
        self.tensors[node["name"]] = (self._emit("Mul", [x, x]), 4)

    def _average_pool(self, node: dict[str, Any], inputs: list[str]) -> None:
        kernel, strides = _ints(node, "ksize")[1:3], _ints(node, "strides")[1:3]
        x = self._get(inputs[0])[0]
        y = self._emit("AveragePool", [x], kernel_shape=kernel, strides=strides, ceil_mode=1)
        self.tensors[node["name"]] = (y, 4)

    def _mean(self, node: dict[str, Any], inputs: list[str]) -> None:
        axes = [NHWC_TO_NCHW[int(axis)] for axis in np.atleast_1d(self.weights[_key(inputs[1])])]
        x = self._get(inputs[0])[0]
        if axes == [2, 3]:
            y = self._emit("GlobalAveragePool", [x])
        else:
            y = self._emit("ReduceMean", [x], axes=axes, keepdims=1)
        self.tensors[node["name"]] = (y, 4)

    def _concat(self, node: dict[str, Any], inputs: list[str]) -> None:
        parts = [self._get(name)[0] for name in inputs[:-1]]
        self.tensors[node["name"]] = (self._emit("Concat", parts, axis=1), 4)

    def _split(self, node: dict[str, Any], inputs: list[str]) -> None:
        count = int(node["attr"]["num_split"]["i"])
        self._outputs(node, self._emit_many("Split", [self._get(inputs[1])[0]], count, axis=1))

    def _split_at(self, node: dict[str, Any], inputs: list[str]) -> None:
        sizes = self.weights[_key(inputs[1])].astype(np.int64)
        self._outputs(node, self._emit_many("Split", [self._get(inputs[0])[0], self._const(sizes)], len(sizes), axis=1))

    def _outputs(self, node: dict[str, Any], names: list[str]) -> None:
        for index, name in enumerate(names):
            self.tensors[node["name"] if index == 0 else f"{node['name']}:{index}"] = (name, 4)

    # The whole.

    def _model(self) -> Any:
        outputs = [("fgr", "Identity", 3), ("pha", "Identity_1", 1)]
        outputs += [(f"r{state}o", f"Identity_{state + 1}", channels) for state, channels in STATES]
        for name, source, _ in outputs:
            self.nodes.append(helper.make_node("Identity", [self.tensors[source][0]], [name]))
        needed, kept = {name for name, _, _ in outputs}, []
        for node in reversed(self.nodes):
            if set(node.output) & needed:
                kept.append(node)
                needed.update(node.input)

        def value(name: str, shape: list[Any]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        states = [value(f"r{n}i", [1, f"c{n}", f"h{n}", f"w{n}"]) for n, _ in STATES]
        graph = helper.make_graph(
            kept[::-1],
            "rvm",
            [value("src", [1, 3, "H", "W"]), *states, value("downsample_ratio", [1])],
            [value(name, [1, channels, f"H_{name}", f"W_{name}"]) for name, _, channels in outputs],
            [array for array in self.arrays if array.name in needed],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        return model
