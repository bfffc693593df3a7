"""Installing networks for an operator: which are wanted, what their licences ask, and trying again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from django.conf import settings

from apps.engine.errors import EngineError
from apps.engine.matting import weights
from apps.engine.options import MODELS

PAUSES = (15, 30, 60, 120, 300, 900)
"""Seconds between rounds when something could not be fetched."""

Say = Callable[[str], None]


def is_permissive() -> bool:
    return bool(settings.MODEL_LICENCES == "permissive")


def resolve(names: Iterable[str]) -> list[str]:
    """Network names of what an operator typed: networks, models, `all`; nothing typed means all that is in use."""
    known = weights.networks()
    found: list[str] = []
    for name in names:
        if name in known:
            found.append(name)
        elif name in MODELS:
            found += weights.needed_by(name, permissive=is_permissive())
        elif name == "all":
            found += weights.all_needed(permissive=is_permissive())
        else:
            choices = ", ".join((*MODELS, *known, "all"))
            raise ValueError(f"There is no model or network {name!r}. Choose from: {choices}.")
    return list(dict.fromkeys(found)) or list(weights.all_needed(permissive=is_permissive()))


def missing(names: Iterable[str]) -> list[str]:
    """Those that are not here as this version of the software prepares them."""
    rows = weights.status(Path(settings.MODELS_DIR))
    installed = {row.name for row in rows if row.installed and not row.is_outdated}
    return [name for name in names if name not in installed]


def licence_notes(names: Iterable[str]) -> list[str]:
    """What an operator should know before anything is fetched: every licence that is not permissive."""
    known = weights.networks()
    return [
        f"{known[name].title} ({name}): {known[name].licence}. {known[name].licence_note}"
        for name in names
        if not known[name].is_permissive
    ]


def install_round(names: Sequence[str], *, from_url: bool, say: Say) -> dict[str, str]:
    """Try each once, so that one that fails does not keep the others away; returns what failed and why."""
    failed: dict[str, str] = {}
    for index, name in enumerate(names, 1):
        try:
            weights.install(
                [name],
                then=names[index:],
                models_dir=Path(settings.MODELS_DIR),
                source_dir=Path(settings.MODEL_SOURCE_DIR) if settings.MODEL_SOURCE_DIR else None,
                from_url=from_url,
                report=say,
            )
        except (EngineError, OSError) as error:
            failed[name] = str(error)
            say(f"{name}: could not be installed: {error}")
    return failed


def install(names: Sequence[str], *, from_url: bool, keep_trying: bool, say: Say) -> dict[str, str]:
    """Install what is not here yet; with `keep_trying` until all of it is. Returns what failed in the end."""
    wanted = missing(names)
    for note in licence_notes(wanted):
        say(f"licence: {note}")
    rounds = 0
    failed = install_round(wanted, from_url=from_url, say=say)
    while failed and keep_trying:
        pause = PAUSES[min(rounds, len(PAUSES) - 1)]
        say(f"Not installed: {', '.join(failed)}. Trying again in {pause} s; the site keeps running with what it has.")
        time.sleep(pause)
        rounds += 1
        failed = install_round(list(failed), from_url=from_url, say=say)
    return failed
