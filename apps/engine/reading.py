"""Strict readers of single values, whoever sends them: what is not exactly right is refused by its dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.engine.errors import BadOptions


def number(value: Any, param: str, low: float, high: float, *, unit: str = "") -> float:
    """A number within these bounds; text, true and NaN are none."""
    # Compared before it is converted: JSON may hold integers that no float can.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadOptions(f"{param} must be a number from {low:,} to {high:,}{unit and f' {unit}'}.", param=param)
    return float(value)


def whole(value: Any, param: str, low: int, high: int, *, unit: str = "") -> int:
    """A number without a fraction within these bounds; 640.0 is 640."""
    if not number(value, param, low, high, unit=unit).is_integer():
        raise BadOptions(f"{param} must be a whole number{unit and f' of {unit}'}.", param=param)
    return int(value)


def entries(value: Any, param: str, known: tuple[str, ...]) -> dict[str, Any]:
    """What an object holds, without what is null; an unknown name is refused, null or not."""
    if not isinstance(value, Mapping):
        raise BadOptions(f"{param} must be an object with {', '.join(known)}.", param=param)
    for name in value:
        if name not in known:
            raise BadOptions(f"Unknown field {param}.{name}. Known here: {', '.join(known)}.", param=f"{param}.{name}")
    return {name: entry for name, entry in value.items() if entry is not None}
