"""A network's files into memory: the right one for the device and the precision, named for the job's record."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from apps.engine.errors import ModelNotInstalled
from apps.engine.matting import halves, weights
from apps.engine.matting.manifest import Network
from apps.engine.matting.runtime import check_precision, choose_device, gpus, open_session, usable_threads
from apps.engine.matting.u2net import takes_one

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """One network in memory; `tag` names it with its precision and weights for the job's record."""

    session: Any
    device: str
    tag: str
    record: dict[str, str] = field(default_factory=dict)
    """Which file that is: network, precision, its sha256, and that of the weights it was made from."""

    def at(self, size: object) -> Opened:
        """The same, with the size it works at in its name."""
        return replace(self, tag=f"{self.tag}/{size}")


class Opener:
    """Opens networks of one model folder, all on the same device with the same threads."""

    def __init__(self, models_dir: Path, *, device: str, threads: int, precision: str = "auto") -> None:
        self._models_dir = models_dir
        self._device = choose_device(device).device
        check_precision(precision, self._device)
        self._precision = precision
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
        network = weights.networks()[name]
        status = weights.network_status(self._models_dir, network)
        precision, path = self._file(network, status.path)
        session = open_session(path, device=self._device, threads=self._threads)
        if self._device == "cuda" and network.preparation in halves.PER_FRAME and takes_one(session):
            log.warning("%s was prepared for one frame a call: remove %s and install it again.", name, status.path)
        with path.open("rb") as file:
            # Of what runs, and not of what was once installed: prepared files are made on each machine.
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        record = {"network": name, "precision": precision, "sha256": sha256, "weights_sha256": status.sha256}
        return Opened(session, self._device, f"{name}-{precision}@{status.sha256[:8]}", record)

    def _file(self, network: Network, folder: Path) -> tuple[str, Path]:
        """Whatever is asked for, a copy that was not proved against float32 is never used."""
        quantised = folder / "model.int8.onnx"
        if self._precision != "fp32":
            if self._device == "cpu" and quantised.is_file():
                return "int8", quantised
            if self._device == "cuda" and network.preparation in halves.PER_FRAME:
                half = halves.proved(network, folder, threads=self._threads)
                if half is not None:
                    return "fp16", half
        return "fp32", folder / "model.onnx"


def describe(*, device: str, precision: str, threads: int) -> dict[str, Any]:
    """What a job would run on, for `manage.py doctor`; raises as the job would."""
    chosen = choose_device(device)
    check_precision(precision, chosen.device)
    return {
        "device": chosen.device,
        "why_not_cuda": chosen.why_not_cuda,
        "gpus": gpus() if chosen.device == "cuda" else [],
        "threads": usable_threads(threads),
        "onnxruntime": onnxruntime.__version__,
        "cuda": onnxruntime.cuda_version,
    }
