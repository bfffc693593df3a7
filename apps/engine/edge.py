"""What may be asked of a matte's edge. The arithmetic is in compose.py."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from apps.engine.reading import entries, number

MAX_FEATHER = 20
MAX_CHOKE = 10
"""Pixels of the source; more would be another shape, not another edge."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The defaults leave the model's matte as it is, to the bit. Lengths are pixels of the source, fractions count.

    `feather_px`: how far the edge's softness reaches into the subject; nothing is gained outside.
    `choke_px`: by how much the matte shrinks; a negative one grows it.
    `despill`: how much of a green or blue wall's light is taken off the subject.
    """

    feather_px: float = 0.0
    choke_px: float = 0.0
    despill: float = 1.0

    @property
    def reshapes(self) -> bool:
        """Whether the delivered alpha is another than the model's."""
        return self.feather_px > 0 or self.choke_px != 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


AS_IT_IS = Edge()


def parse_edge(value: Any) -> Edge:
    """`{feather_px, choke_px, despill}`; each may be left out."""
    if value is None:
        return AS_IT_IS
    given = entries(value, "edge", ("feather_px", "choke_px", "despill"))
    return Edge(
        feather_px=number(given.get("feather_px", 0), "edge.feather_px", 0, MAX_FEATHER, unit="pixels"),
        choke_px=number(given.get("choke_px", 0), "edge.choke_px", -MAX_CHOKE, MAX_CHOKE, unit="pixels"),
        despill=number(given.get("despill", 1), "edge.despill", 0, 1),
    )
