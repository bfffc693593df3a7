"""Make the landing page's moving picture: the demo clip and what this product cut out of it, wiped over each other.

    python -m apps.engine docs/demo/demo.mp4 cut.mov --model human --matte matte.mkv --fgr foreground
    python docs/demo/make_hero.py docs/demo/demo.mp4 matte.mkv foreground static/video/hero.mp4 static/img/hero.jpg

The picture is one frame of it with the line in the middle, for those who asked for less motion.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

ROUNDS = 2
"""Times the clip is shown while the wipe goes there and back once: the clip ends as it begins, and so does this."""

REACH = (0.16, 0.84)
"""Where the wipe turns round, as shares of the width: the subject's both sides are seen with and without."""

SQUARE_PX = 20
LIGHT, DARK = 247, 226
"""The page's own checkerboard, as it is in daylight."""

LINE_PX = 2

Picture = NDArray[np.uint8]


def frames_of(path: Path, pixel_format: str) -> list[Picture]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=pixel_format) for frame in container.decode(video=0)]


def foregrounds(folder: Path) -> Iterator[Picture]:
    for path in sorted(folder.glob("*.png")):
        read = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if read is None:
            raise FileNotFoundError(path)
        yield cv2.cvtColor(read, cv2.COLOR_BGR2RGB).astype(np.uint8)


def checkerboard(height: int, width: int) -> Picture:
    y, x = np.mgrid[:height, :width] // SQUARE_PX
    gray = np.where((x + y) % 2, DARK, LIGHT).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def over(foreground: Picture, alpha: Picture, background: Picture) -> Picture:
    share = alpha[..., None].astype(np.float32) / 255
    mixed = foreground * share + background * (1 - share)
    return np.rint(mixed).astype(np.uint8)


def wiped(original: Picture, cutout: Picture, share: float) -> Picture:
    """The original left of the line, the cutout right of it."""
    width = original.shape[1]
    line = round(width * share)
    picture = cutout.copy()
    picture[:, :line] = original[:, :line]
    picture[:, max(0, line - LINE_PX // 2) : line + LINE_PX // 2] = 255
    return picture


def pictures(original: list[Picture], cutouts: list[Picture]) -> Iterator[Picture]:
    count = len(original)
    first, last = REACH
    for number in range(count * ROUNDS):
        turn = 2 * math.pi * number / (count * ROUNDS)
        share = first + (last - first) * (1 + math.cos(turn)) / 2
        yield wiped(original[number % count], cutouts[number % count], share)


def write(path: Path, shown: list[Picture], rate: int) -> None:
    height, width = shown[0].shape[:2]
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "25", "preset": "veryslow", "tune": "film"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.colorspace = Colorspace.ITU709
        for picture in shown:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("clip", "matte", "foreground", "video", "picture"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    original = frames_of(given.clip, "rgb24")
    board = checkerboard(*original[0].shape[:2])
    pairs = zip(foregrounds(given.foreground), frames_of(given.matte, "gray"), strict=True)
    cutouts = [over(foreground, alpha, board) for foreground, alpha in pairs]
    shown = list(pictures(original, cutouts))
    write(given.video, shown, rate=25)
    half = shown[len(shown) // 4]
    cv2.imwrite(str(given.picture), cv2.cvtColor(half, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
