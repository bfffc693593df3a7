"""`manage.py doctor`: silent about nothing, and every complaint says what to do."""

from __future__ import annotations

import importlib.metadata
import io
import socket
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.engine.matting import weights
from apps.ops import checks, doctor, queue_server
from apps.ops.checks import Check

pytestmark = pytest.mark.django_db


def found(name: str) -> doctor.Finding:
    return next(finding for finding in doctor.examine() if finding.subject == name)


@pytest.mark.parametrize("subject", ["python", "packages", "codecs", "disk", "database", "storage", "queue", "port"])
def test_a_sound_installation_is_told_so(subject: str, settings: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.PORT = probe.getsockname()[1]

    finding = found(subject)

    assert finding.level == "ok", finding.text


def test_packages_that_are_not_as_locked_are_named(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        'av==0.1 \\\n    --hash=x\nnever-made==1.0\nfor-windows==1.0 ; sys_platform == "win32"\n'
    )
    settings.BASE_DIR = tmp_path

    finding = doctor.packages()

    assert finding.level == "bad"
    assert "av is 18." in finding.text
    assert "never-made is missing" in finding.text
    assert "for-windows" not in finding.text


def test_a_codec_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENCODERS", ("libvpx-vp9", "never_made"))

    assert doctor.codecs().text.startswith("this PyAV lacks never_made. Install the wheel")


def test_packages_may_hold_onnxruntime_gpu_instead(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "requirements.lock").write_text("onnxruntime==1.32.0\n")
    settings.BASE_DIR = tmp_path

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    here = {"onnxruntime-gpu": ["its distribution"]}
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: here.get(name, []))

    with_gpu = doctor.packages()
    here.clear()

    assert (with_gpu.level, doctor.packages().level) == ("ok", "bad")


def test_the_device_is_said_with_its_precision_and_release(settings: Any) -> None:
    settings.ENGINE_DEVICE, settings.ENGINE_PRECISION, settings.ENGINE_THREADS = "cpu", "auto", 3

    finding = doctor.device()

    assert finding.level == "ok"
    assert finding.text.startswith("cpu, int8 where a network has it, else fp32, 3 threads, onnxruntime 1.")


@pytest.mark.parametrize(
    ("device", "precision", "text"),
    [
        ("cpu", "fp16", "precision must be one of auto, fp32, int8 on cpu, not fp16. (ENGINE_DEVICE=cpu, ENGINE_PRE"),
        ("npu", "auto", "device must be one of auto, cpu, cuda. (ENGINE_DEVICE=npu, ENGINE_PRECISION=auto)"),
    ],
)
def test_a_device_that_every_job_would_be_refused_on_is_bad(
    settings: Any, device: str, precision: str, text: str
) -> None:
    settings.ENGINE_DEVICE, settings.ENGINE_PRECISION = device, precision

    finding = doctor.device()

    assert finding.level == "bad"
    assert finding.text.startswith(text)


def test_a_gpu_that_does_not_start_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor,
        "DEVICE_PROBE",
        'print(\'{"device": "cpu", "why_not_cuda": "no driver.", "gpus": [], "threads": 2,'
        ' "onnxruntime": "1.31.1", "cuda": "13.0"}\')',
    )

    finding = doctor.device()

    assert finding.level == "note"
    assert finding.text.endswith(
        "onnxruntime 1.31.1 for CUDA 13.0; CUDA does not start: no driver. See docs/operations.md."
    )


def test_weights_that_the_manifest_does_not_know_are_bad(tmp_path: Path) -> None:
    row = weights.NetworkStatus("u2net", True, "", "f" * 64, 1, tmp_path / "u2net", {"said": "Self-test passed."})

    finding = doctor.network(row)

    assert finding.level == "bad"
    assert finding.text.endswith(f"rm -r {tmp_path}/u2net && manage.py models install u2net")


def test_licences_are_told_and_those_with_conditions_named(settings: Any) -> None:
    settings.MODEL_LICENCES = "all"
    everything = doctor.licences()
    settings.MODEL_LICENCES = "permissive"
    permissive = doctor.licences()

    assert (everything.level, "GPL-3.0" in everything.text) == ("note", True)
    assert (permissive.level, "GPL" in permissive.text) == ("ok", False)


@pytest.mark.parametrize(("said", "level"), [("as expected", "ok"), ("it gave [0.9], expected [0.2]", "bad")])
def test_thoroughly_means_that_networks_are_run_again(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path, said: str, level: str
) -> None:
    row = weights.NetworkStatus("u2net", True, "", "f" * 64, 1, tmp_path)
    monkeypatch.setattr(weights, "status", lambda folder: [row])
    monkeypatch.setattr(doctor, "SELF_TEST_PROBE", f"print({said!r})")

    (finding,) = doctor.self_tests()

    assert (finding.level, finding.subject) == (level, "self-test u2net")


def test_a_full_disk_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 10**18)

    assert doctor.disk().level == "bad"


def test_a_missing_network_comes_with_the_command_that_installs_it(settings: Any, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path

    finding = found("model pro")

    said = "lacks isnet, u2net, rvm, modnet: manage.py models install isnet u2net rvm modnet"
    assert finding == doctor.Finding("bad", "model pro", said)


def test_no_queue_server_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise queue_server.NoQueueServer("No queue server was found.")

    monkeypatch.setattr(queue_server, "find_binary", refuse)

    assert found("queue") == doctor.Finding("bad", "queue", "No queue server was found.")


def test_the_parts_of_a_running_site_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.instance, "running", lambda folder: {"pid": 1, "address": "http://127.0.0.1:8000"})
    monkeypatch.setattr(checks, "queue", lambda: Check(ok=True, facts={"waiting": {"cpu": 3, "default": 0}}))
    monkeypatch.setattr(checks, "workers", lambda: Check(ok=True, facts={"cpu": 1, "gpu": 1, "preview": 2}))

    said = [(finding.level, finding.subject, finding.text) for finding in doctor.running()]

    assert said == [
        ("ok", "queue", "waiting: cpu 3, default 0"),
        ("ok", "workers", "cpu 1, gpu 1, preview 2"),
        ("ok", "instance", "process 1 serves http://127.0.0.1:8000"),
    ]


def test_a_queue_server_of_ones_own_has_no_log_of_ours(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.REDIS_URL_GIVEN = "redis://:wrong@queue"
    monkeypatch.setattr(doctor.instance, "running", lambda folder: None)
    away = Check(ok=False, detail="the queue server does not answer")
    monkeypatch.setattr(checks, "queue", lambda: away)
    monkeypatch.setattr(checks, "workers", lambda: away)

    found = {finding.subject: finding.text for finding in doctor.running()}

    assert found["queue"] == (
        "the queue server does not answer. Check REDIS_URL, its password too, and that the server runs."
    )
    assert found["workers"].endswith("/logs.")


def test_a_taken_port_is_bad(settings: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.PORT = taken.getsockname()[1]

        assert "is in use by another program" in found("port").text


def test_the_exit_status_tells_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Check(ok=False, detail="the media folder cannot be written")
    monkeypatch.setattr(checks, "storage", lambda: bad)
    out = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out)

    assert ended.value.code == 1
    assert "BAD   storage          the media folder cannot be written" in out.getvalue()
    assert "to mend." in out.getvalue()


def test_a_full_disk_is_not_blamed_on_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**62)

    text = found("storage").text

    assert "full" in text
    assert "Free some." in text
    assert "S3_" not in text


def test_walls_that_this_kernel_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "WALL_PROBE", "print('network', 'sockets')")

    finding = doctor.walls()

    assert (finding.level, "network, sockets" in finding.text) == ("note", True)
