"""The float16 copy of a network: made on first use on a GPU, used only where it agrees with float32 there."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime

from apps.engine.matting import selftest
from apps.engine.matting.manifest import Network
from apps.engine.matting.runtime import gpus, open_session

PER_FRAME = ("u2net", "isnet", "modnet")
"""Preparations that can be halved. Robust Video Matting stays float32: it reckons its inner sizes in floats."""

CONVERT_SECONDS = 300
"""The largest network takes 5 s."""

ROOT = Path(__file__).resolve().parents[3]

log = logging.getLogger(__name__)


def proved(network: Network, folder: Path, *, device: str = "cuda", threads: int = 0) -> Path | None:
    """The copy's file, or None where it strays or cannot be made, which is said and remembered beside it."""
    target, memory = folder / "model.fp16.onnx", folder / "model.fp16.json"
    # Another card or another release may compute something else.
    here = {"onnxruntime": onnxruntime.__version__, "gpus": gpus()}
    known = _remembered(memory)
    if known.get("here") == here and known.get("bytes") == _size(target):
        return target if known["agrees"] else None
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        found = _try(network, folder, part, device=device, threads=threads)
        log.warning("%s", found["said"])
        if found["agrees"]:
            part.replace(target)
        else:
            target.unlink(missing_ok=True)
        part.write_text(json.dumps({"here": here, "bytes": _size(target), **found}), encoding="utf-8")
        part.replace(memory)
    except OSError as error:
        log.warning("%s: no float16 copy can be kept (%s), so float32 is used.", network.name, error)
        return None
    finally:
        part.unlink(missing_ok=True)
    return target if found["agrees"] else None


def _size(path: Path) -> int:
    """0 when there is no such file."""
    return path.stat().st_size if path.is_file() else 0


def _remembered(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) and isinstance(row.get("agrees"), bool) else {}


def _try(network: Network, folder: Path, part: Path, *, device: str, threads: int) -> dict[str, Any]:
    """Make the copy and compare it with float32; `agrees`, `iou` and what to say of it."""
    plain = folder / "model.onnx"
    command = [sys.executable, "-m", "apps.engine.matting.half", str(plain.resolve()), str(part.resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=CONVERT_SECONDS, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()[-500:]
        return {"agrees": False, "said": f"{network.name}: no float16 copy, so float32 is used: {reason}"}
    sessions = [open_session(path, device=device, threads=threads) for path in (plain, part)]
    iou = selftest.agreement(network.preparation, int(network.self_test["side"]), *sessions)
    agrees = iou > selftest.LEAST_IOU
    said = "agrees with float32" if agrees else "strays from float32, which is used instead"
    return {"agrees": agrees, "iou": round(iou, 4), "said": f"{network.name}: float16 {said} (IoU {iou:.3f})."}
