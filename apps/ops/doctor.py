"""Everything that an installation needs, asked one by one; each answer says what to do when it is bad."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, connection

from apps.engine.matting import weights
from apps.jobs import room
from apps.jobs.needs import NEEDS
from apps.ops import advice, checks, instance, queue_server, surroundings
from apps.ops.findings import Finding, bad, note, ok

ENCODERS = ("libvpx-vp9", "prores_ks", "libx264", "libwebp_anim", "gif", "png", "ffv1", "aac", "libopus", "pcm_s16le")
DECODERS = ("h264", "hevc", "libvpx", "libvpx-vp9", "av1", "prores", "mpeg4")
LEAST_FREE_BYTES = 5 * 1000**3
"""A ten-minute clip with its lossless matte and ProRes output passes 3 GB of scratch."""
CODEC_PROBE = """
import av, json, sys
def has(name, mode):
    try:
        av.Codec(name, mode)
    except Exception:
        return False
    return True
encoders, decoders = json.loads(sys.argv[1])
lacking = [n for n in encoders if not has(n, "w")] + [n for n in decoders if not has(n, "r")]
versions = ", ".join(f"{n} {'.'.join(map(str, v))}" for n, v in av.library_versions.items() if n != "libavdevice")
print(json.dumps([lacking, versions]))
"""
DEVICE_PROBE = """
import json, sys
from apps.engine.errors import BadOptions
from apps.engine.matting.opening import describe
try:
    print(json.dumps(describe(device=sys.argv[1], precision=sys.argv[2], threads=int(sys.argv[3]))))
except BadOptions as error:
    print(json.dumps({"refused": str(error)}))
"""
SELF_TEST_PROBE = """
import sys
from pathlib import Path
import numpy as np
from apps.engine.matting import selftest, weights
from apps.engine.matting.runtime import open_session
network = weights.networks()[sys.argv[1]]
session = open_session(Path(sys.argv[2]) / network.name / "model.onnx")
made = selftest.RUNS[network.preparation](session, int(network.self_test["side"]))
means = [round(float(one.mean()), 4) for one in made]
right = np.allclose(means, network.self_test["means"], atol=selftest.TOLERANCE, rtol=0)
print("as expected" if right else f"it gave {means}, expected {network.self_test['means']}")
"""
WALL_PROBE = "from apps.engine.contain import contain; print(*contain(parent=None, on_cpu=True))"


def examine(*, thoroughly: bool = False) -> Iterator[Finding]:
    """Thoroughly: every network is run on a drawn scene again, which takes a minute of both cores and a gigabyte."""
    yield python()
    yield packages()
    yield codecs()
    yield disk()
    yield configuration()
    yield database()
    yield from surroundings.examine()
    yield from models()
    yield licences()
    if thoroughly:
        yield from self_tests()
    yield device()
    yield walls()
    yield from running()


def python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return ok("python", f"{found}, {sys.executable}")
    return bad("python", f"{found} is not 3.11, 3.12 or 3.13: make run PYTHON=/path/to/python3.11")


def packages() -> Finding:
    """Every pin of the lock file against what is installed."""
    lock = (Path(settings.BASE_DIR) / "requirements.lock").read_text(encoding="utf-8")
    wrong = []
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(;)?", lock, re.MULTILINE)
    for name, version, marker in pins:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "onnxruntime" and _has_package("onnxruntime-gpu"):
                continue
            # A pin with a marker may be for another system than this.
            wrong += [] if marker else [f"{name} is missing"]
            continue
        if found != version:
            wrong.append(f"{name} is {found}, not {version}")
    if wrong:
        return bad("packages", f"{'; '.join(wrong[:5])}. Delete .venv/run.stamp and run make again.")
    return ok("packages", f"all {len(pins)} as locked")


def _has_package(name: str) -> bool:
    return any(importlib.metadata.distributions(name=name))


def codecs() -> Finding:
    wanted = json.dumps([ENCODERS, DECODERS])
    done = subprocess.run([sys.executable, "-c", CODEC_PROBE, wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        return bad("codecs", f"PyAV cannot be loaded: {done.stderr.strip()[-300:]}")
    missing, versions = json.loads(done.stdout)
    if missing:
        return bad("codecs", f"this PyAV lacks {', '.join(missing)}. Install the wheel that requirements.lock names.")
    return ok("codecs", f"{len(ENCODERS)} encoders and {len(DECODERS)} decoders in PyAV's own FFmpeg ({versions})")


def disk() -> Finding:
    free = shutil.disk_usage(settings.DATA_DIR).free
    text = f"{free / 1e9:.0f} GB free in {settings.DATA_DIR}; scratch holds {_scratch()}"
    if free < LEAST_FREE_BYTES:
        return bad("disk", f"{text}; a long clip needs {LEAST_FREE_BYTES / 1e9:.0f} GB. Free some, or move DATA_DIR.")
    return ok("disk", text)


def _scratch() -> str:
    now = room.look()
    of = f" of SCRATCH_BYTES={now.budget}" if now.budget else ""
    return f"{room.words(now.used)}{of}, {room.words(now.left)} could be promised to a job now"


def configuration() -> Finding:
    try:
        call_command("check", verbosity=0, stdout=io.StringIO(), stderr=io.StringIO())
        if settings.IS_HTTPS and not settings.SANDBOX:
            call_command("check", deploy=True, fail_level="WARNING", stdout=io.StringIO(), stderr=io.StringIO())
    except SystemCheckError as error:
        return bad("settings", " ".join(str(error).split()))
    if settings.SANDBOX:
        return note("settings", "SANDBOX=1: pretended payments and admin without MFA, for this machine only")
    return ok("settings", f"serving {settings.SITE_URL}")


def database() -> Finding:
    try:
        with connection.cursor() as cursor:
            pragma = {}
            if connection.vendor == "sqlite":
                for name in ("journal_mode", "synchronous"):
                    cursor.execute(f"PRAGMA {name}")
                    pragma[name] = str(cursor.fetchone()[0])
        behind = advice.missing_migrations()
    except DatabaseError as error:
        return bad("database", f"{connection.vendor} does not answer ({type(error).__name__}). Check DATABASE_URL.")
    if behind:
        return bad("database", f"{behind} migrations are missing: make run applies them, or manage.py migrate")
    if pragma and pragma["journal_mode"] != "wal":
        return bad("database", "SQLite is not in WAL mode: DATA_DIR must be on a local disk, not a network share")
    words = ", ".join(f"{name} {value}" for name, value in pragma.items())
    return ok("database", f"{connection.vendor}{f' ({words})' if words else ''}, all migrations applied")


def models() -> Iterator[Finding]:
    permissive = settings.MODEL_LICENCES == "permissive"
    for name, status in weights.model_status(Path(settings.MODELS_DIR), permissive=permissive).items():
        if status.installed:
            yield ok(f"model {name}", "installed")
        elif status.installing:
            yield note(f"model {name}", f"being installed: {status.installing}")
        else:
            lacks = ", ".join(status.missing)
            yield bad(f"model {name}", f"lacks {lacks}: manage.py models install {' '.join(status.missing)}")
    for row in weights.status(Path(settings.MODELS_DIR)):
        if row.installed:
            yield network(row)


def network(row: weights.NetworkStatus) -> Finding:
    """Its weights by the manifest's hash, and what its self-test said when it was prepared."""
    known = {file.sha256 for source in weights.networks()[row.name].sources for file in source.files}
    if row.sha256 not in known:
        again = f"rm -r {row.path} && manage.py models install {row.name}"
        return bad(
            f"network {row.name}", f"made from weights {row.sha256[:12]}… that the manifest does not know: {again}"
        )
    said = f"sha256 {row.sha256[:12]}…; {row.self_test.get('said', row.self_test)}"
    if row.is_outdated:
        again = f"manage.py models install {row.name} prepares it as this version of the software does"
        return note(f"network {row.name}", f"{said} {again}.")
    return ok(f"network {row.name}", said)


def licences() -> Finding:
    """Those of the networks that jobs may use here."""
    names = weights.all_needed(permissive=settings.MODEL_LICENCES == "permissive")
    used = [weights.networks()[name] for name in names]
    words = ", ".join(f"{one.title} {one.licence}" for one in used)
    if strict := [one.title for one in used if not one.is_permissive]:
        advice = "manage.py models tells which, MODEL_LICENCES=permissive does without"
        return note("licences", f"{words}. There are conditions on {', '.join(strict)}: {advice}.")
    return ok("licences", words)


def self_tests() -> Iterator[Finding]:
    here = [row.name for row in weights.status(Path(settings.MODELS_DIR)) if row.installed]
    for name in here:
        command = [sys.executable, "-c", SELF_TEST_PROBE, name, str(settings.MODELS_DIR)]
        done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
        if done.returncode or done.stdout.strip() != "as expected":
            said = (done.stdout.strip() or done.stderr.strip())[-300:]
            again = f"rm -r {Path(settings.MODELS_DIR) / name} && manage.py models install {name}"
            yield bad(f"self-test {name}", f"{said}: {again}")
        else:
            yield ok(f"self-test {name}", "run again just now, and as expected")


def device() -> Finding:
    """What a job's networks would run on, asked in a child as a job would."""
    asked = [settings.ENGINE_DEVICE, settings.ENGINE_PRECISION, str(settings.ENGINE_THREADS)]
    command = [sys.executable, "-c", DEVICE_PROBE, *asked]
    done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        return bad("device", f"onnxruntime cannot be loaded: {done.stderr.strip()[-300:]}")
    found = json.loads(done.stdout)
    if "refused" in found:
        return bad("device", f"{found['refused']} (ENGINE_DEVICE={asked[0]}, ENGINE_PRECISION={asked[1]})")
    fast = {"cpu": "int8", "cuda": "fp16"}[found["device"]]
    precision = "fp32" if asked[1] == "fp32" else f"{fast} where a network has it, else fp32"
    release = f"onnxruntime {found['onnxruntime']}" + (f" for CUDA {found['cuda']}" if found["cuda"] else "")
    cards = f" ({', '.join(found['gpus'])})" if found["gpus"] else ""
    text = f"{found['device']}{cards}, {precision}, {found['threads']} threads, {release}"
    if found["why_not_cuda"]:
        return note("device", f"{text}; CUDA does not start: {found['why_not_cuda']} See docs/operations.md.")
    return ok("device", text)


def walls() -> Finding:
    """What the engine's child can put between a stranger's file and this machine."""
    command = [sys.executable, "-c", WALL_PROBE]
    done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
    missing = done.stdout.split()
    if done.returncode:
        return bad("isolation", f"the engine's child cannot contain itself: {done.stderr.strip()[-300:]}")
    if missing:
        return note("isolation", f"not possible here: {', '.join(missing)} (a kernel or container without seccomp?)")
    return ok(
        "isolation", "the engine's child has no network and no sockets, limited resources, and dies with its parent"
    )


def running() -> Iterator[Finding]:
    """An instance that runs is asked for its parts; else whether one could start."""
    holder = instance.running(Path(settings.DATA_DIR))
    if holder or settings.REDIS_URL_GIVEN:
        for name, found in (("queue", checks.queue()), ("workers", checks.workers())):
            wrong = bad(name, f"{found.detail}. {where_to_look(name)}")
            yield ok(name, in_words(found.facts)) if found.ok else wrong
        yield from unheard(found.facts)
    if holder:
        yield ok("instance", f"process {holder.get('pid')} serves {holder.get('address')}")
        return
    yield note("instance", "none runs on this data folder: make run")
    if not settings.REDIS_URL_GIVEN:
        try:
            yield ok("queue", f"would run {queue_server.find_binary()}")
        except queue_server.NoQueueServer as error:
            yield bad("queue", str(error))
    yield port()


def where_to_look(name: str) -> str:
    if name == "queue" and settings.REDIS_URL_GIVEN:
        return "Check REDIS_URL, its password too, and that the server runs."
    return f"See {settings.DATA_DIR}/logs."


def in_words(facts: Mapping[str, Any]) -> str:
    """`cpu 3, webhooks 1`; what is counted by name under one word as `waiting: cpu 3, webhooks 1`."""
    return ", ".join(
        f"{name}: {in_words(fact)}" if isinstance(fact, Mapping) else f"{name} {fact}" for name, fact in facts.items()
    )


def unheard(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Needs for which no worker listens: a site may be meant so, until somebody comes with one."""
    if idle := [need for need in NEEDS if counts.get(need) == 0]:
        advice = f"make worker QUEUES={','.join(idle)}, or WORKER_QUEUES"
        yield note("needs", f"no worker takes jobs that need {' or '.join(idle)}; they would wait: {advice}")


def port() -> Finding:
    try:
        instance.bind(settings.HOST, settings.PORT).close()
    except (instance.CannotStart, socket.gaierror) as error:
        return bad("port", str(error))
    return ok("port", f"{settings.PORT} on {settings.HOST} is free")
