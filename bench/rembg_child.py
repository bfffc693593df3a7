"""`python -m bench.rembg_child IN MATTE`: rembg itself, frame by frame. Runs in its own environment, not the product's.

U2NET_HOME names a folder that holds `u2net.onnx`, so that nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from onnxruntime import SessionOptions
from PIL import Image
from rembg import new_session, remove

from bench.video import frames_of, print_costs, write_matte


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m bench.rembg_child")
    parser.add_argument("source", type=Path)
    parser.add_argument("matte", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    if not (Path(os.environ["U2NET_HOME"]) / "u2net.onnx").is_file():
        sys.exit("error: U2NET_HOME has no u2net.onnx, and nothing is downloaded here")
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = given.threads, 1
    session = new_session("u2net", sess_opts=options, providers=["CPUExecutionProvider"])
    mattes = (
        np.asarray(remove(Image.fromarray(frame), session=session, only_mask=True)) for frame in frames_of(given.source)
    )
    print_costs(began, write_matte(given.matte, mattes))


if __name__ == "__main__":
    main()
