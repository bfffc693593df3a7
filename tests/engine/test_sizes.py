"""How large a result will be: a range for every format, wider for what varies more."""

from __future__ import annotations

import dataclasses

import pytest

from apps.engine.edge import Edge
from apps.engine.formats import FORMATS
from apps.engine.options import Background, Options
from apps.engine.plan import make_plan
from apps.engine.sizes import MARGIN, WEIGHTS, output_bytes, work_bytes
from tests.engine.test_plan import FACTS

CLIP = dataclasses.replace(FACTS, width=480, height=270)
RED = Background("color", (255, 0, 0))


def estimated(facts=CLIP, **asked) -> tuple[int, int]:
    options = Options(**{"model": "light", "format": "webm", **asked})
    return output_bytes(make_plan(facts, options), options, facts)


def test_every_format_was_weighed():
    assert set(WEIGHTS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_range(name):
    low, high = estimated(format=name, background=RED)

    assert 0 < low < high


def test_at_the_size_that_was_weighed_it_is_the_weights_and_the_margin():
    pixels = 480 * 270 * 250

    assert estimated() == (round(pixels * 0.037 / MARGIN), round(pixels * 0.147 * MARGIN))
    assert estimated(background=RED) == (round(pixels * 0.0099 / MARGIN), round(pixels * 0.086 * MARGIN))


def test_four_times_the_pixels_weigh_less_than_four_times_as_much():
    small, large = estimated()[1], estimated(dataclasses.replace(CLIP, width=960, height=540))[1]

    assert 2 * small < large < 4 * small


def test_only_what_is_kept_weighs():
    assert estimated(trim=(0.0, 5.0))[1] == pytest.approx(estimated()[1] / 2, abs=1)
    assert estimated(preview_duration=1.0)[1] == pytest.approx(estimated()[1] / 10, abs=1)


def test_sound_counts_where_it_is_kept():
    loud = dataclasses.replace(CLIP, has_audio=True, audio_codec="pcm_s16le", audio_channels=2, audio_rate=48_000)

    assert estimated(loud)[1] - estimated()[1] == 10 * 40_000
    assert estimated(loud, format="mov")[1] - estimated(format="mov")[1] == 10 * 48_000 * 2 * 2
    assert estimated(loud, format="gif") == estimated(format="gif")
    assert estimated(loud, keep_audio=False) == estimated()


def test_the_work_writes_more_than_its_result():
    options = Options(model="light", format="webm")
    altered = Options(model="light", format="webm", edge=Edge(choke_px=2))
    plain, twice = (work_bytes(make_plan(CLIP, asked), asked, CLIP) for asked in (options, altered))

    assert estimated()[1] < plain < 3 * estimated()[1]
    # The matte is there a second time.
    assert twice - plain == pytest.approx(250 * 480 * 270 * 0.05, rel=0.01)
