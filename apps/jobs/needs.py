"""What a job needs of the worker that takes it. Each need has a queue of its own, by the same name.

`preview`: somebody waits before the screen, for seconds of work. `gpu`: a model that gains from a GPU; a CPU can do it.
`cpu`: the rest. Which workers take what is said where they are started (WORKER_QUEUES, or rqworker's arguments).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.conf import settings

from apps.engine.options import Options

PREVIEW, CPU, GPU = "preview", "cpu", "gpu"

NEEDS = (PREVIEW, CPU, GPU)

LIGHT = ("light", "chroma")
"""Models whose networks are so small that decoding and encoding, which a GPU does not do here, are most of the work."""

_heard: list[tuple[str, ...]] = []


def need_of(options: Options) -> str:
    if options.is_preview:
        return PREVIEW
    return CPU if options.model in LIGHT else GPU


def among(queues: Collection[str]) -> tuple[str, ...]:
    """The needs among these queues, in their order."""
    return tuple(name for name in queues if name in NEEDS)


def listen(queues: Sequence[str]) -> None:
    """By a worker, of itself: what it takes from now on."""
    _heard[:] = [among(queues)]


def heard() -> tuple[str, ...]:
    """What this process takes."""
    return _heard[0] if _heard else among(settings.WORKER_QUEUES)


def preference(needs: Sequence[str]) -> dict[str, int]:
    """How far down its list each need is for a worker. One that takes everything as it comes prefers nothing."""
    if tuple(needs) == NEEDS:
        return dict.fromkeys(needs, 0)
    long = [need for need in needs if need != PREVIEW]
    return {need: 0 if need == PREVIEW else long.index(need) for need in needs}
