"""Several frames a call, half the bits and a bound memory: the same mattes as one by one, in float32, by value."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from django.conf import settings

from apps.engine.matting import halves, models, selftest, u2net, weights
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.opening import Opened
from apps.engine.matting.runtime import open_session
from apps.engine.matting.rvm import RVM
from apps.engine.matting.u2net import U2Net
from tests.conftest import missing
from tests.engine.pretended import PretendedGpu, save_mixture, save_recurrent


def walk(count: int) -> list[Any]:
    return [selftest.figure((70, 110, 60), 0.35 + 0.01 * index) for index in range(count)]


@pytest.mark.parametrize(
    ("batch", "most_pixels", "calls"),
    [("N", 10 * 64 * 64, [3]), ("N", 2 * 64 * 64, [2, 1]), ("N", 1, [1, 1, 1]), (1, 10 * 64 * 64, [1, 1, 1])],
    ids=["all", "two", "large", "declared"],
)
def test_a_network_sees_as_many_frames_a_call_as_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: str | int, most_pixels: int, calls: list[int]
) -> None:
    save_mixture(tmp_path / "model.onnx", batch)
    monkeypatch.setattr(u2net, "CALL_PIXELS", most_pixels)
    session = PretendedGpu(str(tmp_path / "model.onnx"))
    plain = U2Net(open_session(tmp_path / "model.onnx"), 64)

    found = U2Net(session, 64).predict_many(walk(3))

    assert session.calls == calls
    alone = [plain.predict_many([frame])[0] for frame in walk(3)]
    assert np.abs(np.stack(found) - np.stack(alone)).max() < 1e-4
    assert np.abs(found[0] - found[2]).max() > 0.5


def test_on_a_gpu_every_frame_is_looked_at_several_in_a_call(tmp_path: Path) -> None:
    save_mixture(tmp_path / "model.onnx")
    session = PretendedGpu(str(tmp_path / "model.onnx"))
    without = frozenset({"mirror"})
    on_gpu = models.light(Opened(session, "cuda", "tiny-fp16@abcdef01"), without=without).session(384, 288)

    mattes = [matte for frame in walk(11) for matte in on_gpu.push(frame)] + on_gpu.flush()

    assert session.calls == [8, 3]
    assert [matte.inferred for matte in mattes] == [True] * 11


def real(network: str) -> Path:
    status = weights.network_status(Path(settings.MODELS_DIR), weights.networks()[network])
    if not status.installed:
        missing(f"the network {network}")
    return status.path / "model.onnx"


@pytest.mark.parametrize("network", ["u2net", "isnet", "modnet"])
def test_real_networks_give_each_frame_of_a_batch_what_they_give_it_alone(network: str, tmp_path: Path) -> None:
    graph = onnx.load(str(real(network)))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(graph, str(tmp_path / "model.onnx"))
    session = open_session(tmp_path / "model.onnx")
    look = MODNet(session, 256) if network == "modnet" else U2Net(session, 256)

    together = look.predict_many(walk(3))

    alone = [look.predict_many([frame])[0] for frame in walk(3)]
    assert not u2net.takes_one(session)
    assert np.abs(np.stack(together) - np.stack(alone)).max() < 1e-4


@pytest.mark.parametrize("network", ["u2net", "isnet", "modnet"])
def test_real_networks_agree_with_themselves_in_float16(network: str, tmp_path: Path) -> None:
    """On this CPU, which shows the conversion to be right; each GPU is asked again on first use."""
    (tmp_path / "model.onnx").symlink_to(real(network))
    known = weights.networks()[network]
    known = replace(known, self_test={"side": min(known.self_test["side"], 512)})

    path = halves.proved(known, tmp_path, device="cpu")

    assert path == tmp_path / "model.fp16.onnx"
    assert path.stat().st_size < 0.55 * (tmp_path / "model.onnx").stat().st_size
    assert json.loads((tmp_path / "model.fp16.json").read_text())["iou"] > 0.99


def test_the_recurrent_network_is_given_back_its_memory(tmp_path: Path) -> None:
    save_recurrent(tmp_path / "model.onnx")
    network, frame = RVM(open_session(tmp_path / "model.onnx")), np.full((640, 640, 3), 51, np.uint8)

    alphas = [float(network.step(frame)[0][0, 0]) for _ in range(3)]
    network.reset()
    anew = float(network.step(frame)[0][0, 0])

    # The first frame is seen twice, so it finds one step of half (320 of 640) in the memory.
    assert alphas == pytest.approx([0.7, 1.2, 1.7])
    assert anew == pytest.approx(0.7)


def test_the_real_recurrent_network_computes_the_same_with_its_memory_bound() -> None:
    session = open_session(real("rvm"))
    network = RVM(session)
    frames = [np.ascontiguousarray(frame[:, 20:372]) for frame in walk(4)]
    plainly: list[Any] = []
    memory = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    for frame in [frames[0], *frames]:
        feed = {"src": frame.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)}
        feed["downsample_ratio"] = np.array([0.999], np.float32)
        feed |= {f"r{index}i": state for index, state in enumerate(memory, 1)}
        foreground, alpha, *memory = session.run(["fgr", "pha", "r1o", "r2o", "r3o", "r4o"], feed)
        plainly.append((alpha[0, 0], foreground[0].transpose(1, 2, 0)))

    found = [network.step(frame) for frame in frames]

    for (alpha, colour), (plain_alpha, plain_colour) in zip(found, plainly[1:], strict=True):
        assert np.array_equal(alpha, plain_alpha)
        assert np.array_equal(colour, plain_colour)
