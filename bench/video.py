"""Frames in, mattes out, and what a child process cost. Only numpy and PyAV: rembg's own environment runs this too."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""height × width × 3, RGB."""
Alpha = NDArray[np.uint8]

FULL_RANGE = 2
UNSPECIFIED, BT709, BT601 = 2, 1, 6
"""Matrix coefficients of ITU-T H.273."""
HD_HEIGHT = 720
"""As the product takes untagged video: BT.709 from here on and BT.601 below."""
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""As the product decodes: without these flags colours come out one to two levels too dark."""


def frames_of(path: Path) -> Iterator[Frame]:
    with av.open(str(path)) as clip:
        for frame in clip.decode(video=0):
            if frame.colorspace == UNSPECIFIED:
                frame.colorspace = BT709 if frame.height >= HD_HEIGHT else BT601
            yield np.asarray(frame.to_ndarray(format="rgb24", interpolation=EXACT), np.uint8)


def alphas_of(path: Path) -> Iterator[Alpha]:
    """A gray video's frames."""
    with av.open(str(path)) as clip:
        for frame in clip.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="gray"), np.uint8)


def write_matte(path: Path, alphas: Iterable[Alpha]) -> int:
    """Lossless gray, one frame per alpha; says how many. The rate means nothing."""
    count = 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.pix_fmt = "gray"
        stream.codec_context.color_range = FULL_RANGE
        for alpha in alphas:
            if count == 0:
                stream.height, stream.width = alpha.shape
            out.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(alpha), format="gray")))
            count += 1
        out.mux(stream.encode(None))
    return count


def print_costs(began: float, frames: int) -> None:
    """A child's last words, under the names that the product's command line uses. `began` is time.monotonic()."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    costs = {
        "frames": frames,
        "frames_inferred": frames,
        "seconds": round(time.monotonic() - began, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        # Linux counts in KiB, macOS in bytes.
        "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    print(json.dumps(costs), flush=True)
