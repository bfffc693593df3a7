"""The manifest of weights (weights.toml) as typed rows. Light to import."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).with_name("weights.toml")

CARRIER_NAMES = {"pypi": "PyPI package", "npm": "npm package", "url": "release file"}


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of bare weights, and where in the carrier it is (empty: the carrier is the file)."""

    name: str
    bytes: int
    sha256: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One carrier of a network's weights."""

    kind: str
    package: str
    """`name==version`, `@scope/name@version`, or the URL."""
    file: str
    bytes: int
    sha256: str
    licence: str
    files: tuple[WeightFile, ...]

    @property
    def label(self) -> str:
        return f"{CARRIER_NAMES[self.kind]} {self.package}"


@dataclass(frozen=True, slots=True)
class Network:
    """What an operator may want to know of a network before fetching it."""

    name: str
    title: str
    licence: str
    licence_note: str
    is_permissive: bool
    notice: str
    revision: int
    usable_from: int
    """The earliest revision with which this version of the software still works until it is prepared anew."""
    preparation: str
    self_test: dict[str, Any]
    """`side` to run at, and the `means` of alpha over the drawn scenes."""
    sources: tuple[Source, ...]

    @property
    def source(self) -> str:
        first = self.sources[0]
        return f"{first.label} ({first.licence})"

    @property
    def size(self) -> int:
        """Bytes that installing it downloads."""
        return self.sources[0].bytes

    @property
    def version(self) -> str:
        """The weights' short hash and our preparation's revision."""
        return f"{self.sources[0].files[0].sha256[:8]}.{self.revision}"


@dataclass(frozen=True, slots=True)
class NodeWheel:
    """The PyPI wheel that carries npm."""

    package: str
    sha256: tuple[str, ...]
    bytes: int


@cache
def read(path: Path = MANIFEST) -> dict[str, Network]:
    """Networks by name, in the order in which they are worth installing."""
    rows = _parsed(path)["networks"]
    return {name: _network(name, row) for name, row in rows.items()}


@cache
def node_wheel(path: Path = MANIFEST) -> NodeWheel:
    row = _parsed(path)["tools"]["npm"]
    return NodeWheel(row["package"], tuple(row["sha256"]), row["bytes"])


def _parsed(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


def _network(name: str, row: dict[str, Any]) -> Network:
    sources = tuple(
        Source(**{**source, "files": tuple(WeightFile(**file) for file in source["files"])})
        for source in row.pop("sources")
    )
    return Network(name=name, sources=sources, usable_from=row.pop("usable_from", row["revision"]), **row)
