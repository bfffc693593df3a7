"""`python -m apps.engine.matting.prepare MANIFEST NETWORK SOURCE OUT`: bare weights in, proved ONNX files out.

A child process of the installer: it holds a gigabyte for some seconds and
gives it back by ending.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import onnx

from apps.engine.errors import EngineError
from apps.engine.matting import manifest, rvm_convert
from apps.engine.matting.carve import carve
from apps.engine.matting.quantise import quantise
from apps.engine.matting.selftest import prove

RANGES = Path(__file__).with_name("ranges")
ISNET_SIDE = 1024


def _u2net(name: str, source: Path, out: Path) -> None:
    _carved(name, source, out, None)


def _isnet(name: str, source: Path, out: Path) -> None:
    _carved(name, source, out, ISNET_SIDE)


def _carved(name: str, source: Path, out: Path, fixed_side: int | None) -> None:
    model = carve(source / f"{name}.onnx", fixed_side=fixed_side)
    onnx.save(model, str(out / "model.onnx"))
    # No ranges are shipped for U²-Net-P: small networks lose their sense in eight bits.
    ranges = RANGES / f"{name}.json"
    if ranges.is_file():
        quantise(model, ranges, out / "model.int8.onnx")


def _modnet(name: str, source: Path, out: Path) -> None:
    shutil.copyfile(source / f"{name}.onnx", out / "model.onnx")
    # Eight bits in its slender encoder cost whole limbs. Its decoder, whose convolutions are all followed by a
    # normalisation, gives the same matte to a thousandth or two, and is most of the work.
    quantise(carve(out / "model.onnx"), RANGES / f"{name}.json", out / "model.int8.onnx", only_measured=True)


def _rvm(name: str, source: Path, out: Path) -> None:
    rvm_convert.convert(source, out / "model.onnx")


PREPARATIONS: dict[str, Callable[[str, Path, Path], None]] = {
    "u2net": _u2net,
    "isnet": _isnet,
    "modnet": _modnet,
    "rvm": _rvm,
}


def main(arguments: list[str]) -> int:
    path, name, source, out = arguments
    network = manifest.read(Path(path))[name]
    PREPARATIONS[network.preparation](name, Path(source), Path(out))
    try:
        result = prove(network.preparation, Path(out), network.self_test)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (Path(out) / "self_test.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
