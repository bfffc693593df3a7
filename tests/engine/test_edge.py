"""The matte's edge as asked for: exact on drawn edges, and never more of the old background than before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apps.engine.edge import Edge, parse_edge
from apps.engine.errors import BadOptions
from apps.engine.readback import read_back, read_matte
from apps.engine.rim import recolour, reshape
from tests.clips import FRAMES, SCREEN, SUBJECT, make_clip, make_picture, matte
from tests.engine.work import MAGENTA, KnownModel, options, run

SIDE = 80


def wall(first: int, *, ramp: int = 1) -> np.ndarray:
    """Nothing left of column `first`, whole from `ramp` columns further right."""
    row = np.clip((np.arange(SIDE) - first + 1) / ramp, 0, 1) * 255
    return np.tile(np.rint(row).astype(np.uint8), (SIDE, 1))


def disc(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """(alpha, depth of each pixel's centre inside the edge) of a disc with an edge one pixel soft."""
    y, x = np.mgrid[0:161, 0:161]
    depth = radius - np.hypot(x - 80, y - 80)
    return np.rint(np.clip(depth + 0.5, 0, 1) * 255).astype(np.uint8), depth


def test_the_defaults_change_nothing_at_all():
    alpha = np.random.default_rng(4).integers(0, 256, (40, 60), np.uint8)

    assert reshape(alpha, Edge()) is alpha
    assert reshape(alpha, Edge(despill=0.3)) is alpha


@pytest.mark.parametrize("choke", [-10, -3, -1, 1, 2, 3, 4, 10])
def test_choke_moves_an_edge_by_whole_pixels(choke):
    assert np.array_equal(reshape(wall(40, ramp=6), Edge(choke_px=choke)), wall(40 + choke, ramp=6))


@pytest.mark.parametrize("choke", [-2.5, -0.25, 0.5, 1.75])
def test_choke_moves_a_soft_edge_by_fractions(choke):
    """A ramp of ten pixels rises 25.5 a pixel, so a shift shows in its values."""
    found = reshape(wall(40, ramp=10), Edge(choke_px=choke)).astype(float)

    middle = slice(43, 46)
    expected = 25.5 * (np.arange(SIDE) - 39 - choke)
    assert np.abs(found[20, middle] - expected[middle]).max() <= 1


@pytest.mark.parametrize("choke", [-8.0, -1.0, 0.5, 1.0, 2.5, 6.0, 10.0])
def test_choke_is_alike_in_every_direction(choke):
    alpha, depth = disc(50.0)

    shrunk = reshape(alpha, Edge(choke_px=choke))

    # Where the edge is now: the mean over pixels of what lies inside is the area of the new disc.
    radius = np.sqrt(shrunk.sum() / 255 / np.pi)
    assert radius == pytest.approx(50 - choke, abs=0.15 + abs(choke) * 0.03)
    assert shrunk[depth > choke + 2].min() == 255
    assert shrunk[depth < choke - 2].max() == 0


@pytest.mark.parametrize("feather", [1, 2, 5, 10, 20])
def test_feather_begins_at_the_edge_and_ends_where_it_was_asked_to(feather):
    row = reshape(wall(20), Edge(feather_px=feather))[40].astype(int)

    assert (row[:20].max(), row[20 + feather :].min()) == (0, 255)
    assert (np.diff(row[19 : 19 + feather]) > 0).all()
    assert row[20 + feather - 1] < 255
    # Half way in it is half way through.
    assert np.interp(feather / 2 - 0.5, range(feather + 1), row[20 : 21 + feather]) == pytest.approx(127.5, abs=4)


@pytest.mark.parametrize("edge", [Edge(feather_px=3.5), Edge(feather_px=20), Edge(feather_px=8, choke_px=2.5)])
def test_nothing_of_the_background_is_gained(edge):
    """On anything: hair, glass and noise."""
    rng = np.random.default_rng(5)
    noise = cv2.resize(rng.integers(0, 256, (30, 40), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    hair = np.zeros((120, 160), np.uint8)
    for _ in range(40):
        ends = [tuple(int(v) for v in rng.integers(0, 120, 2)) for _ in range(2)]
        cv2.line(hair, *ends, 200, 1, cv2.LINE_AA)

    for alpha in (noise, hair, disc(50.0)[0]):
        assert (reshape(alpha, edge) <= alpha).all()


def test_glass_stays_glass_inside_its_edge():
    alpha = np.minimum(wall(20), 128)

    assert (reshape(alpha, Edge(feather_px=6, choke_px=1))[:, 28:] == 128).all()


def test_a_subject_cut_off_by_the_picture_has_no_edge_there():
    alpha = np.full((40, 60), 255, np.uint8)

    assert (reshape(alpha, Edge(feather_px=20, choke_px=10)) == 255).all()


def test_the_same_matte_elsewhere_gets_the_same_edge():
    """So a subject that moves by whole pixels keeps its edge from frame to frame."""
    alpha, _ = disc(40.0)
    edge = Edge(feather_px=7.5, choke_px=-1.5)

    moved = reshape(np.roll(alpha, (9, -13), axis=(0, 1)), edge)

    assert np.array_equal(moved, np.roll(reshape(alpha, edge), (9, -13), axis=(0, 1)))


def test_what_growing_adds_has_the_subjects_colour():
    before = matte(3)
    after = reshape(before, Edge(choke_px=-4))
    rgb = np.where(before[..., None] > 0, np.uint8(SUBJECT), np.uint8(SCREEN))

    grown = recolour(rgb, before, after)

    assert (after > before).sum() > 200
    assert np.abs(grown[after > 0].astype(int) - SUBJECT).max() <= 4
    assert np.array_equal(grown[before == 255], rgb[before == 255])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"feather_px": 21}, "edge.feather_px"),
        ({"feather_px": -1}, "edge.feather_px"),
        ({"feather_px": float("nan")}, "edge.feather_px"),
        ({"feather_px": True}, "edge.feather_px"),
        ({"feather_px": "2"}, "edge.feather_px"),
        ({"choke_px": 10.5}, "edge.choke_px"),
        ({"choke_px": -(10**400)}, "edge.choke_px"),
        ({"despill": 1.01}, "edge.despill"),
        ({"despill": [1]}, "edge.despill"),
        ({"feather": 2}, "edge.feather"),
        ({"blur": None}, "edge.blur"),
        ([], "edge"),
        ("soft", "edge"),
    ],
)
def test_a_wrong_edge_is_refused_by_name(given, param):
    with pytest.raises(BadOptions) as refusal:
        parse_edge(given)

    assert refusal.value.param == param
    assert param in str(refusal.value)


def test_parts_of_an_edge_may_be_left_out():
    assert parse_edge({"choke_px": -2.5, "feather_px": None}) == Edge(0, -2.5, 1)
    assert parse_edge({}) == parse_edge(None) == Edge()


@pytest.mark.parametrize("name", ["webm", "mov", "webp", "png_sequence"])
def test_the_result_has_the_edge_and_the_kept_matte_the_models(tmp_path, name):
    edge = Edge(feather_px=6, choke_px=1)

    result = run(
        make_clip(tmp_path / "in.mkv"), tmp_path / "out", options(name, edge=edge),
        model=KnownModel(), matte=tmp_path / "m.mkv",
    )  # fmt: skip

    shown = [frame.alpha for frame in read_back(tmp_path / "out", name, opaque=False)]
    kept = [frame.alpha for frame in read_matte(tmp_path / "m.mkv")]
    assert result.warnings == []
    for index in range(FRAMES):
        assert np.abs(kept[index].astype(int) - matte(index)).max() <= 8
        assert np.abs(shown[index].astype(int) - reshape(kept[index], edge)).max() <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "m.mkv", "out"]


def test_the_edge_lies_over_a_background_too(tmp_path):
    laid = options("mp4", background=MAGENTA, edge=Edge(choke_px=6))

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4", laid, model=KnownModel(), matte=tmp_path / "m.mkv")

    shown = next(read_back(tmp_path / "out.mp4", "mp4", opaque=True)).rgb
    choked = reshape(matte(0), Edge(choke_px=6))
    ring = cv2.erode(np.where((choked == 0) & (matte(0) == 255), np.uint8(255), np.uint8(0)), np.ones((3, 3))) > 0
    assert ring.sum() > 30
    assert np.abs(shown[ring].mean(axis=0) - (255, 0, 255)).max() < 12


def test_gif_cannot_be_feathered_and_says_so(tmp_path):
    asked = options("gif", edge=Edge(feather_px=8, choke_px=2))

    told = run(make_clip(tmp_path / "in.mkv"), tmp_path / "a.gif", asked, model=KnownModel()).warnings
    plain = run(
        make_clip(tmp_path / "in.mkv"), tmp_path / "b.gif", options("gif", edge=Edge(choke_px=2)), model=KnownModel()
    )

    assert [notice.code for notice in told] == ["feather_dropped"]
    assert plain.warnings == []
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_gif_over_a_background_is_feathered(tmp_path):
    laid = options("gif", background=MAGENTA, edge=Edge(feather_px=8))

    told = run(make_clip(tmp_path / "in.mkv"), tmp_path / "a.gif", laid, model=KnownModel()).warnings

    soft = reshape(matte(0), laid.edge)
    shown = next(read_back(tmp_path / "a.gif", "gif", opaque=True)).rgb
    middle = (soft > 110) & (soft < 145)
    assert [notice.code for notice in told] == ["opaque_background"]
    assert middle.sum() > 10
    assert shown[middle].mean(axis=0) == pytest.approx(np.mean([SUBJECT, (255, 0, 255)], axis=0), abs=16)


def test_an_edge_that_leaves_nothing_is_told(tmp_path):
    clip = make_clip(tmp_path / "in.mkv", width=32, height=24, frames=3)

    told = run(clip, tmp_path / "out.webm", options("webm", edge=Edge(choke_px=10))).warnings

    assert [notice.code for notice in told] == ["nothing_shown"]


def test_despill_by_half_takes_half_of_the_walls_light(tmp_path):
    rims = []
    for despill in (0.0, 0.5, 1.0):
        folder = tmp_path / f"fgr-{despill}"
        run(
            make_clip(tmp_path / "in.mkv"), tmp_path / "out.webm", options("webm", edge=Edge(despill=despill)),
            model=KnownModel(), foreground=folder,
        )  # fmt: skip
        rim = (matte(1) > 20) & (matte(1) < 235)
        rims.append(cv2.imread(str(folder / "00001.png"))[rim][:, 1].mean())

    assert rims[0] - rims[2] > 10
    assert rims[1] == pytest.approx((rims[0] + rims[2]) / 2, abs=1)


def test_a_picture_behind_a_choked_edge_is_the_picture(tmp_path):
    image = make_picture(tmp_path / "sea.png")
    laid = options("png_sequence", background=MAGENTA, edge=Edge(choke_px=3))

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.zip", laid, background_image=image)

    shown = next(read_back(tmp_path / "out.zip", "png_sequence", opaque=True)).rgb
    assert (shown[reshape(matte(0), Edge(choke_px=2)) == 0] == (255, 0, 255)).all()
