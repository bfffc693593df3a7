"""About how large a result, and all that the work on it writes, will be: from what results weighed."""

from __future__ import annotations

from dataclasses import dataclass

from apps.engine.formats import FORMATS
from apps.engine.options import Options
from apps.engine.plan import PREVIEW_SIDE, Plan
from apps.engine.report import Facts

REFERENCE_PIXELS = 480 * 270

MARGIN = 1.4
"""Over and under the heaviest and the lightest clip that was weighed: others differ more."""

PCM_BYTES = 2
"""Of one sample of one channel, in `mov` and `png_sequence`."""

SOUND_BYTES = (4_000, 40_000)
"""Of a second of compressed sound: from speech in mono to what the best cameras write."""


MATTE_BYTES, MATTE_FALLS = 0.05, 0.3
PREVIEW_BYTES = 0.09
"""Per pixel and frame of the lossless matte, at the reference size, and of the preview: twice the demo's."""

RECORD_BYTES = 6_000
"""Of a frame's small picture, twice the demo's."""

FIXED_BYTES = 2_000_000
"""Log, poster, newest frame."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes per pixel and frame of the lightest and the heaviest clip at 480 × 270.

    Weighed were ten clips of people, animals and things, over nothing, a
    colour and a photograph. Larger frames weigh less a pixel: with the number
    of pixels to the power of minus `falls`.
    """

    transparent: tuple[float, float]
    opaque: tuple[float, float]
    falls: float
    may_be_pcm: bool = False


WEIGHTS = {
    "webm": Weight((0.037, 0.147), (0.0099, 0.086), 0.40),
    "mov": Weight((0.28, 1.01), (0.19, 1.47), 0.27, may_be_pcm=True),
    "mp4": Weight((0.0086, 0.098), (0.0086, 0.098), 0.40),
    "gif": Weight((0.061, 0.305), (0.077, 0.77), 0.13),
    "webp": Weight((0.048, 0.191), (0.025, 0.38), 0.33),
    "png_sequence": Weight((0.45, 1.34), (0.199, 1.86), 0.22, may_be_pcm=True),
    "stacked_mp4": Weight((0.0237, 0.1175), (0.0209, 0.098), 0.40),
    "matte_mp4": Weight((0.0175, 0.067), (0.0175, 0.067), 0.48),
}


def output_bytes(plan: Plan, options: Options, facts: Facts) -> tuple[int, int]:
    """(low, high) of the result's bytes; the matte and the preview that lie beside it are not in it."""
    weight = WEIGHTS[options.format]
    pixels = plan.layout.width * plan.layout.height
    shrink = (pixels / REFERENCE_PIXELS) ** -weight.falls
    lightest, heaviest = weight.transparent if plan.background.type == "transparent" else weight.opaque
    sound = _sound(weight, plan, options, facts)
    low = plan.frames * pixels * lightest * shrink / MARGIN + sound[0]
    high = plan.frames * pixels * heaviest * shrink * MARGIN + sound[1]
    return round(low), round(high)


def _sound(weight: Weight, plan: Plan, options: Options, facts: Facts) -> tuple[float, float]:
    if not (facts.has_audio and options.keep_audio and FORMATS[options.format].audio):
        return 0.0, 0.0
    low, high = SOUND_BYTES
    if weight.may_be_pcm:
        high = (facts.audio_rate or 48_000) * (facts.audio_channels or 2) * PCM_BYTES
    return plan.seconds * low, plan.seconds * high


def work_bytes(plan: Plan, options: Options, facts: Facts) -> int:
    """About the most that the work writes beside its source: result, matte, preview, what it needs on the way."""
    layout = plan.layout
    matted = _matte_bytes(facts.width * facts.height)
    if plan.edge.reshapes or not layout.is_plain(facts.width, facts.height):
        # A second one, to prove the result by.
        matted += _matte_bytes(layout.width * layout.height)
    small = layout.shrunk(min(1.0, PREVIEW_SIDE / max(layout.width, layout.height)))
    a_frame = matted + PREVIEW_BYTES * small.width * small.height + RECORD_BYTES
    return round(output_bytes(plan, options, facts)[1] + plan.frames * a_frame + FIXED_BYTES)


def _matte_bytes(pixels: int) -> float:
    return float(MATTE_BYTES * pixels * (pixels / REFERENCE_PIXELS) ** -MATTE_FALLS)
