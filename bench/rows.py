"""What is compared: the models, each without one of its stages or with perfect networks, the bare networks, rembg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.engine.matting import stages, weights
from bench.folder import BenchError
from bench.raw import NETWORKS

MODEL, ORACLE, RAW, REMBG, WITHOUT = "model", "oracle", "raw", "rembg", "without"

FORGETFUL = ("light", "original")
"""Models whose networks know nothing of other frames, so that the truth can speak in their place."""

SHARE_PROMISED = ("original", "light")
"""Models whose matte stage must stay below a share of bare U²-Net's."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables. `target` is a public model's name or a network's."""

    name: str
    kind: str
    target: str
    is_permissive: bool = False
    without: str = ""

    @property
    def of(self) -> str:
        """The model that this row is an ablation of; its own name otherwise."""
        return self.name.partition(" without ")[0]

    @property
    def networks(self) -> tuple[str, ...]:
        if self.kind in (RAW, REMBG):
            return (self.target,)
        return weights.needed_by(self.target, permissive=self.is_permissive)


MODELS = {
    **{name: Row(name, MODEL, name) for name in weights.NEEDS},
    **{
        f"{name}-permissive": Row(f"{name}-permissive", MODEL, name, is_permissive=True)
        for name in weights.NEEDS
        if weights.PERMISSIVE_NEEDS[name] != weights.NEEDS[name]
    },
}
PEERS = {
    **{f"{model} told the truth": Row(f"{model} told the truth", ORACLE, model) for model in FORGETFUL},
    **{f"raw-{network}": Row(f"raw-{network}", RAW, network) for network in NETWORKS},
    "rembg": Row("rembg", REMBG, "u2net"),
}
CHROMA = Row("chroma", MODEL, "chroma")
"""Without weights; only when it is named."""


def plan(wanted: Sequence[str]) -> list[Row]:
    """The rows in the order in which they are measured; without a wish, all."""
    known = {**MODELS, **PEERS, "chroma": CHROMA}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise BenchError(f"MODELS={','.join(unknown)} is unknown. Known: {', '.join(known)}.")
    return [known[name] for name in wanted] if wanted else [*MODELS.values(), *PEERS.values()]


def ablations(rows: Sequence[Row], wanted: Sequence[str]) -> list[Row]:
    """Each of these models without each of its stages; without a wish, every model among the rows."""
    models = [row.name for row in rows if row.kind == MODEL and row.target in weights.NEEDS]
    if unknown := [name for name in wanted if name not in models]:
        those = f"Measured are: {', '.join(models)}." if models else "None that has stages is: name one in MODELS too."
        raise BenchError(f"ABLATE={','.join(unknown)} is no model that is measured here. {those}")
    return [one for row in rows if row.name in (wanted or models) for one in _ablations(row)]


def _ablations(row: Row) -> list[Row]:
    return [
        Row(f"{row.name} without {stage}", WITHOUT, row.target, row.is_permissive, stage)
        for stage in stages.of(row.target, row.is_permissive)
    ]
