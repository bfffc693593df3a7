"""What will be made of one clip: the only place that judges what a format can hold, for prices and for the work."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from apps.engine.composition import Layout, lay_out
from apps.engine.edge import Edge
from apps.engine.errors import BadOptions, LimitExceeded
from apps.engine.formats import FORMATS, Format
from apps.engine.options import Background, Options, Trim, kept_seconds
from apps.engine.report import Facts, Notice

PREVIEW_SIDE = 640
"""Pixels that the longer side of a preview may have."""

SPARE_FPS = 0.1
"""Rates are measured: 50.02 frames a second are 50."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for, within what the format can hold."""

    trim: Trim | None
    seconds: float
    """Kept, and billed unless it is a preview."""
    layout: Layout
    background: Background
    edge: Edge
    keep_every: int
    """One frame of so many is kept."""
    frames: int
    """About how many will be written."""
    notices: tuple[Notice, ...]
    """What is done otherwise than asked."""


def make_plan(facts: Facts, options: Options) -> Plan:
    """Refused with the way out, or with `on_limit` reduce brought within the limits and told."""
    row = FORMATS[options.format]
    seconds = kept_seconds(options, facts.duration)
    if seconds <= 0:
        message = f"trim.start lies beyond the end of the video, which is {facts.duration:.2f} s long."
        raise BadOptions(message, param="trim.start")
    layout = lay_out(options.composition, facts.width, facts.height)
    trim = options.trim
    if options.preview_duration is not None:
        trim, seconds = _beginning(trim, seconds, options.preview_duration)
        layout = layout.shrunk(min(1.0, PREVIEW_SIDE / max(layout.width, layout.height)))
    notices: list[Notice] = []
    trim, seconds = _within_seconds(row, options, trim, seconds, notices)
    every = _within_rate(row, options, facts.fps, notices)
    return Plan(
        trim=trim,
        seconds=seconds,
        layout=_within_size(row, options, layout, notices),
        background=Background() if row.shows_matte else options.background,
        edge=_possible_edge(row, options, notices),
        keep_every=every,
        frames=max(1, round(facts.frames * seconds / facts.duration / every)),
        notices=tuple(notices),
    )


def _beginning(trim: Trim | None, seconds: float, most: float) -> tuple[Trim | None, float]:
    """The first `most` of the kept seconds."""
    if seconds <= most:
        return trim, seconds
    start = trim[0] if trim else 0.0
    return (start, round(start + most, 6)), most


def _within_seconds(
    row: Format, options: Options, trim: Trim | None, seconds: float, notices: list[Notice]
) -> tuple[Trim | None, float]:
    most = row.max_seconds
    if most is None or seconds <= most:
        return trim, seconds
    if not options.may_reduce:
        raise LimitExceeded(
            f"{row.name} holds at most {most:g} s and this keeps {seconds:.2f} s: "
            f'add "trim": {{"start": 0, "end": {most:g}}}, or "on_limit": "reduce", or choose webm.',
            param="output_format",
        )
    text = f"{row.name} holds at most {most:g} s: the first {most:g} of {seconds:.2f} s were kept, and billed."
    notices.append(Notice("cut_to_limit", text))
    return _beginning(trim, seconds, most)


def _within_size(row: Format, options: Options, layout: Layout, notices: list[Notice]) -> Layout:
    most = row.max_short_side
    short = min(layout.width, layout.height)
    if most is None or short <= most:
        return layout
    if not options.may_reduce:
        raise LimitExceeded(
            f"{row.name} goes up to a short side of {most} px and this result's is {short} px: "
            f'set "composition.canvas" smaller, or "on_limit": "reduce", or choose webm or png_sequence.',
            param="output_format",
        )
    reduced = layout.shrunk(most / short)
    sizes = f"{layout.width} × {layout.height} became {reduced.width} × {reduced.height}"
    notices.append(Notice("scaled_to_limit", f"{row.name} goes up to a short side of {most} px: {sizes}."))
    return reduced


def _within_rate(row: Format, options: Options, fps: float, notices: list[Notice]) -> int:
    most = row.max_fps
    if most is None or fps <= most + SPARE_FPS:
        return 1
    browsers = f"Browsers show at most {most} {row.name} frames a second"
    if not options.may_reduce:
        notices.append(Notice(f"{row.name}_too_fast", f"{browsers}; with on_limit reduce some are left out."))
        return 1
    every = math.ceil((fps - SPARE_FPS) / most)
    notices.append(
        Notice("thinned_to_limit", f"{browsers}: one frame of {every} was kept, {fps / every:.3g} a second.")
    )
    return every


def _possible_edge(row: Format, options: Options, notices: list[Notice]) -> Edge:
    if row.soft_edges or options.is_opaque or not options.edge.feather_px:
        return options.edge
    notices.append(Notice("feather_dropped", f"{row.name} has no soft edges: feather_px was left out."))
    return replace(options.edge, feather_px=0.0)
