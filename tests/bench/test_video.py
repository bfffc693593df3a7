"""The bench sees a clip's colours as the product does."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from apps.engine.decode import Decoder
from apps.engine.facts import survey
from apps.engine.source import open_source
from bench.video import frames_of
from tests import clips


def make_untagged(path: Path, height: int) -> Path:
    """A clip that does not say by which matrix its colours were coded."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = clips.WIDTH, height, "yuv420p"
        picture = clips.picture(0, width=clips.WIDTH, height=height)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("height", [360, 720])
def test_untagged_colours_are_the_products(tmp_path: Path, height: int) -> None:
    clip = make_untagged(tmp_path / "clip.mp4", height)

    with open_source(clip) as source:
        shown = [picture.rgb for picture in Decoder(source, survey(clip), scratch=tmp_path, threads=1).pictures()]

    assert np.array_equal(list(frames_of(clip)), shown)
