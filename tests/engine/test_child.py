"""The engine as a child of the house: clean, contained, and never outliving its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.engine import (
    BadOptions,
    Canceled,
    InputRefused,
    LimitExceeded,
    Limits,
    Options,
    OutOfMemory,
    Progress,
    Run,
    child,
    probe,
    start,
)
from apps.engine.__main__ import make_parser, read_options
from apps.engine.child import ROOT, shaping
from apps.engine.composition import Composition
from apps.engine.edge import Edge
from apps.engine.errors import Starved
from apps.engine.options import Background
from tests.clips import FRAMES, HEIGHT, WIDTH, make_clip, make_picture

CHROMA = Options(model="chroma", keep_audio=False)


def test_the_light_modules_load_no_heavy_library():
    """Web workers import them and must not pay for codecs and networks."""
    script = (
        "import sys, apps.engine, apps.engine.child, apps.engine.contain\n"
        "print(sorted({'av', 'cv2', 'onnxruntime', 'numpy', 'PIL', 'django'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_probe_looks_in_a_child(tmp_path):
    facts = probe(make_clip(tmp_path / "-odd name ✂.mp4"))

    assert (facts.width, facts.height, facts.frames) == (WIDTH, HEIGHT, FRAMES)


def test_a_childs_refusal_is_raised_here_as_what_it_is(tmp_path):
    (tmp_path / "a.mp4").touch()

    with pytest.raises(InputRefused, match="empty"):
        probe(tmp_path / "a.mp4")
    with pytest.raises(LimitExceeded, match="80 × 80") as refusal:
        probe(make_clip(tmp_path / "b.mp4"), limits=Limits(max_side=80))
    assert refusal.value.param == "max_side"


def test_a_probe_that_hangs_is_given_up(tmp_path):
    """A pipe never ends; a file system that hangs looks the same."""
    os.mkfifo(tmp_path / "pipe.mp4")

    with pytest.raises(InputRefused, match="too long"):
        probe(tmp_path / "pipe.mp4", timeout=1)


def test_a_probe_without_a_core_says_nothing_about_the_file(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.mp4")
    monkeypatch.setattr(child, "waited_for_a_core", lambda pid: 0.6)

    with pytest.raises(Starved):
        probe(tmp_path / "pipe.mp4", timeout=1)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the system does not tell")
def test_the_wait_for_a_core_is_seen():
    """Two that never rest, on one core, wait for each other."""
    core = min(os.sched_getaffinity(0))
    spin = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for one in spinning:
            one.stdout.readline()
        ends_at = time.monotonic() + 30

        while (waited := [child.waited_for_a_core(one.pid) for one in spinning]) and min(waited) < 0.2:
            assert time.monotonic() < ends_at, waited
            time.sleep(0.05)
    finally:
        for one in spinning:
            one.kill()
            one.communicate()


def test_a_run_reports_and_returns_its_result(tmp_path):
    clip, target, matte = make_clip(tmp_path / "in.mp4", frames=60), tmp_path / "out.webm", tmp_path / "m.mkv"
    seen: list[Progress] = []

    with start(clip, target, CHROMA, models_dir=tmp_path, matte=matte, limits=Limits(max_seconds=60)) as run:
        while not run.finished:
            if (progress := run.poll(0.2)) is not None:
                seen.append(progress)
        result = run.result()

    assert (result.status, result.frames, [output.kind for output in result.outputs]) == (
        "completed", 60, ["result", "matte"],
    )  # fmt: skip
    assert all(progress.frames_total == 60 for progress in seen)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.mp4", "m.mkv", "out.webm"]


def test_every_option_reaches_the_child(tmp_path):
    clip, image = make_clip(tmp_path / "in.mp4", sound_seconds=0.4), make_picture(tmp_path / "-sea.png")
    laid = Options(model="chroma", format="mp4", background=Background("image", fit="contain"), trim=(0.08, 0.2))

    with start(clip, tmp_path / "out.mp4", laid, models_dir=tmp_path, background_image=image, threads=1) as run:
        result = run.result()

    assert (result.frames, result.outputs[0].has_audio, result.outputs[0].format) == (3, True, "mp4")


def test_every_option_of_place_edge_and_limits_is_read_as_it_was_said():
    asked = Options(
        model="chroma",
        format="gif",
        composition=Composition((640, 360), "bottom-left", 0.35, (-12, 7)),
        edge=Edge(feather_px=2.5, choke_px=-1.25, despill=0.1),
        on_limit="reduce",
        preview_duration=2.5,
    )

    said = make_parser().parse_args(["in.mp4", "out.gif", "--model", "chroma", "--format", "gif", *shaping(asked)])

    assert read_options(said) == asked


def test_a_background_image_must_be_given(tmp_path):
    laid = Options(model="chroma", format="mp4", background=Background("image"))

    with pytest.raises(BadOptions, match="required"):
        start(tmp_path / "in.mp4", tmp_path / "out.mp4", laid, models_dir=tmp_path)


@pytest.fixture
def busy(tmp_path: Path):
    """(clip, target) of a run that takes a while."""
    folder = tmp_path / "out"
    folder.mkdir()
    return make_clip(tmp_path / "in.mp4", width=320, height=240, frames=400), folder / "a.webm"


def wait_for_work(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while not any(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any(folder.iterdir())


def test_stopping_is_a_cancel_and_leaves_nothing(tmp_path, busy):
    clip, target = busy
    with start(clip, target, CHROMA, models_dir=tmp_path) as run:
        wait_for_work(target.parent)
        run.stop()
        run.stop()
        with pytest.raises(Canceled):
            run.result()

    assert list(target.parent.iterdir()) == []


def test_leaving_the_context_kills_the_child(tmp_path, busy):
    clip, target = busy
    with start(clip, target, CHROMA, models_dir=tmp_path) as run:
        wait_for_work(target.parent)
        pid = run.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(target.parent.iterdir()) == []


def test_a_child_that_the_kernel_killed_ran_out_of_memory(tmp_path, busy):
    """And whatever it had half-written goes too, though it could not clean up itself."""
    clip, target = busy
    with start(clip, target, CHROMA, models_dir=tmp_path, matte=target.with_name("m.mkv")) as run:
        wait_for_work(target.parent)
        os.kill(run.pid, signal.SIGKILL)
        with pytest.raises(OutOfMemory):
            run.result()

    assert list(target.parent.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's death signal is Linux's")
def test_killing_the_parent_kills_the_child(tmp_path, busy):
    clip, target = busy
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from apps.engine import Options, start\n"
        "clip, target = map(Path, sys.argv[1:])\n"
        "with start(clip, target, Options(model='chroma'), models_dir=target.parent) as run:\n"
        "    print(run.pid, flush=True)\n"
        "    run.result()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(clip), str(target)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_for_work(target.parent)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """A zombie that nobody has collected yet does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


PEEK = """
import json, os, resource, socket, sys
from apps.engine import contain
address, without, on_cpu, only_looks = json.loads(sys.argv[1])
for wall in without:
    setattr(contain, wall, lambda **_: False)
missing = contain.contain(parent=None, on_cpu=on_cpu, only_looks=only_looks)
def reaches(family, address):
    try:
        with socket.socket(family) as caller:
            caller.settimeout(1)
            caller.connect(address)
        return True
    except OSError:
        return False
def fits(gib):
    try:
        return bool(bytearray(gib * 1024**3))
    except MemoryError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "missing": missing,
    "internet": reaches(socket.AF_INET, tuple(address[0])),
    "local": reaches(socket.AF_UNIX, address[1]),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in
               ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_AS")},
    "fits": fits(5) if only_looks else None,
    "no_new_privs": status["NoNewPrivs"].strip(), "oom": open("/proc/self/oom_score_adj").read().strip(),
    "sid": os.getsid(0) == os.getpid(), "uid": os.getuid(), "nice": os.nice(0),
}))
"""
WALLS = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the walls are Linux's")


@pytest.fixture
def peek(tmp_path: Path):
    """What a contained process finds, while somebody listens on loopback and on a local socket."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "s"))
        local.listen()
        address = [server.getsockname(), str(tmp_path / "s")]

        def look(*without: str, on_cpu: bool = True, only_looks: bool = False) -> dict[str, Any]:
            done = subprocess.run(
                [sys.executable, "-c", PEEK, json.dumps([address, without, on_cpu, only_looks])],
                cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True,
            )  # fmt: skip
            return json.loads(done.stdout)

        yield look


@WALLS
def test_a_contained_process_reaches_no_network(peek):
    """Where this kernel allows it; where not, the report says so."""
    found = peek()

    assert found["internet"] is ("network" in found["missing"])
    assert found["local"] is ("sockets" in found["missing"])
    assert (found["sid"], found["uid"], found["no_new_privs"], found["oom"]) == (True, os.getuid(), "1", "800")


@WALLS
@pytest.mark.parametrize("missing", ["_leave_the_network", "_give_up_sockets"])
def test_either_wall_alone_keeps_the_network_out(peek, missing):
    """A container mostly forbids the first, an old kernel the second."""
    if {"network", "sockets"} & set(peek()["missing"]):
        pytest.skip("this kernel has only one of them")

    found = peek(missing)

    assert (found["internet"], "network" in found["missing"]) == (False, False)
    assert ("sockets" in found["missing"]) is (missing == "_give_up_sockets")


@WALLS
def test_a_wall_that_is_missing_is_said(peek):
    """And that the test above finds something when there is something to find."""
    found = peek("_leave_the_network", "_give_up_sockets")

    assert {"network", "sockets"} <= set(found["missing"])
    assert (found["internet"], found["local"]) == (True, True)


@WALLS
def test_cuda_keeps_its_local_sockets_and_no_others(peek):
    found = peek("_leave_the_network", on_cpu=False)

    assert found["internet"] is ("sockets" in found["missing"])
    assert found["local"] is True


@WALLS
def test_a_contained_process_has_bounded_resources(peek):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    work, look = peek(), peek(only_looks=True)

    assert work["limits"] == {
        "RLIMIT_CORE": [0, 0],
        "RLIMIT_FSIZE": [64 * 1024**3] * 2,
        "RLIMIT_CPU": [30 * 24 * 3600] * 2,
        "RLIMIT_AS": [max(8 * 1024**3, memory)] * 2,
    }
    assert look["limits"]["RLIMIT_CPU"] == [120, 120]
    assert look["limits"]["RLIMIT_AS"] == [4 * 1024**3] * 2
    assert look["fits"] is False


def test_work_steps_back_behind_pages_and_a_look_does_not(peek):
    assert [peek()["nice"] - os.nice(0), peek(only_looks=True)["nice"] - os.nice(0)] == [10, 0]


def test_the_child_gets_none_of_our_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    with Run(["--probe", "--", str(make_clip(tmp_path / "in.mp4", width=480, height=360, frames=100))]) as run:
        environment = Path(f"/proc/{run.pid}/environ").read_bytes()
        run.facts()

    assert b"hunter2" not in environment
    assert b"postgres" not in environment
