"""A tiny network inside fake carriers, and an installation of it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import textwrap
import zipfile
from pathlib import Path

from apps.engine.matting import weights

ROOT = Path(__file__).resolve().parents[2]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel_of(bare: bytes) -> bytes:
    """A wheel that pip accepts; its code would leave a mark if anybody ran it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("carrier/__init__.py", "raise SystemExit('carrier code was run')\n")
        archive.writestr("carrier/tiny.onnx", bare)
        archive.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr(
            "carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("carrier-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


def tarball_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_manifest(
    folder: Path,
    *,
    carrier: bytes,
    bare: bytes,
    means: list[float],
    kind: str = "pypi",
    member: str = "carrier/tiny.onnx",
) -> Path:
    package, file = {
        "pypi": ("carrier==1.0", "carrier-1.0-py3-none-any.whl"),
        "npm": ("@house/carrier@1.0.0", "house-carrier-1.0.0.tgz"),
        "url": ("http://127.0.0.1:9/tiny.onnx", "tiny.onnx"),
    }[kind]
    path = folder / "weights.toml"
    path.write_text(
        textwrap.dedent(f"""
        [networks.tiny]
        title = "Tiny"
        licence = "MIT"
        licence_note = ""
        is_permissive = true
        notice = "Made in a test."
        revision = 1
        preparation = "u2net"
        self_test = {{ side = 64, means = {means} }}

        [[networks.tiny.sources]]
        kind = "{kind}"
        package = "{package}"
        file = "{file}"
        bytes = {len(carrier)}
        sha256 = "{sha256(carrier)}"
        licence = "MIT"
        files = [{{ name = "tiny.onnx", member = "{member}", bytes = {len(bare)}, sha256 = "{sha256(bare)}" }}]
        """),
        encoding="utf-8",
    )
    return path


class House:
    """A model folder, a source folder and a manifest of one network."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.models, self.sources, self.manifest = folder / "models", folder / "sources", path
        self.sources.mkdir()
        self.said: list[str] = []

    def install(self, *, local: bool = True, from_url: bool = False) -> None:
        source_dir = self.sources if local else None
        weights.install(
            ["tiny"],
            models_dir=self.models,
            source_dir=source_dir,
            from_url=from_url,
            report=self.said.append,
            manifest=self.manifest,
        )

    @property
    def status(self) -> weights.NetworkStatus:
        return weights.status(self.models, manifest=self.manifest)[0]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.models.iterdir())
