"""The walk over an index of hard inputs: what it lets pass, and that it sees each kind of mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.projects import services as projects
from tests.clips import ATTACKS, FRAMES, HEIGHT, RATE, WIDTH, make_clip, make_truncated
from trials import api, inputs, judge
from trials.index import BadIndex, Entry, read
from trials.judge import Outcome
from trials.site import Site

PLAIN = {
    "coded": [WIDTH, HEIGHT], "sar": "1:1", "rotation": 0, "decoded_frames": FRAMES, "packets": FRAMES,
    "field_order": "progressive", "color": ["tv", "bt709", None, None], "audio": [],
}  # fmt: skip


def make_index(folder: Path, **changes: dict) -> Path:
    """A plain clip, one lying on its side, a torn one, and a playlist; `changes` spoil the entries by name."""
    folder.mkdir()
    make_clip(folder / "plain.mp4")
    make_clip(folder / "turned.mov", rotation=90, sound_seconds=0.4)
    make_truncated(folder / "torn.mp4")
    (folder / "list.mp4").write_bytes(ATTACKS["playlist"])
    turned = {"coded": [HEIGHT, WIDTH], "rotation": -90, "audio": [{"codec": "aac"}]}
    rows = {
        "plain": {"file": "plain.mp4", "expect": "process", "probe": PLAIN},
        "turned": {"file": "turned.mov", "expect": "process", "probe": {**PLAIN, **turned}},
        "torn": {"file": "torn.mp4", "expect": "either", "warnings": ["input_truncated"]},
        "list": {"file": "list.mp4", "expect": "reject"},
    }
    for name, change in changes.items():
        rows[name] = {**rows[name], **change}
    (folder / "index.json").write_text(json.dumps(list(rows.values())))
    return folder


def walk(folder: Path, *more: str) -> int:
    return inputs.main([str(folder), "--ways", "cli", "--threads", "1", *more])


def test_files_that_go_as_expected_pass(tmp_path, capsys):
    status = walk(make_index(tmp_path / "given"))

    told = capsys.readouterr().out
    assert status == 0
    assert "4 files (2 process, 1 reject, 1 either) through cli: 4 as expected, 0 not" in told
    assert [line.split()[:2] for line in told.splitlines()[:-1]] == [
        ["ok", "torn.mp4"], ["ok", "list.mp4"], ["ok", "plain.mp4"], ["ok", "turned.mov"],
    ]  # fmt: skip


def test_a_format_that_cannot_be_transparent_is_tried_over_a_colour(tmp_path):
    assert walk(make_index(tmp_path / "given"), "--format", "mp4", "--only", "plain") == 0


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("plain", {"expect": "reject"}, "cli: taken, and it should be refused"),
        ("list", {"expect": "process"}, "cli: refused: unsupported_media: This is a playlist"),
        ("plain", {"probe": {**PLAIN, "coded": [WIDTH + 2, HEIGHT]}}, "probe: size is 96 × 64, expected 98 × 64"),
        ("plain", {"probe": {**PLAIN, "sar": "2:1"}}, "probe: size is 96 × 64, expected 192 × 64"),
        ("plain", {"probe": {**PLAIN, "rotation": 90}}, "probe: rotation is 0, expected 270"),
        ("plain", {"probe": {**PLAIN, "decoded_frames": 11}}, "cli: 12 frames, expected 11"),
        ("plain", {"probe": {**PLAIN, "audio": [{"codec": "aac"}]}}, "probe: has_audio is False, expected True"),
        ("plain", {"probe": {**PLAIN, "color": ["tv", "smpte2084"]}}, "cli: no warning hdr_tone_mapped"),
        ("plain", {"probe": {**PLAIN, "field_order": "tt"}}, "probe: is_interlaced is False, expected True"),
        ("torn", {"warnings": ["hdr_tone_mapped"]}, "cli: no warning hdr_tone_mapped"),
    ],
)
def test_each_kind_of_mistake_is_seen(tmp_path, capsys, name, change, complaint):
    assert walk(make_index(tmp_path / "given", **{name: change}), "--only", name) == 1

    assert complaint in capsys.readouterr().out


def test_a_frame_at_a_wrong_time_is_seen(tmp_path):
    """The delivered file is held against the source itself, not against the report."""
    source = make_clip(tmp_path / "a.mp4", frames=4, times_ms=[0, 40, 80, 200])
    late = make_clip(tmp_path / "b.mp4", frames=4, times_ms=[0, 40, 110, 200])
    entry = Entry(source, "process", probe={"decoded_frames": 4})

    assert list(judge.of_result(entry, Outcome(frames=4), source)) == []
    (complaint,) = judge.of_result(entry, Outcome(frames=4), late)
    assert re.fullmatch(r"a frame is 0\.0(299|300) s away from every time of the source", complaint)


def test_facts_are_held_against_the_packets(tmp_path):
    entry = Entry(make_clip(tmp_path / "a.mp4"), "process")
    facts = {"width": WIDTH, "height": HEIGHT, "fps": float(RATE), "duration": FRAMES / RATE}

    assert list(judge.of_facts(entry, facts)) == []
    assert list(judge.of_facts(entry, {**facts, "fps": 30.0, "duration": 1.0})) == [
        "fps is 30.0, expected 25.000", "duration is 1.0, expected 0.480",
    ]  # fmt: skip


def test_a_fault_is_no_refusal(tmp_path):
    entry = Entry(tmp_path / "a.mp4", "either")

    assert list(judge.of_outcome(entry, Outcome(code="unsupported_media", message="The file is empty."))) == []
    assert "a fault" in next(judge.of_outcome(entry, Outcome(code="internal_error", message="Segmentation fault.")))
    assert "no sentence" in next(judge.of_outcome(entry, Outcome(code="unsupported_media", message="[Errno 22]")))


def test_the_size_is_upright_in_square_pixels(tmp_path):
    def size(**probe) -> tuple[int, int] | None:
        return Entry(tmp_path, "process", probe=probe).size()

    assert size(coded=[720, 576], sar="64:45") == (1024, 576)
    assert size(coded=[720, 576], sar="64:45", rotation=-90) == (576, 1024)
    assert size(coded=[322, 240], sar="322:321") == (322, 240)
    assert size(coded=[96, 64], sar="1000:1") == (96, 64)
    assert size() is None


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"file": "a.mp4", "expect": "maybe"}], "expect is 'maybe'"),
        ([{"file": "a.mp4", "expect": "process"}], "a.mp4"),
    ],
)
def test_a_bad_index_is_named(tmp_path, rows, words):
    (tmp_path / "index.json").write_text(json.dumps(rows))

    with pytest.raises(BadIndex, match=words):
        read(tmp_path)
    assert inputs.main([str(tmp_path)]) == 2
    assert inputs.main([str(tmp_path / "none")]) == 2


@pytest.fixture
def site(live_server: LiveServer, alice: User, settings: Settings):
    settings.SITE_URL = live_server.url
    with requests.Session() as session:
        session.headers["X-Api-Key"] = issue_key(alice, name="trial")[1]
        yield Site(live_server.url, Path(settings.DATA_DIR), session)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_uploads_are_taken_or_refused_and_nothing_is_kept_of_what_is_refused(tmp_path, site):
    folder = make_index(tmp_path / "given")
    entries = {entry.name: entry for entry in read(folder)}

    taken, body, complaints = api.upload(site, entries["turned.mov"])
    assert (taken.code, complaints, body["filename"]) == ("", [], "turned.mov")
    assert list(judge.of_facts(entries["turned.mov"], taken.facts)) == []
    refused, _, complaints = api.upload(site, entries["list.mp4"])
    assert (refused.code, complaints) == ("unsupported_media", [])


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_what_a_refusal_leaves_behind_is_seen(tmp_path, site, monkeypatch):
    entry = Entry(tmp_path / "list.mp4", "reject")
    entry.path.write_bytes(ATTACKS["playlist"])
    left = site.data_dir / "media" / "left"

    def look(path: Path, *, kind: str) -> dict:
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"x")
        return real(path, kind=kind)

    real = projects.look
    monkeypatch.setattr(projects, "look", look)
    _, _, complaints = api.upload(site, entry)
    left.unlink()

    assert complaints == [f"kept after a refusal: {left}"]


def test_a_site_of_its_own_takes_and_refuses(tmp_path, capsys):
    """The whole way, on a site that is started and stopped for it."""
    folder = make_index(tmp_path / "given")

    assert inputs.main([str(folder), "--ways", "api", "--jobs", "0"]) == 0

    assert "through api: 4 as expected, 0 not" in capsys.readouterr().out
