"""Which device and which precision, and several frames a call. A GPU is pretended: the same sessions under its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

from apps.engine.errors import BadOptions, EngineFault
from apps.engine.matting import halves, manifest, opening, runtime, selftest, weights
from apps.engine.matting.load import load
from apps.engine.matting.opening import Opener
from apps.engine.matting.runtime import CPU, CUDA, Chosen, choose_device, open_session
from tests.engine.pretended import REAL_SESSION, PretendedGpu, save_mixture

Install = Callable[..., Path]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendedGpu)


@pytest.fixture
def broken_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed, but its driver is not there."""

    def refuse(*given: Any, providers: list[str], **options: Any) -> Any:
        if CUDA in providers:
            raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient\nat some line")
        return REAL_SESSION(*given, providers=providers, **options)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)


@pytest.fixture
def unloadable_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed, but its libraries are not there: onnxruntime goes on with the CPU and says nothing."""

    def without(*given: Any, providers: list[str], **options: Any) -> Any:
        return REAL_SESSION(*given, providers=[CPU], **options)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", without)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put the tiny network where U²-Net would be; the folder of models is what it gives back."""

    def place(batch: str | int = "N", *, int8: bool = False) -> Path:
        folder = tmp_path / "models" / "u2net"
        folder.mkdir(parents=True)
        save_mixture(folder / "model.onnx", batch)
        if int8:
            save_mixture(folder / "model.int8.onnx", batch)
        files = {path.name: {"bytes": path.stat().st_size} for path in folder.iterdir()}
        record = {"revision": 1, "sha256": "abcdef0123456789", "files": files, "self_test": {}}
        (folder / "installed.json").write_text(json.dumps(record), encoding="utf-8")
        known = manifest.read()
        tiny = replace(known["u2net"], self_test={"side": 64, "means": []})
        monkeypatch.setattr(weights, "networks", lambda: {**known, "u2net": tiny})
        return tmp_path / "models"

    return place


def tag(models_dir: Path, device: str, precision: str = "auto") -> str:
    return Opener(models_dir, device=device, threads=1, precision=precision).open("u2net").tag


# Choosing the device


def test_the_network_that_tries_a_device_is_the_identity() -> None:
    model = onnx.load_from_string(runtime.IDENTITY)

    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]


def test_the_record_names_the_file_that_runs_and_not_only_what_it_was_made_from(install: Install) -> None:
    models_dir = install(int8=True)
    file = models_dir / "u2net" / "model.int8.onnx"

    opened = Opener(models_dir, device="cpu", threads=1, precision="int8").open("u2net")

    assert opened.record == {
        "network": "u2net",
        "precision": "int8",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "weights_sha256": "abcdef0123456789",
    }


def test_auto_is_the_cpu_where_onnxruntime_has_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

    assert choose_device("auto") == Chosen("cpu")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("asked", "device"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_a_gpu_that_starts_is_used_unless_the_cpu_is_asked_for(asked: str, device: str) -> None:
    assert choose_device(asked) == Chosen(device)


@pytest.mark.usefixtures("broken_gpu")
def test_auto_goes_on_without_a_gpu_that_does_not_start_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    chosen = choose_device("auto")

    assert chosen == Chosen("cpu", "CUDA failure 35: CUDA driver version is insufficient.")
    assert caplog.messages == [f"CUDA did not start, so this runs on the CPU: {chosen.why_not_cuda}"]


@pytest.mark.usefixtures("unloadable_gpu")
def test_auto_sees_a_gpu_whose_libraries_are_missing() -> None:
    chosen = choose_device("auto")

    assert chosen.device == "cpu"
    assert chosen.why_not_cuda.startswith("its libraries do not load")


@pytest.mark.usefixtures("broken_gpu")
def test_cuda_that_does_not_start_is_refused_when_asked_for() -> None:
    with pytest.raises(BadOptions, match=r"did not start on this machine: CUDA failure 35.* Use device cpu") as caught:
        choose_device("cuda")

    assert caught.value.param == "device"


def test_cuda_that_is_not_there_is_refused_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

    with pytest.raises(BadOptions, match="has no CUDA: install onnxruntime-gpu") as caught:
        choose_device("cuda")

    assert caught.value.param == "device"


@pytest.mark.usefixtures("unloadable_gpu")
def test_a_network_that_would_slip_to_the_cpu_is_a_fault(tmp_path: Path) -> None:
    save_mixture(tmp_path / "model.onnx")

    with pytest.raises(EngineFault, match="does not run on CUDA"):
        open_session(tmp_path / "model.onnx", device="cuda")


def test_sessions_never_fall_back_by_themselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """onnxruntime would go on without a lost GPU, and the job would say that it ran there."""
    save_mixture(tmp_path / "model.onnx")

    assert open_session(tmp_path / "model.onnx")._enable_fallback is False


# Choosing the precision


@pytest.mark.parametrize(
    ("int8", "precision", "expected"),
    [(True, "auto", "int8"), (True, "int8", "int8"), (True, "fp32", "fp32"), (False, "auto", "fp32")],
)
def test_a_cpu_takes_int8_where_it_is(install: Install, int8: bool, precision: str, expected: str) -> None:
    assert tag(install(int8=int8), "cpu", precision) == f"u2net-{expected}@abcdef01"


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("precision", "expected"), [("auto", "fp16"), ("fp16", "fp16"), ("fp32", "fp32")])
def test_a_gpu_takes_float16_that_agrees(install: Install, precision: str, expected: str) -> None:
    models_dir = install(int8=True)

    assert tag(models_dir, "cuda", precision) == f"u2net-{expected}@abcdef01"
    assert (models_dir / "u2net" / "model.fp16.onnx").exists() == (expected == "fp16")


@pytest.mark.usefixtures("broken_gpu")
def test_the_cpu_in_place_of_a_gpu_takes_int8_from_the_first_network(install: Install) -> None:
    assert tag(install(int8=True), "auto") == "u2net-int8@abcdef01"


@pytest.mark.usefixtures("gpu")
def test_float16_is_tried_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    models_dir, tries = install(), []
    monkeypatch.setattr(selftest, "agreement", lambda *given: tries.append(given) or 0.99)

    tags = [tag(models_dir, "cuda"), tag(models_dir, "cuda")]

    assert tags == ["u2net-fp16@abcdef01"] * 2
    assert len(tries) == 1


@pytest.mark.usefixtures("gpu")
def test_float16_that_strays_is_dropped_and_said_and_remembered(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    models_dir, tries = install(), []
    monkeypatch.setattr(selftest, "agreement", lambda *given: tries.append(given) or 0.7)

    tags = [tag(models_dir, "cuda"), tag(models_dir, "cuda")]

    assert tags == ["u2net-fp32@abcdef01"] * 2
    assert len(tries) == 1
    assert caplog.messages == ["u2net: float16 strays from float32, which is used instead (IoU 0.700)."]
    assert sorted(path.name for path in (models_dir / "u2net").iterdir()) == [
        "installed.json",
        "model.fp16.json",
        "model.onnx",
    ]


@pytest.mark.usefixtures("gpu")
def test_float16_is_tried_again_on_another_card(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    models_dir = install()
    answers = [0.99, 0.5]
    monkeypatch.setattr(selftest, "agreement", lambda *given: answers.pop(0))
    first = tag(models_dir, "cuda")

    monkeypatch.setattr(halves, "gpus", lambda: ["Another Card"])

    assert (first, tag(models_dir, "cuda")) == ("u2net-fp16@abcdef01", "u2net-fp32@abcdef01")


@pytest.mark.usefixtures("gpu")
def test_half_a_float16_file_is_made_again(install: Install) -> None:
    models_dir = install()
    tag(models_dir, "cuda")
    half = models_dir / "u2net" / "model.fp16.onnx"
    whole = half.read_bytes()
    half.write_bytes(whole[:100])

    assert tag(models_dir, "cuda") == "u2net-fp16@abcdef01"
    assert half.read_bytes() == whole


@pytest.mark.usefixtures("gpu")
def test_where_nothing_can_be_kept_float32_is_used(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    models_dir = install()
    (models_dir / "u2net" / "model.fp16.json").mkdir()

    assert tag(models_dir, "cuda") == "u2net-fp32@abcdef01"
    assert "no float16 copy can be kept" in caplog.messages[-1]
    assert list((models_dir / "u2net").glob("*.part")) == []


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
def test_a_precision_that_the_device_does_not_have_is_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(BadOptions, match=f"one of auto, fp32, int8 on cpu, not {precision}") as caught:
        load("light", models_dir=tmp_path, device="cpu", precision=precision)

    assert caught.value.param == "precision"


@pytest.mark.usefixtures("gpu")
def test_describe_says_what_a_job_would_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "gpus", lambda: ["A Card"])

    found = opening.describe(device="auto", precision="auto", threads=3)

    assert (found["device"], found["gpus"], found["threads"]) == ("cuda", ["A Card"], 3)
    assert found["onnxruntime"] == onnxruntime.__version__


@pytest.mark.usefixtures("gpu")
def test_an_installation_for_one_frame_a_call_is_said_on_a_gpu(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    models_dir = install(batch=1)

    tags = [tag(models_dir, "cuda", precision) for precision in ("fp32", "fp16")]

    assert tags == ["u2net-fp32@abcdef01", "u2net-fp16@abcdef01"]
    assert [text for text in caplog.messages if "one frame a call" in text] == [
        f"u2net was prepared for one frame a call: remove {models_dir / 'u2net'} and install it again."
    ]
