"""onnxruntime sessions: which device, how many threads, which of a network's files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from apps.engine.errors import BadOptions, EngineFault, ModelNotInstalled
from apps.engine.matting import weights

DEVICES = ("auto", "cpu", "cuda")
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Opened:
    """One network in memory; `tag` names it with its precision and weights for the job's record."""

    session: Any
    device: str
    tag: str

    def at(self, size: object) -> Opened:
        """The same, with the size it works at in its name."""
        return replace(self, tag=f"{self.tag}/{size}")


class Opener:
    """Opens networks of one model folder, all on the same device with the same threads."""

    def __init__(self, models_dir: Path, *, device: str, threads: int) -> None:
        self._models_dir = models_dir
        self._wanted = device
        self._device = choose_device(device)
        self._threads = usable_threads(threads)
        cv2.setNumThreads(self._threads)

    def require(self, names: tuple[str, ...]) -> None:
        """Refuse before anything heavy is loaded, naming every network that is missing."""
        known = weights.networks()
        missing = []
        for name in names:
            status = weights.network_status(self._models_dir, known[name])
            if not status.installed:
                missing.append(f"{name} ({status.why_not})")
        if missing:
            install = " ".join(one.split()[0] for one in missing)
            raise ModelNotInstalled(
                f"Not on this machine: {', '.join(missing)}. Install with: python manage.py models install {install}",
                param="model",
            )

    def open(self, name: str) -> Opened:
        self.require((name,))
        status = weights.network_status(self._models_dir, weights.networks()[name])
        # On CUDA the quantised graph is slower than the plain one.
        quantised = status.path / "model.int8.onnx"
        is_int8 = self._device == "cpu" and quantised.is_file()
        path = quantised if is_int8 else status.path / "model.onnx"
        session, device = self._start(path)
        tag = f"{name}-{'int8' if is_int8 else 'fp32'}@{status.sha256[:8]}"
        return Opened(session, device, tag)

    def _start(self, path: Path) -> tuple[Any, str]:
        session = open_session(path, device=self._device, threads=self._threads)
        if self._device == "cuda" and session.get_providers()[0] != CUDA:
            # The provider is listed but will not start: no driver, or another CUDA version.
            if self._wanted == "cuda":
                raise BadOptions("CUDA did not start on this machine: use device cpu or auto.", param="device")
            self._device = "cpu"
        return session, self._device


def choose_device(device: str) -> str:
    if device not in DEVICES:
        raise BadOptions(f"device must be one of {', '.join(DEVICES)}.", param="device")
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise BadOptions(
            "This installation of onnxruntime has no CUDA: install onnxruntime-gpu, or use device cpu or auto.",
            param="device",
        )
    return "cuda" if has_cuda and device != "cpu" else "cpu"


def usable_threads(threads: int) -> int:
    """As asked, or every core this process may use, which in a container is fewer than the machine has."""
    if threads > 0:
        return threads
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def open_session(path: Path, *, device: str = "cpu", threads: int = 0) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_threads(threads)
    options.inter_op_num_threads = 1
    # Waiting threads would burn the cores that the encoder and other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = [CUDA, CPU] if device == "cuda" else [CPU]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        # onnxruntime's own exceptions have no common public base.
        raise EngineFault(f"{path.parent.name}/{path.name} does not load: {error}") from error
