"""`manage.py run`, for real: from nothing to an answered request, through deaths, to no process left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.conftest import need_model
from tests.ops.house import ROOT, House, environment, free_port, manage, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SECOND_START_SECONDS = 60
"""A promise of "seconds", with room for a machine that is busy with other things; alone it takes about four."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole file, with a space in its path: the static files are collected once."""
    folder = tmp_path_factory.mktemp("a house") / "its data"
    folder.mkdir()
    # Only as a place to look: with --no-models nothing is installed there.
    (folder / "models").symlink_to(ROOT / "data" / "models")
    return folder


def cleared(made: House) -> Iterator[House]:
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)
    made.process.wait(10)


@pytest.fixture
def house(data_dir: Path) -> Iterator[House]:
    yield from cleared(House(data_dir, "--no-models"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Iterator[House]:
    """For tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("shared") / "data"
    if (data_dir / "static").exists():  # run alone, it collects its own
        shutil.copytree(data_dir / "static", folder / "static")
    made = House(folder, "--no-models")
    made.wait_ready()
    yield from cleared(made)


def is_well(house: House) -> bool:
    checks = house.health()[1].get("checks", {})
    return bool(checks) and all(check["ok"] for name, check in checks.items() if name != "models")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_serves_and_a_signal_leaves_nothing(house: House, number: signal.Signals) -> None:
    house.wait_ready()
    names = " ".join(house.processes().values())

    status = house.stop(number)

    queues = ("rqworker preview cpu gpu", "rqworker preview --", "rqworker default", "rqworker webhooks")
    for part in ("valkey", "gunicorn", *queues, "reconcile", "fakestripe"):
        assert part in names
    assert f"ready at http://127.0.0.1:{house.port}" in house.said()
    assert status == 0
    assert house.processes() == {}
    assert not (house.data_dir / "queue" / "url").exists()


def test_a_second_start_takes_seconds_and_keeps_what_was_there(house: House) -> None:
    """The first test of this file made the folder."""
    took = house.wait_ready()

    assert took < SECOND_START_SECONDS
    assert "Collecting the static files" not in house.said()


def test_killing_the_supervisor_leaves_nothing_and_the_next_start_works(house: House) -> None:
    house.wait_ready()

    house.process.kill()
    house.process.wait(10)

    wait_for(lambda: not house.processes(), 10, house.processes)
    again = House(house.data_dir, "--no-models")
    again.wait_ready()
    assert again.stop() == 0
    assert again.processes() == {}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/jobs HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET /v1/jobs?" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /v1/jobs HTTP/1.1\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_no_http_request_is_refused_in_json(shared: House, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as client:
        client.sendall(sent)
        answer = HTTPResponse(client)
        answer.begin()
        error = json.loads(answer.read())["error"]

    assert (answer.status, answer.getheader("Content-Type")) == (status, "application/json")
    assert (error["code"], error["request_id"]) == ("invalid_request", answer.getheader("X-Request-Id"))


@pytest.mark.parametrize("words", [("valkey",), ("gunicorn",), ("rqworker", "default"), ("reconcile",)])
def test_a_part_that_dies_is_started_again(shared: House, words: tuple[str, ...]) -> None:
    before = set(shared.find(*words))

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    wait_for(lambda: set(shared.find(*words)) - before and is_well(shared), 60, shared.said)
    assert "starting it again in 1 s" in shared.said()


def test_a_second_instance_on_the_same_folder_is_refused(shared: House) -> None:
    second = manage(environment(shared.data_dir, free_port()), "run", "--no-models")

    assert second.returncode == 1
    assert f"Clearmatte already runs on {shared.data_dir}" in second.stderr
    assert f"process {shared.process.pid}, http://127.0.0.1:{shared.port}" in second.stderr
    assert is_well(shared)


def test_other_commands_find_the_running_queue(shared: House) -> None:
    found = shared.manage("doctor")

    assert f"process {shared.process.pid} serves http://127.0.0.1:{shared.port}" in found.stdout
    assert re.search(r"ok    workers          preview [12], cpu 1, gpu 1, default 1, webhooks 1", found.stdout)


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = manage(environment(tmp_path, port), "run", "--no-models")

    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert not (tmp_path / "logs").exists()


def test_sandbox_is_refused_for_other_machines(tmp_path: Path) -> None:
    done = manage(environment(tmp_path, free_port(), HOST="0.0.0.0"), "run", "--no-models")

    assert done.returncode == 1
    assert "make run HOST=0.0.0.0 SANDBOX=0 SITE_URL=" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "abc", "PORT must be a whole number, not 'abc'"),
        ("PORT", "99999", "PORT must be between 1 and 65535"),
        ("ENGINE_THREADS", "-2", "ENGINE_THREADS must be between 0 and 256"),
        ("SITE_URL", "cutout.example.org", "SITE_URL must begin with http:// or https://"),
        ("MODEL_LICENCES", "Permisive", "MODEL_LICENCES must be all or permissive"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    """A misspelt wish for permissive licences above all: it must not fetch what it was meant to keep out."""
    done = manage({**environment(tmp_path, free_port()), name: value}, "models")

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_given_queue_server_is_used(shared: House, tmp_path: Path) -> None:
    """No embedded server beside it, and it survives our stop."""
    url = (shared.data_dir / "queue" / "url").read_text()
    shutil.copytree(shared.data_dir / "static", tmp_path / "other" / "static")

    guest = House(tmp_path / "other", "--no-models", REDIS_URL=url)
    guest.wait_ready()
    servers = guest.find("valkey")
    guest.stop()

    assert servers == []
    assert guest.processes() == {}
    assert is_well(shared)


def test_killing_the_supervisor_ends_a_job_in_the_middle(house: House) -> None:
    """Horse and engine too: neither has the supervisor for a parent."""
    need_model("light")
    house.wait_ready()
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--models", "light"], cwd=ROOT, env=house.environment
    ) as demo:
        wait_for(lambda: house.find("apps.engine"), 60, house.processes)

        house.process.kill()
        demo.kill()
    house.process.wait(10)

    wait_for(lambda: not house.processes(), 10, house.processes)


def test_demo_gives_an_account_and_finished_jobs(shared: House) -> None:
    need_model("light")
    (shared.data_dir / "models").symlink_to(ROOT / "data" / "models")

    done = shared.manage("demo", "--models", "light", timeout=300)

    assert done.returncode == 0, done.stderr
    assert f"Demo job of model light: completed, http://127.0.0.1:{shared.port}/jobs/" in done.stdout
    key = done.stdout.split("API key")[1].split()[0]
    request = urllib.request.Request(f"http://127.0.0.1:{shared.port}/v1/jobs", headers={"X-Api-Key": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        jobs = json.load(answer)["data"]
    assert [(job["model"], job["status"], job["output_format"]) for job in jobs] == [("light", "completed", "webm")]
