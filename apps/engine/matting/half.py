"""`python -m apps.engine.matting.half SOURCE TARGET`: a float16 copy of a network that looks at single frames.

A child process of the engine, made once per network: it holds the weights
several times and gives that back by ending.
"""

from __future__ import annotations

import sys
from typing import Any

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16


def halved(model: Any) -> Any:
    """The same network inside in float16, outside in float32, for any number of frames a call."""
    graph = model.graph
    for index, node in enumerate(graph.node):
        node.name = f"node{index}"
        # A network exported by the same tool already has tensors under the names that the converter gives its own.
        node.input[:] = [_own(name) for name in node.input]
        node.output[:] = [_own(name) for name in node.output]
        if node.op_type == "Resize" and len(node.input) == 4:
            # Empty scales beside a size: cast to another type they would no longer be seen to be empty.
            node.input[1] = node.input[2] = ""
    for row in (*graph.initializer, *graph.value_info):
        row.name = _own(row.name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return convert_float_to_float16(model, keep_io_types=True)


def _own(name: str) -> str:
    return f"own_{name}" if name.startswith("graph_") else name


def main(arguments: list[str]) -> int:
    source, target = arguments
    onnx.save(halved(onnx.load(source)), target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
