"""What a format can hold: refused with the way out, or reduced, told, and billed for what is kept."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction

import pytest

from apps.engine.composition import Composition
from apps.engine.errors import BadOptions, LimitExceeded
from apps.engine.options import Background, Options
from apps.engine.plan import make_plan
from apps.engine.readback import read_back
from apps.engine.report import Facts
from tests.clips import WIDTH, make_clip
from tests.engine.work import options, run

FACTS = Facts(
    container="mov", video_codec="h264", pixel_format="yuv420p", width=640, height=360, fps=25.0, frames=250,
    duration=10.0, rotation=0, has_audio=False, audio_codec=None, audio_channels=None, audio_rate=None,
    has_alpha=False, is_hdr=False, is_interlaced=False, is_variable_rate=False,
)  # fmt: skip
RED = Background("color", (255, 0, 0))


def facts(**changes) -> Facts:
    return dataclasses.replace(FACTS, **changes)


def test_what_fits_is_planned_as_asked():
    plan = make_plan(facts(), Options(format="gif", trim=(1.0, 3.5), on_limit="reduce"))

    assert (plan.trim, plan.seconds, plan.keep_every, plan.notices) == ((1.0, 3.5), 2.5, 1, ())
    assert plan.layout.is_plain(640, 360)
    assert plan.frames == 62


@pytest.mark.parametrize("name", ["gif", "webp"])
@pytest.mark.parametrize(
    ("found", "composition", "fix"),
    [
        ({"duration": 20.5}, Composition(), '"end": 20'),
        ({"width": 1280, "height": 722}, Composition(), "720 px"),
        ({}, Composition(canvas=(800, 800)), "800 px"),
    ],
)
def test_too_much_is_refused_with_the_way_out(name, found, composition, fix):
    with pytest.raises(LimitExceeded) as refusal:
        make_plan(facts(**found), Options(format=name, composition=composition))

    assert refusal.value.param == "output_format"
    assert fix in str(refusal.value)
    assert '"on_limit": "reduce"' in str(refusal.value)


def test_a_trim_behind_the_end_is_refused_by_name():
    with pytest.raises(BadOptions, match=r"10\.00 s long") as refusal:
        make_plan(facts(), Options(trim=(10.0, None)))

    assert refusal.value.param == "trim.start"


@pytest.mark.parametrize(
    ("trim", "kept"), [(None, (0.0, 20.0)), ((7.3, None), (7.3, 27.3)), ((1.0, 50.0), (1.0, 21.0))]
)
def test_a_long_clip_is_cut_and_only_that_is_billed(trim, kept):
    plan = make_plan(facts(duration=60.0, frames=1500), Options(format="gif", trim=trim, on_limit="reduce"))

    assert (plan.trim, plan.seconds, plan.frames) == (kept, 20, 500)
    assert [notice.code for notice in plan.notices] == ["cut_to_limit"]
    assert "20" in plan.notices[0].message


@pytest.mark.parametrize(
    ("size", "composition", "reduced"),
    [
        ((1920, 1080), Composition(), (1280, 720, 0, 0, 1280, 720)),
        ((1080, 1920), Composition(), (720, 1280, 0, 0, 720, 1280)),
        ((1366, 768), Composition(), (1281, 720, 0, 0, 1281, 720)),
        ((4096, 2000), Composition(canvas=(1440, 1440), scale=0.5), (720, 720, 180, 272, 360, 176)),
    ],
)
def test_a_large_result_is_scaled_with_all_that_is_on_it(size, composition, reduced):
    asked = Options(format="webp", composition=composition, on_limit="reduce")

    plan = make_plan(facts(width=size[0], height=size[1]), asked)

    assert dataclasses.astuple(plan.layout) == reduced
    assert [notice.code for notice in plan.notices] == ["scaled_to_limit"]


@pytest.mark.parametrize(
    ("name", "fps", "every"),
    [("gif", 50.02, 1), ("gif", 59.94, 2), ("gif", 100, 2), ("gif", 240, 5), ("webp", 60, 1), ("webp", 240, 4)],
)
def test_a_fast_animation_is_thinned_evenly(name, fps, every):
    plan = make_plan(facts(fps=fps), Options(format=name, on_limit="reduce"))

    assert plan.keep_every == every
    assert [notice.code for notice in plan.notices] == (["thinned_to_limit"] if every > 1 else [])


def test_without_leave_to_reduce_a_fast_animation_is_only_told():
    plan = make_plan(facts(fps=60), Options(format="gif"))

    assert (plan.keep_every, [notice.code for notice in plan.notices]) == (1, ["gif_too_fast"])


def test_other_formats_have_no_such_limits():
    found = facts(width=4096, height=4096, fps=240, duration=600.0)

    assert make_plan(found, Options(format="webm", on_limit="reduce")).notices == ()


def test_each_reduction_is_told_apart():
    found = facts(width=1920, height=1080, fps=60, duration=60.0)

    plan = make_plan(found, Options(format="gif", background=RED, on_limit="reduce"))

    assert [notice.code for notice in plan.notices] == ["cut_to_limit", "thinned_to_limit", "scaled_to_limit"]


# Carried out
@pytest.mark.parametrize(
    ("name", "rate", "kept"), [("gif", 60, 30), ("webp", 120, 60), ("gif", Fraction(60000, 1001), 30)]
)
def test_a_thinned_animation_plays_as_long(tmp_path, name, rate, kept):
    clip = make_clip(tmp_path / "in.mp4", rate=rate, frames=24)

    result = run(clip, tmp_path / "out", options(name, on_limit="reduce"))

    times = [float(frame.time) for frame in read_back(tmp_path / "out", name, opaque=False)]
    assert [notice.code for notice in result.warnings] == ["thinned_to_limit"]
    assert (result.frames, len(times)) == (12, 12)
    assert times == pytest.approx([n / kept for n in range(12)], abs=0.01)
    assert result.decoded_seconds == result.outputs[0].duration == pytest.approx(24 / float(rate), abs=1e-4)


def test_thinning_follows_uneven_times(tmp_path):
    """A burst is thinned, and a frame that stays long stays."""
    times = [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 90]

    result = run(make_clip(tmp_path / "in.mkv", times_ms=times), tmp_path / "a.gif", options("gif", on_limit="reduce"))

    shown = [round(float(frame.time) * 1000) for frame in read_back(tmp_path / "a.gif", "gif", opaque=False)]
    assert result.frames == len(shown) < 12
    assert min(after - before for before, after in itertools.pairwise(shown)) >= 20
    assert shown[-1] == 90


def test_a_long_clip_becomes_twenty_seconds(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", width=32, height=24, rate=4, frames=100)

    result = run(clip, tmp_path / "a.gif", options("gif", on_limit="reduce"))

    assert [notice.code for notice in result.warnings] == ["cut_to_limit"]
    assert (result.frames, result.decoded_seconds, result.outputs[0].duration) == (80, 20.0, 20.0)


def test_a_large_clip_becomes_smaller_and_is_proved(tmp_path):
    clip = make_clip(tmp_path / "in.mkv", width=WIDTH * 10, height=750, frames=2)

    result = run(clip, tmp_path / "a.webp", options("webp", on_limit="reduce"), matte=tmp_path / "m.mkv")

    assert [notice.code for notice in result.warnings] == ["scaled_to_limit"]
    assert [(output.width, output.height) for output in result.outputs] == [(922, 720), (960, 750)]


@pytest.mark.parametrize(
    ("trim", "kept", "seconds"),
    [
        (None, (0.0, 2.0), 2.0),
        ((4.0, None), (4.0, 6.0), 2.0),
        ((4.0, 5.5), (4.0, 5.5), 1.5),
        ((9.0, None), (9.0, None), 1.0),
    ],
)
def test_a_preview_is_the_beginning_of_what_is_kept(trim, kept, seconds):
    plan = make_plan(facts(), Options(trim=trim, preview_duration=2.0))

    assert (plan.trim, plan.seconds, plan.frames) == (kept, seconds, round(seconds * 25))


@pytest.mark.parametrize(
    ("size", "composition", "made"),
    [
        ((1920, 1080), Composition(), (640, 360, 0, 0, 640, 360)),
        ((1080, 1920), Composition(), (360, 640, 0, 0, 360, 640)),
        ((320, 180), Composition(), (320, 180, 0, 0, 320, 180)),
        ((1920, 1080), Composition(canvas=(1280, 1280), scale=0.5), (640, 640, 160, 230, 320, 180)),
    ],
)
def test_a_preview_is_small_and_placed_like_the_whole(size, composition, made):
    layout = make_plan(
        facts(width=size[0], height=size[1]), Options(composition=composition, preview_duration=5.0)
    ).layout

    assert dataclasses.astuple(layout) == made


def test_a_preview_of_what_is_too_much_for_gif_is_within_its_limits():
    plan = make_plan(facts(width=1920, height=1080, duration=60.0), Options(format="gif", preview_duration=10.0))

    assert (plan.seconds, plan.notices) == (10.0, ())
