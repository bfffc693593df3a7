"""A project's defaults on the page: what they preselect, what they add unseen, what another project changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.engine.composition import Composition
from apps.engine.options import MODELS, Options
from apps.errors import AppError
from apps.jobs.choices import FORMAT_LABELS
from apps.jobs.options import JobRequest, parse_request
from apps.projects.models import Asset, Project

PLAIN = {
    "model": MODELS[0], "output_format": "webm", "bg_type": "transparent", "bg_color": "#09a246", "fit": "cover",
    "anchor": Composition().anchor,
}  # fmt: skip
"""Chosen when a new page opens and its project says nothing else."""
UNSEEN = ("on_limit", "keep_audio", "webhook_url")
"""Fields of the contract that the page has no control for."""
BACKGROUND = ("bg_type", "bg_color", "bg_image_id", "fit")
CANVAS = ("canvas_width", "canvas_height", "anchor", "scale", "offset_x", "offset_y")
LABELS = {
    "model": "Model", "output_format": "Format", "background": "Background", "choke_px": "Shrink the edge",
    "feather_px": "Soften the edge", "despill": "The wall's light", "canvas": "Canvas",
}  # fmt: skip
TOGETHER = {"background": BACKGROUND, "canvas": CANVAS}
"""What is one choice to a person → the page's fields for it."""
TOLD_FITS = {"contain": ", shown whole", "stretch": ", stretched"}


@dataclass(frozen=True, slots=True)
class Presets:
    """`choices` by the page's names; `beyond` is what the page cannot show, in the contract's words."""

    choices: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why the defaults cannot be used; then they count as none."""


@dataclass(frozen=True, slots=True)
class Change:
    """What another project does to one choice; `kept` when a choice of the person's own stands against it."""

    label: str
    before: str
    after: str
    kept: bool = False


def presets_of(project: Project) -> Presets:
    if not project.defaults:
        return Presets()
    try:
        request = parse_request(project.defaults, needs_video=False)
    except AppError as refusal:
        return Presets(problem=refusal.message)
    given = request.requested
    choices: dict[str, str] = {name: str(given[name]) for name in ("model", "output_format") if name in given}
    choices |= _background(request) | shape_of(request.options)
    beyond = {name: given[name] for name in UNSEEN if name in given}
    if request.background_url:
        beyond["bg_image_url"] = request.background_url
    return Presets(choices, beyond)


def shape_of(options: Options) -> dict[str, str]:
    """The choices of edge and canvas; what stands at its default is left out."""
    plain = _shape(Options())
    return {name: value for name, value in _shape(options).items() if value != plain[name]}


def _shape(options: Options) -> dict[str, str]:
    composition = options.composition
    numbers: dict[str, float] = dict(zip(("canvas_width", "canvas_height"), composition.canvas or (), strict=False))
    numbers |= {"scale": composition.scale, **dict(zip(("offset_x", "offset_y"), composition.offset, strict=True))}
    numbers |= options.edge.as_dict()
    told = {name: f"{value:.10g}" for name, value in numbers.items()}
    return {"canvas_width": "", "canvas_height": "", "anchor": composition.anchor, **told}


def switch(choices: Mapping[str, Any], before: Project, after: Project) -> tuple[dict[str, str], list[Change]]:
    """The choices when the project changes, and what to say of it.

    What stood as the old project had it goes over to the new one. A choice
    that the person made otherwise stays, and it is said that it does.
    """
    old, new = PLAIN | presets_of(before).choices, PLAIN | presets_of(after).choices
    now = {name: str(choices.get(name) or "").lower() for name in (*BACKGROUND, *CANVAS, *LABELS)}
    result: dict[str, str] = {}
    said = []
    for name, label in LABELS.items():
        fields = TOGETHER.get(name, (name,))
        is_, was, will = (_seen(name, source) for source in (now, old, new))
        if is_ == was:
            result |= {field: new.get(field, "") for field in fields}
        kept = is_ != was
        if (kept and will != was and is_ != will) or (not kept and is_ != will):
            said.append(Change(label, _told(name, is_), _told(name, will), kept))
    return result, said


def _background(request: JobRequest) -> dict[str, str]:
    background = request.options.background
    if not {"background", "bg_type"} & set(request.requested):
        return {}
    choices = {"bg_type": background.type}
    if background.color:
        choices["bg_color"] = "#{:02x}{:02x}{:02x}".format(*background.color)
    if background.type == "image":
        choices["fit"] = background.fit
    if request.background_id:
        choices["bg_image_id"] = request.background_id
    return choices


def _seen(name: str, choices: Mapping[str, str]) -> tuple[str, ...]:
    """One choice as it counts: of a background only what its kind uses."""
    if name != "background":
        return tuple(choices.get(field, "") for field in TOGETHER.get(name, (name,)))
    kind = choices.get("bg_type") or "transparent"
    return (
        kind,
        *(choices.get(field, "") for field in {"color": ("bg_color",), "image": ("bg_image_id", "fit")}.get(kind, ())),
    )


def _told(name: str, value: tuple[str, ...]) -> str:
    """One choice in a person's words."""
    first = value[0]
    if name == "background":
        if first == "image":
            picture = Asset.objects.filter(pk=value[1]).first() if value[1] else None
            return f"{f'the picture {picture.filename}' if picture else 'a picture'}{TOLD_FITS.get(value[2], '')}"
        return f"the colour {value[1]}" if first == "color" else first
    if name == "canvas":
        return _told_canvas(value)
    if name == "output_format":
        return FORMAT_LABELS.get(first, first)
    return first or "as usual"


def _told_canvas(value: tuple[str, ...]) -> str:
    width, height, anchor, scale, right, down = value
    told = [f"{width} × {height}" if width else "", "" if anchor == PLAIN["anchor"] else anchor]
    told += [f"scale {scale}" if scale else "", f"{right or 0} right, {down or 0} down" if right or down else ""]
    return ", ".join(word for word in told if word) or "as the clip"
