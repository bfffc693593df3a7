"""No file makes the engine open another file or an address: watched by the kernel, call by call."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from apps.engine.child import ROOT
from tests.conftest import missing
from tests.engine.traps import SECRET, Trap, make_traps

WATCHED = "open,openat,openat2,connect,bind,listen,sendto,sendmsg,execve"

WALK = """
import json, sys
from apps.engine.__main__ import main
for path, target in json.loads(sys.argv[1]):
    main(["--json", "--probe", "--", path])
    main(["--json", "--model", "chroma", "--format", "mov", "--threads", "1", "--", path, target])
"""


@contextmanager
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port on loopback, and who came."""
    guests: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    guests.append(server.accept())
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], guests
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def watch(script: str, *arguments: str, log: Path) -> subprocess.CompletedProcess[str]:
    """Python without the network wall around it, so that only the door itself can hold; every call is written down."""
    tracer = shutil.which("strace") or missing("strace")
    if subprocess.run([tracer, "-qq", "-o", os.devnull, "true"], check=False).returncode:
        pytest.skip("this machine allows nobody to trace a process")
    command = [tracer, "-f", "-qq", "-s", "500", "-e", f"trace={WATCHED}", "-o", str(log), sys.executable, "-c", script]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watched through Linux's ptrace")
def test_no_file_makes_the_engine_open_another_file_or_an_address(tmp_path):
    given, made, log = tmp_path / "given", tmp_path / "made", tmp_path / "calls"
    given.mkdir()
    made.mkdir()
    with listener() as (port, guests):
        traps = make_traps(given, port)
        pairs = [(str(trap.path), str(made / f"{trap.path.name}.mov")) for trap in traps]
        done = watch(WALK, json.dumps(pairs), log=log)

    reports = [json.loads(line) for line in done.stdout.splitlines() if '"progress"' not in line[:12]]
    assert [report["status"] == "completed" for report in reports] == [trap.is_video for trap in traps for _ in "12"], (
        done.stderr[-2000:]
    )
    calls = log.read_text(errors="replace")
    assert touched(calls, given) == {trap.path.name for trap in traps}
    assert "/etc/passwd" not in re.sub(r"execve\(.*", "", calls)
    assert re.findall(r"sa_family=AF_INET6?.*", calls) == []
    assert guests == []


def touched(calls: str, folder: Path) -> set[str]:
    """Names of the files in a folder that were opened."""
    paths = re.findall(r'open(?:at|at2)?\([^"]*"([^"]+)"', calls)
    return {Path(path).name for path in paths if Path(path).parent == folder}


def test_the_watch_sees_what_it_is_there_for(tmp_path):
    """The same watch over a reader without our walls: it does open the secret."""
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {SECRET}\n")
    make_traps(tmp_path, 9)
    script = "import av, sys\nprint(len(list(av.open(sys.argv[1]).demux())))"

    done = watch(script, str(tmp_path / "list.mp4"), log=tmp_path / "calls")

    assert int(done.stdout) > 0
    assert SECRET in touched((tmp_path / "calls").read_text(errors="replace"), tmp_path)


@pytest.mark.parametrize("name", ["url.mov", "alias.mov", "subtitles.avi", "attachment.mkv"])
def test_the_traps_that_are_videos_are_well_made(tmp_path, name):
    """Each says what it is meant to say, to a reader that listens."""
    with listener() as (port, _):
        traps = {trap.path.name: trap for trap in make_traps(tmp_path, port)}
    trap: Trap = traps[name]

    with av.open(str(trap.path)) as container:
        kinds = [stream.type for stream in container.streams]
    data = trap.path.read_bytes()

    assert "video" in kinds
    assert (SECRET.encode() in data) or (b"#EXTM3U" in data)
