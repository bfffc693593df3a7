"""The command line: exit codes, the JSON report, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.engine.__main__ import main
from apps.engine.child import ROOT
from apps.engine.report import Facts, Result
from tests.clips import FRAMES, HEIGHT, RATE, WIDTH, make_clip, make_picture


def engine(*arguments: object, cwd: Path | None = None) -> tuple[int, Result, list[dict], str]:
    """(exit code, report, progress lines, stderr) of one run with --json."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "apps.engine", "--json", *map(str, arguments)],
        cwd=cwd or ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    *progress, report = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, Result.from_dict(report), [line["progress"] for line in progress], done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The same in this process, which saves a second each time; the working directory is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)

    def run(*arguments: str) -> tuple[int, Result]:
        code = main(["--json", *arguments])
        return code, Result.from_dict(json.loads(capsys.readouterr().out.splitlines()[-1]))

    return run


def test_one_command_makes_a_verified_cutout(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=0.5)

    code, report, _, _ = engine(
        clip, tmp_path / "out.webm", "--model", "chroma", "--matte", tmp_path / "m.mkv", "--fgr", tmp_path / "fgr"
    )

    assert (code, report.status, report.error) == (0, "completed", None)
    assert (report.frames, report.frames_inferred, report.model, report.device) == (FRAMES, FRAMES, "chroma", "cpu")
    assert report.decoded_seconds == pytest.approx(FRAMES / RATE)
    assert [output.kind for output in report.outputs] == ["result", "matte"]
    assert report.quality["version"] == 1
    assert Facts.from_dict(report.input).frames == FRAMES
    assert min(report.seconds, report.cpu_seconds, report.peak_rss_bytes) > 0
    assert len(list((tmp_path / "fgr").iterdir())) == FRAMES


def test_probe_prints_the_facts(tmp_path):
    code, report, _, _ = engine(make_clip(tmp_path / "in.mp4"), "--probe")

    facts = Facts.from_dict(report.input)
    assert (code, facts.width, facts.height, facts.frames) == (0, WIDTH, HEIGHT, FRAMES)


@pytest.mark.parametrize(
    ("arguments", "code", "error", "param"),
    [
        (["--format", "avi"], 2, "invalid_request", "output_format"),
        (["--format", "mp4"], 2, "invalid_request", "output_format"),
        (["--model", "huge"], 2, "invalid_request", "model"),
        (["--bg-color", "reddish"], 2, "invalid_request", "bg_color"),
        (["--bg-color", "1,2"], 2, "invalid_request", "bg_color"),
        (["--fit", "cover"], 2, "invalid_request", "fit"),
        (["--bg-image", "none.png"], 2, "invalid_request", "bg_image"),
        (["--bg-image", "a.png", "--bg-color", "red"], 2, "invalid_request", "bg_image"),
        (["--trim", "3"], 2, "invalid_request", "trim"),
        (["--preview-duration", "0.4"], 2, "invalid_request", "preview_duration"),
        (["--trim", "a:b"], 2, "invalid_request", "trim"),
        (["--trim", "2:1"], 2, "invalid_request", "trim.end"),
        (["--trim", "nan:1"], 2, "invalid_request", "trim.start"),
        (["--trim", "50:60"], 2, "invalid_request", "trim.start"),
        (["--feather", "21"], 2, "invalid_request", "edge.feather_px"),
        (["--feather", "nan"], 2, "invalid_request", "edge.feather_px"),
        (["--feather", "soft"], 2, "invalid_request", None),
        (["--choke", "-10.5"], 2, "invalid_request", "edge.choke_px"),
        (["--despill", "2"], 2, "invalid_request", "edge.despill"),
        (["--canvas", "640"], 2, "invalid_request", "canvas"),
        (["--canvas", "640xtall"], 2, "invalid_request", "canvas"),
        (["--canvas", "8x640"], 2, "invalid_request", "composition.canvas.width"),
        (["--canvas", "640x5000"], 2, "invalid_request", "composition.canvas.height"),
        (["--anchor", "middle"], 2, "invalid_request", "composition.foreground.anchor"),
        (["--scale", "5"], 2, "invalid_request", "composition.foreground.scale"),
        (["--scale", "nan"], 2, "invalid_request", "composition.foreground.scale"),
        (["--offset", "5"], 2, "invalid_request", "offset"),
        (["--offset", "-1,99999"], 2, "invalid_request", "composition.foreground.offset.y"),
        (["--on-limit", "maybe"], 2, "invalid_request", "on_limit"),
        (["--canvas", "800x720", "--format", "gif", "--max-side", "700"], 4, "limit_exceeded", "composition.canvas"),
        (["--canvas", "730x721", "--format", "gif"], 4, "limit_exceeded", "output_format"),
        (["--device", "tpu"], 2, "invalid_request", None),
        (["--precision", "fp8"], 2, "invalid_request", None),
        (["--threads", "-1"], 2, "invalid_request", None),
        (["--threads", "many"], 2, "invalid_request", None),
        (["--unknown"], 2, "invalid_request", None),
        (["--without", "carry,speed"], 2, "invalid_request", "without"),
        (["surplus"], 2, "invalid_request", None),
        (["--matte", "nowhere/m.mkv"], 2, "invalid_request", "matte"),
        (["--max-seconds", "0.2"], 4, "limit_exceeded", "max_seconds"),
        (["--max-side", "50"], 4, "limit_exceeded", "max_side"),
        (["--max-fps", "10"], 4, "limit_exceeded", "max_fps"),
        (["--model", "light", "--models-dir", "nowhere"], 5, "model_not_installed", None),
    ],
)
def test_what_cannot_be_done_says_so_and_leaves_nothing(tmp_path, here, arguments, code, error, param):
    make_clip(tmp_path / "in.mp4")
    model = [] if "--model" in arguments else ["--model", "chroma"]

    found, report = here("in.mp4", "out.webm", *model, *arguments)

    assert (found, report.status, report.error["code"]) == (code, "failed", error)
    assert param in (None, report.error["param"])
    assert " " in report.error["message"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--threads", "many", "Argument --threads: must be a whole number, 0 or more."),
        ("--threads", "-1", "Argument --threads: must be a whole number, 0 or more."),
        ("--threads", "100000", "Argument --threads: must be at most 256; 0 means one for each core."),
        ("--max-side", "2k", "Argument --max-side: must be a whole number, 0 or more."),
        ("--max-fps", "fast", "Argument --max-fps: must be a number greater than 0."),
        ("--max-seconds", "0", "Argument --max-seconds: must be a number greater than 0."),
    ],
)
def test_a_number_that_is_none_is_refused_in_the_users_words(tmp_path, here, option, value, said):
    make_clip(tmp_path / "in.mp4")

    _code, report = here("in.mp4", "out.webm", "--model", "chroma", option, value)

    assert report.error["message"] == said


@pytest.mark.parametrize(
    ("wish", "arguments", "missing"),
    [
        ("", [], {"rvm", "modnet", "u2net"}),
        ("all", [], {"rvm", "modnet", "u2net"}),
        ("permissive", [], {"u2net", "modnet"}),
        ("all", ["--permissive"], {"u2net", "modnet"}),
    ],
)
def test_the_wish_for_permissive_licences_is_followed(tmp_path, here, monkeypatch, wish, arguments, missing):
    make_clip(tmp_path / "in.mp4")
    monkeypatch.setenv("MODEL_LICENCES", wish)

    _, report = here("in.mp4", "out.webm", "--model", "human", "--models-dir", "nowhere", *arguments)

    assert set(report.error["message"].split()) & {"rvm", "modnet", "u2net", "isnet"} == missing


def test_a_misspelt_wish_for_licences_is_refused(tmp_path, here, monkeypatch):
    make_clip(tmp_path / "in.mp4")
    monkeypatch.setenv("MODEL_LICENCES", "Permisive")

    code, report = here("in.mp4", "out.webm", "--model", "chroma")

    assert (code, report.error["message"]) == (2, "MODEL_LICENCES must be all or permissive.")


def test_a_broken_input_exits_with_3(tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"not a video")

    code, report, _, _ = engine(tmp_path / "in.mp4", tmp_path / "out.webm", "--model", "chroma")

    assert (code, report.error["code"]) == (3, "unsupported_media")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mp4"]


def test_no_arguments_at_all_is_a_bad_request():
    code, report, _, _ = engine()

    assert (code, report.error["code"]) == (2, "invalid_request")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--trim", "50:60"], 2), (["--max-side", "50"], 4), (["--models-dir", "nowhere"], 5)]
)
def test_an_older_output_does_not_outlive_a_failure(tmp_path, here, arguments, code):
    make_clip(tmp_path / "in.mp4")
    (tmp_path / "out.webm").write_bytes(b"older")

    found, _ = here("in.mp4", "out.webm", "--model", "light" if code == 5 else "chroma", *arguments)

    assert found == code
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mp4"]


def test_a_failure_never_removes_what_was_given(tmp_path, here):
    clip, image = make_clip(tmp_path / "in.mp4"), make_picture(tmp_path / "sea.png")

    codes = [here("in.mp4", name, "--bg-image", "sea.png")[0] for name in ("in.mp4", "sea.png")]

    assert codes == [2, 2]
    assert clip.stat().st_size > 1000
    assert image.is_file()


def test_a_target_that_is_no_file_is_refused_and_left_alone(tmp_path, here):
    """A rename over /dev/null, by root, would break the machine."""
    make_clip(tmp_path / "in.mp4")
    os.mkfifo(tmp_path / "pipe")

    code, report = here("in.mp4", "pipe", "--model", "chroma")

    assert (code, report.error["param"]) == (2, "output")
    assert (tmp_path / "pipe").is_fifo()


def test_help_is_an_answer_and_no_fault(capsys):
    assert main(["--help"]) == 0

    told = capsys.readouterr()
    assert "--matte FILE" in told.out
    assert told.err == ""


def test_a_fault_of_ours_exits_with_70(tmp_path):
    """The target's folder vanishes from under the engine: nothing a user did."""
    clip = make_clip(tmp_path / "in.mp4")
    script = (
        "import sys, apps.engine.pipeline as pipeline\n"
        "from apps.engine.__main__ import main\n"
        "def broken(*a, **k): raise ZeroDivisionError('bug')\n"
        "pipeline.process = broken\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(clip), str(tmp_path / "out.webm"), "--model", "chroma", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["error"]["code"]) == (70, "internal_error")
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    "name", ["-rf.mp4", "na me (1) 100% #x?.mp4", "имя ✂️ 視頻.mp4", "a:b.mp4", "%05d.mp4", "noext"]
)
def test_any_file_name_works(tmp_path, here, name):
    make_clip(tmp_path / "clip.mp4").rename(tmp_path / name)
    target = name.removesuffix(".mp4") + "-out.webm"

    code, report = here("--model", "chroma", "--", name, target)

    assert (code, report.error) == (0, None)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, target])


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """Long enough to be interrupted."""
    folder = tmp_path / "source"
    folder.mkdir()
    return make_clip(folder / "in.mp4", width=320, height=240, frames=250)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_and_leaves_nothing(tmp_path, long_clip, number):
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "apps.engine", str(long_clip), str(out / "a.webm"), "--matte", str(out / "m.mkv"),
            "--fgr", str(out / "fgr"), "--model", "chroma", "--json",
        ],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any(out.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)

    report = json.loads(output.splitlines()[-1])
    assert (process.returncode, report["status"], report["error"]["code"]) == (130, "canceled", "canceled")
    assert list(out.iterdir()) == []


def test_progress_comes_twice_a_second(tmp_path, long_clip):
    code, report, progress, _ = engine(long_clip, tmp_path / "out.mov", "--model", "chroma")

    assert (code, report.frames) == (0, 250)
    assert len(progress) >= 1
    assert set(progress[0]) == {"stage", "frames_done", "frames_total", "percent", "eta_seconds"}
    assert progress[0]["stage"] == "processing"


def test_without_json_people_get_a_sentence(tmp_path):
    (tmp_path / "in.mp4").touch()
    done = subprocess.run(
        [sys.executable, "-m", "apps.engine", str(tmp_path / "in.mp4"), str(tmp_path / "out.webm")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.strip() == "unsupported_media: The file is empty."


def test_without_json_the_quality_is_one_line(tmp_path):
    clip = make_clip(tmp_path / "in.mkv")
    done = subprocess.run(
        [sys.executable, "-m", "apps.engine", clip, tmp_path / "out.mov", "--model", "chroma"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    *_, quality, written = done.stderr.strip().splitlines()
    assert quality.startswith("quality: edge stability ")
    assert quality.endswith("; 0 to look at")
    assert "verified" in written


def test_place_and_edge_are_as_asked(tmp_path, here):
    make_clip(tmp_path / "in.mp4")

    code, report = here(
        "in.mp4", "out.webm", "--model", "chroma", "--canvas", "80x120", "--anchor", "top-left", "--scale", "0.5",
        "--offset", "-4,6", "--feather", "2", "--choke", "-1.5", "--despill", "0.5", "--on-limit", "reduce",
    )  # fmt: skip

    assert (code, report.warnings) == (0, [])
    assert (report.outputs[0].width, report.outputs[0].height) == (80, 120)


def test_a_background_image_is_laid_behind(tmp_path):
    image = make_picture(tmp_path / "sea.png")

    code, report, _, _ = engine(
        make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", "--model", "chroma", "--format", "mp4",
        "--bg-image", image, "--fit", "contain", "--no-audio", "--threads", 1, "--device", "cpu",
    )  # fmt: skip

    assert (code, report.outputs[0].alpha_mode) == (0, "none")
