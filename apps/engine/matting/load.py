"""load(): weights into memory, by public model name. Heavy to import; ask `weights` for what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from apps.engine.errors import BadOptions
from apps.engine.matting import models, weights
from apps.engine.matting.base import Model
from apps.engine.matting.chroma import ChromaModel
from apps.engine.matting.opening import Opener

BUILDERS: dict[tuple[str, bool], Callable[..., Model]] = {
    ("original", False): models.original,
    ("original", True): models.original,
    ("light", False): models.light,
    ("light", True): models.light,
    ("human", False): models.human,
    ("human", True): models.human_permissive,
    ("pro", False): models.pro,
    ("pro", True): models.pro_permissive,
}
"""By name and licence setting; each takes the networks that `weights.needed_by` names, in that order."""


def load(
    name: str,
    *,
    models_dir: Path,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    permissive: bool = False,
    without: frozenset[str] = frozenset(),
) -> Model:
    """The model under this name. A network that is not here is ModelNotInstalled, never replaced by another.

    `without` names stages (see `stages`) to leave out, for measuring.
    """
    if name == "chroma":
        return ChromaModel()
    if (name, permissive) not in BUILDERS:
        known = ", ".join([*weights.NEEDS, "chroma"])
        raise BadOptions(f"model must be one of {known}.", param="model")
    opener = Opener(models_dir, device=device, threads=threads, precision=precision)
    needed = weights.needed_by(name, permissive=permissive)
    opener.require(needed)
    return BUILDERS[name, permissive](*[opener.open(network) for network in needed], without=without)
