"""The demo clip in the repository is the one its script draws, and its matte is exact."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
from django.conf import settings

from docs.demo import make_demo

CLIP = Path(settings.BASE_DIR) / "docs" / "demo" / "demo.mp4"


def test_the_clip_is_four_seconds_with_sound_and_under_a_megabyte() -> None:
    with av.open(str(CLIP)) as clip:
        pictures = sum(1 for _ in clip.decode(video=0))
        clip.seek(0)
        samples = sum(frame.samples for frame in clip.decode(audio=0))

    assert pictures == make_demo.FRAMES == 100
    assert abs(samples / make_demo.SOUND_RATE - make_demo.SECONDS) < 0.03
    assert CLIP.stat().st_size < 1_000_000
    assert make_demo.PORTRAIT.stat().st_size < 1_000_000


def test_the_clip_shows_what_the_script_draws() -> None:
    with av.open(str(CLIP)) as clip:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in islice(clip.decode(video=0), 3)]

    for picture, (drawn, _) in zip(shown, make_demo.frames(), strict=False):
        assert np.abs(picture - drawn).mean() < 3


def test_both_ways_to_the_matte_agree_and_it_touches_the_lower_edge_only() -> None:
    for matte, (_, beside) in zip(islice(make_demo.mattes(), 3), make_demo.frames(), strict=False):
        assert np.array_equal(matte, beside)
        assert matte[-1].max() == 255
        assert matte[0].max() == matte[:, 0].max() == matte[:, -1].max() == 0
