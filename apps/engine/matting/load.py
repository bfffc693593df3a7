"""load(): weights into memory, by public model name. Imports the heavy libraries; ask `weights` for what is installed."""

from __future__ import annotations

from pathlib import Path

from apps.engine.errors import BadOptions
from apps.engine.matting.base import Model
from apps.engine.matting.chroma import ChromaModel


def load(name: str, *, models_dir: Path, device: str = "auto", threads: int = 0, permissive: bool = False) -> Model:
    if name == "chroma":
        return ChromaModel()
    raise BadOptions(f"model must be one of chroma; not {name}.", param="model")
