"""A decoder that crashes, hangs or eats memory ends the child it runs in, with an error that says which; never us."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from apps.engine import EngineFault, InputRefused, LimitExceeded, Limits, Options, OutOfMemory, child
from apps.engine.child import ROOT
from apps.engine.contain import PROBE_ADDRESS_SPACE, PROBE_CPU_SECONDS
from apps.engine.facts import survey
from tests.clips import make_clip

FAULTS = {
    "crash": "import ctypes; ctypes.string_at(0)",
    "memory": "import numpy; kept = [numpy.empty(1 << 28, numpy.uint8) for _ in range(1 << 20)]",
    "hang": "import time; time.sleep(600)",
    "exit": "import os; os._exit(0)",
}


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes decoders fail in the child in a given way: everything else there is real."""
    folder = tmp_path / "faulty"
    folder.mkdir()

    def break_decoding(fault: str) -> None:
        script = (
            "import sys\n"
            "import apps.engine.__main__ as engine\n"
            f"def broken(*_):\n    {FAULTS[fault]}\n"
            "engine._probe = engine._process = broken\n"
            "sys.exit(engine.main(sys.argv[3:]))\n"
        )
        (folder / "script.py").write_text(script)
        wrapper = folder / "python"
        # The child is called as `python -m apps.engine …`, from the root of the code.
        run = f"exec(open('{folder}/script.py').read())"
        wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{run}" "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(wrapper))

    return break_decoding


def work(tmp_path: Path) -> None:
    given, made = tmp_path / "given", tmp_path / "made"
    given.mkdir()
    made.mkdir()
    clip = make_clip(given / "in.mp4")
    with child.start(clip, made / "out.mov", Options(model="chroma", format="mov"), models_dir=tmp_path) as run:
        run.result()


@pytest.mark.parametrize(("fault", "words"), [("crash", "ended with -11"), ("exit", "ended with 0 and no report")])
def test_a_crash_is_a_fault_that_names_itself(tmp_path, faulty, fault, words):
    faulty(fault)

    with pytest.raises(EngineFault, match=words):
        child.probe(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(EngineFault, match=words):
        work(tmp_path)
    assert list((tmp_path / "made").iterdir()) == []


def test_a_memory_bomb_meets_its_wall(tmp_path, faulty):
    """Not the machine's: what it asks for is refused, and it says so."""
    faulty("memory")

    with pytest.raises(OutOfMemory):
        child.probe(make_clip(tmp_path / "a.mp4"), timeout=300)


def test_a_hang_is_given_up(tmp_path, faulty):
    faulty("hang")

    with pytest.raises(InputRefused, match="too long"):
        child.probe(make_clip(tmp_path / "a.mp4"), timeout=3)


PEEK = """
import json, os, resource, sys
from apps.engine.contain import contain
contain(parent=int(sys.argv[1]), on_cpu=True, only_looks=sys.argv[2] == "looks")
print(json.dumps([resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]]))
"""


def walls(kind: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", PEEK, str(os.getpid()), kind],
        cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    found: list[int] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY, reason="this machine has walls of its own"
)
def test_looking_has_closer_walls_than_working():
    looks, works = walls("looks"), walls("works")

    assert looks == [PROBE_ADDRESS_SPACE, PROBE_CPU_SECONDS]
    assert works[0] > looks[0]
    assert works[1] > looks[1]


def test_frames_at_one_time_count_for_the_rate(tmp_path):
    """A price is for seconds: a thousand frames in one of them must not slip through."""
    clip = make_clip(tmp_path / "a.mkv", frames=300, times_ms=[0] * 100 + [1] * 100 + [1000] * 100)

    assert survey(clip).facts.frames == 300
    with pytest.raises(LimitExceeded, match="at most 240 are allowed") as refusal:
        survey(clip, limits=Limits(max_fps=240))
    assert refusal.value.param == "max_fps"
