"""The folder that was given: its sequences, what each of them tests, and the program that judges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """Something that whoever runs the bench can mend."""


ROLES: dict[str, frozenset[str]] = {
    "scene cut": frozenset({"scene-cut"}),
    "empty first frames": frozenset({"empty-first-frames"}),
    "fast motion": frozenset({"very-fast-motion", "fast-arms"}),
    "glass": frozenset({"glass"}),
}
"""What is shown by itself, by the tags that tell it."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class Clip:
    """One sequence: a clip, its exact matte, and the subject's true colours of some frames."""

    name: str
    folder: Path
    group: str
    tags: frozenset[str]
    cuts: tuple[int, ...]
    frames: int
    pixels: int
    """Of the whole clip: how long it takes to measure."""

    @property
    def source(self) -> Path:
        return self.folder / "input.mp4"

    @property
    def truth(self) -> Path:
        return self.folder / "alpha.mkv"


@dataclass(frozen=True, slots=True)
class Bench:
    judge: Path
    """score.py"""
    clips: tuple[Clip, ...]


def open_bench(given: Path) -> Bench:
    """`given` holds the sequences, or a folder `dev` that does; score.py lies beside either."""
    if not given.is_dir():
        raise BenchError(f"BENCH={given} is not a folder.")
    folders = [given, given / "dev"]
    clips = next((found for folder in folders if (found := _clips_in(folder))), [])
    if not clips:
        raise BenchError(f"BENCH={given} has no sequences: folders with input.mp4, alpha.mkv and meta.json.")
    judges = [folder / "score.py" for folder in (given, given.resolve().parent)]
    judge = next((path for path in judges if path.is_file()), None)
    if judge is None:
        raise BenchError(f"score.py is neither in BENCH={given} nor in the folder above it.")
    return Bench(judge.resolve(), tuple(clips))


def _clips_in(folder: Path) -> list[Clip]:
    return [_read(path.parent) for path in sorted(folder.glob("*/meta.json"))] if folder.is_dir() else []


def _read(folder: Path) -> Clip:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        clip = Clip(
            name=folder.name,
            folder=folder.resolve(),
            group=meta["group"],
            tags=frozenset(meta.get("tags", ())),
            cuts=tuple(meta.get("cuts", ())),
            frames=meta["frames"],
            pixels=meta["frames"] * meta["width"] * meta["height"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{folder}/meta.json cannot be read: {error!r}") from error
    for path in (clip.source, clip.truth):
        if not path.is_file():
            raise BenchError(f"{path} is missing.")
    return clip


def choose(clips: Iterable[Clip], wanted: Sequence[str]) -> list[Clip]:
    """Those whose name, group, tag or role is wanted; without a wish, all."""
    clips = list(clips)
    if not wanted:
        return clips
    unknown = [word for word in wanted if not any(_is(clip, word) for clip in clips)]
    if unknown:
        raise BenchError(f"ONLY={','.join(unknown)} is no name, group, tag or role of a sequence here.")
    return [clip for clip in clips if any(_is(clip, word) for word in wanted)]


def _is(clip: Clip, word: str) -> bool:
    return word in (clip.name, clip.group) or word in clip.tags or bool(clip.tags & ROLES.get(word, frozenset()))


def quickest_of_each_group(clips: Iterable[Clip]) -> list[Clip]:
    quickest: dict[str, Clip] = {}
    for clip in sorted(clips, key=lambda clip: clip.pixels):
        quickest.setdefault(clip.group, clip)
    return sorted(quickest.values(), key=lambda clip: clip.name)


def scopes(clips: Iterable[Clip]) -> dict[str, list[str]]:
    """The names of the clips that each table is about: every group, all of them, and every role that is there."""
    clips = list(clips)
    found = {group: [clip.name for clip in clips if clip.group == group] for group in sorted({c.group for c in clips})}
    found[ALL] = [clip.name for clip in clips]
    for role, tags in ROLES.items():
        if names := [clip.name for clip in clips if clip.tags & tags]:
            found[role] = names
    return found
