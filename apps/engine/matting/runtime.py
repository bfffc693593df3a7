"""onnxruntime itself: which device it can use here, and sessions with threads that do not get in others' way."""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from apps.engine.cores import usable_cores
from apps.engine.errors import BadOptions, EngineFault

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = {"cpu": ("auto", "fp32", "int8"), "cuda": ("auto", "fp32", "fp16")}
"""What may be asked for on each device: int8 is slower than fp32 on a GPU, fp16 slower on a CPU."""

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

IDENTITY = bytes.fromhex(
    "080812003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)
"""The smallest network there is, y = x: it shows whether a device starts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """`why_not_cuda` is what kept `auto` from a GPU that onnxruntime was made for."""

    device: str
    why_not_cuda: str = ""


def choose_device(device: str) -> Chosen:
    """`auto` takes CUDA where it really starts, and says so where it does not; `cuda` refuses instead."""
    if device not in DEVICES:
        raise BadOptions(f"device must be one of {', '.join(DEVICES)}.", param="device")
    if device == "cpu":
        return Chosen("cpu")
    # CUDA's libraries from pip are found only after this. Its complaints must not get into the report on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()
    if CUDA not in onnxruntime.get_available_providers():
        if device == "auto":
            return Chosen("cpu")
        raise BadOptions(
            "This installation of onnxruntime has no CUDA: install onnxruntime-gpu, or use device cpu or auto.",
            param="device",
        )
    trouble = _start_cuda()
    if not trouble:
        return Chosen("cuda")
    if device == "cuda":
        raise BadOptions(f"CUDA did not start on this machine: {trouble} Use device cpu or auto.", param="device")
    log.warning("CUDA did not start, so this runs on the CPU: %s", trouble)
    return Chosen("cpu", trouble)


def check_precision(precision: str, device: str) -> None:
    """`device` is the one chosen, never auto."""
    if precision not in PRECISIONS[device]:
        allowed = ", ".join(PRECISIONS[device])
        raise BadOptions(f"precision must be one of {allowed} on {device}, not {precision}.", param="precision")


def _start_cuda() -> str:
    """Why CUDA does not start, as a sentence; empty when it does."""
    try:
        session = _session(IDENTITY, "cuda", threads=1)
    except Exception as error:
        return f"{str(error).strip().splitlines()[0][:300]}."
    if CUDA not in session.get_providers():
        return f"its libraries do not load (this onnxruntime is made for CUDA {onnxruntime.cuda_version})."
    return ""


def usable_threads(threads: int) -> int:
    """As asked, or one for every core this process may use, which in a container are fewer than the machine has."""
    return threads if threads > 0 else usable_cores()


def open_session(path: Path, *, device: str = "cpu", threads: int = 0) -> Any:
    try:
        session = _session(str(path), device, threads=threads)
    except Exception as error:
        # onnxruntime's own exceptions have no common public base.
        raise EngineFault(f"{path.parent.name}/{path.name} does not load: {error}") from error
    if device == "cuda" and CUDA not in session.get_providers():
        raise EngineFault(f"{path.parent.name}/{path.name} does not run on CUDA, which started a moment ago.")
    return session


def _session(network: str | bytes, device: str, *, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_threads(threads)
    options.inter_op_num_threads = 1
    # Waiting threads would burn the cores that the encoder and other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = [CUDA, CPU] if device == "cuda" else [CPU]
    # Left to itself onnxruntime goes on without the GPU when that fails, at loading and in the middle of a video.
    return onnxruntime.InferenceSession(network, options, providers=providers, enable_fallback=0)


def gpus() -> list[str]:
    """Names of this machine's NVIDIA cards, as their driver tells them."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return found
