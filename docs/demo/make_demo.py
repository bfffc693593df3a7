"""Make the demo clip: an astronaut swaying before drifting lights, with music, and the exact matte of every frame.

The portrait is NASA's of Eileen Collins (public domain; the picture that scikit-image carries), cut out once by hand
into astronaut.png and cropped above the helmet she holds. Everything else is drawn here, the same on every run.

    python docs/demo/make_demo.py docs/demo/demo.mp4 [--matte matte.mkv]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE, FRAMES = 640, 360, 25, 100
SOUND_RATE = 48_000
SECONDS = FRAMES / RATE
PORTRAIT = Path(__file__).with_name("astronaut.png")

SUPERSAMPLING = 2
SUNK_PX = 14  # how far the portrait's lower edge stays below the frame, so that no sway lifts it into view
SEED = 1995  # the year of her first flight

Picture = NDArray[np.uint8]
Layer = NDArray[np.float32]


def portrait() -> Layer:
    """Premultiplied RGBA, 0..1."""
    read = cv2.imread(str(PORTRAIT), cv2.IMREAD_UNCHANGED)
    if read is None:
        raise FileNotFoundError(PORTRAIT)
    layer: Layer = cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    return layer


def placed(layer: Layer, second: float) -> Layer:
    """The portrait in its place at one moment: panned, swayed about the lower edge, breathing."""
    height, width = layer.shape[:2]
    turn = 2 * np.pi * second / SECONDS
    angle = np.radians(1.6 * np.sin(turn + 0.4))
    scale = 1.03 + 0.007 * np.sin(2 * turn)
    right = WIDTH / 2 + 44 * np.sin(turn) + 5 * np.sin(3 * turn + 1)
    down = HEIGHT + SUNK_PX + 2 * np.sin(2 * turn + 0.7)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x, y = width / 2, float(height)
    matrix = np.array([[cos, -sin, right - cos * x + sin * y], [sin, cos, down - sin * x - cos * y]])
    size = (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING)
    fine = cv2.warpAffine(layer, matrix * SUPERSAMPLING, size, flags=cv2.INTER_CUBIC)
    result: Layer = np.clip(cv2.resize(fine, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), 0, 1).astype(np.float32)
    return result


def wall(random: np.random.Generator) -> Layer:
    """A wide soft backdrop to drift over: a gradient with cloudy texture in four sizes."""
    width, height = WIDTH + 160, HEIGHT + 40
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    along = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    corners = np.array([[18, 40, 74], [66, 38, 92], [24, 92, 104], [96, 78, 110]], np.float32) / 255
    colour = (1 - along) * ((1 - across) * corners[0] + across * corners[1])
    colour = colour + along * ((1 - across) * corners[2] + across * corners[3])
    for cells, strength in ((5, 0.16), (12, 0.10), (30, 0.06), (90, 0.03)):
        rough = random.standard_normal((cells, cells * 2, 1)).astype(np.float32)
        smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
        colour = colour * (1 + strength * smooth[..., None])
    result: Layer = np.clip(colour, 0, 1).astype(np.float32)
    return result


def lights(random: np.random.Generator, count: int = 26) -> list[tuple[float, float, float, float, Layer]]:
    """Bokeh discs: x, y, radius, speed, colour. The nearer ones are larger and faster.

    None begins at the height of the shoulders, where a round disc could be
    taken for a part of the suit's round collar, by a person too.
    """
    tints = np.array([[255, 214, 150], [140, 214, 255], [190, 160, 255], [150, 240, 200]], np.float32) / 255
    found = []
    for _ in range(count):
        near = random.uniform(0.3, 1)
        place = random.uniform(-0.15, 1.15) * WIDTH, random.uniform(-0.1, 0.45) * HEIGHT
        tint = tints[random.integers(len(tints))] * random.uniform(0.14, 0.32)
        found.append((*place, 8 + 24 * near, 34 * near, tint))
    return found


def backdrop(base: Layer, discs: list[tuple[float, float, float, float, Layer]], second: float) -> Layer:
    drift = np.array([[1, 0, -80 - 24 * np.sin(second)], [0, 1, -20 + 8 * np.cos(0.8 * second)]])
    picture = cv2.warpAffine(base, drift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for x, y, radius, speed, colour in discs:
        distance = np.hypot(columns - (x + speed * (second - SECONDS / 2)), rows - (y - 0.2 * speed * second))
        disc = np.clip((radius - distance) / 6, 0, 1) * (0.75 + 0.25 * np.clip(distance / radius, 0, 1) ** 6)
        picture = 1 - (1 - picture) * (1 - disc[..., None] * colour)
    result: Layer = picture.astype(np.float32)
    return result


def mattes() -> Iterator[Picture]:
    """The exact matte of every frame, without the rest of the picture."""
    layer = portrait()
    for number in range(FRAMES):
        yield np.round(placed(layer, number / RATE)[..., 3] * 255).astype(np.uint8)


def frames() -> Iterator[tuple[Picture, Picture]]:
    """Each frame with its matte: picture = alpha × portrait + (1 − alpha) × backdrop, with the alpha as stored."""
    random = np.random.default_rng(SEED)
    base, discs, layer = wall(random), lights(random), portrait()
    for number in range(FRAMES):
        second = number / RATE
        subject = placed(layer, second)
        matte = np.round(subject[..., 3] * 255).astype(np.uint8)
        alpha = matte[..., None].astype(np.float32) / 255
        straight = subject[..., :3] / np.maximum(subject[..., 3:], 1e-6)
        picture = alpha * np.clip(straight, 0, 1) + (1 - alpha) * backdrop(base, discs, second)
        grain = random.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32) * 1.2
        yield np.clip(np.round(picture * 255 + grain), 0, 255).astype(np.uint8), matte


def sound() -> NDArray[np.int16]:
    """A soft chord with plucked notes over it; stereo, as long as the picture."""
    time = np.arange(int(SECONDS * SOUND_RATE)) / SOUND_RATE
    ends = np.clip(np.minimum(time / 0.3, (SECONDS - time) / 0.8), 0, 1)
    chord = sum(np.sin(2 * np.pi * pitch * time + pitch) for pitch in (130.81, 196.0, 246.94, 329.63)) * 0.05
    left, right = chord * (1 + 0.2 * np.sin(2 * time)), chord * (1 - 0.2 * np.sin(2 * time))
    for step, pitch in enumerate((523.25, 659.25, 783.99, 987.77, 880.0, 783.99, 659.25, 587.33, 659.25, 523.25)):
        since = time - 0.2 - step * 0.34
        pluck = np.where(since > 0, np.exp(-4.5 * np.maximum(since, 0)) * np.clip(since / 0.004, 0, 1), 0)
        tone = np.sin(2 * np.pi * pitch * since) + 0.3 * np.sin(4 * np.pi * pitch * since)
        side = 0.5 + 0.35 * np.sin(step * 1.3)
        left, right = left + 0.16 * pluck * tone * (1 - side), right + 0.16 * pluck * tone * side
    both = np.stack([left * ends, right * ends]) * 0.9
    return np.clip(np.round(both * 32767), -32768, 32767).astype(np.int16)


def write(target: Path, matte: Path | None = None) -> None:
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as clip:
        video = clip.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.time_base = Fraction(1, RATE)
        # One thread: the same bytes on every machine.
        video.options = {"crf": "20", "preset": "slow", "threads": "1"}
        context = video.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = 1  # BT.709
        audio = clip.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        audio.bit_rate = 96_000
        for number, (picture, _) in enumerate(frames()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            clip.mux(video.encode(frame))
        clip.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(sound().T.reshape(1, -1).copy(), format="s16", layout="stereo")
        samples.sample_rate, samples.pts = SOUND_RATE, 0
        clip.mux(audio.encode(samples))
        clip.mux(audio.encode(None))
    if matte is not None:
        write_matte(matte)


def write_matte(target: Path) -> None:
    """Lossless gray FFV1, a frame per frame."""
    with av.open(str(target), "w", options={"fflags": "+bitexact"}) as clip:
        video = clip.add_stream("ffv1", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "gray"
        for alpha in mattes():
            clip.mux(video.encode(av.VideoFrame.from_ndarray(alpha, format="gray")))
        clip.mux(video.encode(None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("target", type=Path)
    parser.add_argument("--matte", type=Path, help="also write the exact matte, as FFV1 in Matroska")
    arguments = parser.parse_args()
    write(arguments.target, arguments.matte)
