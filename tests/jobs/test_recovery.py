"""Every fault at every stage: what becomes of the job. The table in docs/recovery.md is what these tests saw.

`PYTEST_RECOVERY=write` writes the table anew.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from django.conf import settings as site
from django.db import connection

from apps.accounts.models import User
from apps.jobs import reconcile, services
from apps.ops.processes import Child
from tests import clips
from tests.fakes import Page, file_server
from tests.jobs.gates import IN_ENGINE, STAGES
from tests.jobs.lab import Lab, Strike, lab, queue_in
from tests.s3 import s3_store

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

TABLE = Path(__file__).resolve().parents[2] / "docs" / "recovery.md"
IMPOSSIBLE = "–"


@pytest.fixture(scope="module")
def queue(django_db_setup: None) -> Iterator[Child]:
    with queue_in(Path(site.DATA_DIR)) as server:
        yield server


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clips.make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=25).read_bytes()


@pytest.fixture
def on_its_way(alice: User, queue: Child, content: bytes, tmp_path: Path, settings: Any, db: None) -> Iterator[Lab]:
    settings.SCRATCH_DIR = tmp_path / "scratch"
    # The clock is moved by hand, so that a busy machine changes nothing.
    settings.LEASE_SECONDS, settings.MAX_ATTEMPTS = 600, 100
    with file_server() as outside, lab(alice, outside.add("/clip.mp4", Page(content)), queue, tmp_path) as made:
        settings.EGRESS_ALLOW = [outside.target]
        yield made


def engine_is_killed(lab: Lab, stage: str) -> None:
    lab.kill(lab.engine())
    lab.until_gone(lab.engine())


def engine_freezes(lab: Lab, stage: str) -> None:
    os.kill(lab.engine(), signal.SIGSTOP)
    lab.gates.hurry(True)
    lab.until_gone(lab.engine())
    lab.gates.hurry(False)


def horse_is_killed(lab: Lab, stage: str) -> None:
    """Its engine ends with it; until then it might walk on to the next gate."""
    lab.kill(lab.horse())
    lab.until_gone(*lab.family[1:])


def worker_is_killed(lab: Lab, stage: str) -> None:
    lab.kill(lab.worker)
    lab.until_gone(*lab.family)


def worker_freezes(lab: Lab, stage: str) -> None:
    """All of it, as a machine that is paused; it wakes when the job was given to another."""
    for pid in lab.family:
        os.kill(pid, signal.SIGSTOP)
    lab.pass_lease()
    assert reconcile.reap_lost() == 1
    lab.gates.open(stage)
    for pid in lab.family:
        os.kill(pid, signal.SIGCONT)
    lab.until_gone(*lab.family[1:])


def power_is_lost(lab: Lab, stage: str) -> None:
    lab.lose_queue()
    lab.kill(*lab.family)
    lab.until_gone(*lab.family)
    lab.start_queue()


def queue_is_lost(lab: Lab, stage: str) -> None:
    """Long enough for the worker to notice."""
    lab.lose_queue()
    time.sleep(3)
    lab.start_queue()


def worker_is_told_to_stop(lab: Lab, stage: str) -> None:
    os.kill(lab.worker, signal.SIGTERM)
    if stage in BROKEN_OFF:
        lab.until_gone(*lab.family)


def owner_cancels(lab: Lab, stage: str) -> None:
    services.cancel(lab.now())
    if stage != "settle":
        lab.until_gone(*lab.family[1:])


def owner_deletes(lab: Lab, stage: str) -> None:
    owner_cancels(lab, stage)
    services.delete_media(lab.now())


def store_is_away(lab: Lab, stage: str) -> None:
    """From this stage on, until the job gave up or came to the next one."""
    assert lab.store is not None
    lab.store.fails = lambda method, address: True


def connections_are_lost(lab: Lab, stage: str) -> None:
    """All but ours, as when the server is started again."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with connection.cursor() as cursor:
        cursor.execute(f"{others} AND pid <> pg_backend_pid()")


def nothing(lab: Lab, stage: str) -> None:
    """What the gate does is the fault."""


BROKEN_OFF = ("fetch", "probe", "bring", "decode", "matte", "encode", "verify")


@dataclass(frozen=True)
class Fault:
    strike: Strike = nothing
    stages: tuple[str, ...] = STAGES
    gate: str = "wait"
    """What happens at the gate, where that is the fault."""


FAULTS = {
    "the engine is killed (`kill -9`)": Fault(engine_is_killed, IN_ENGINE),
    "the engine freezes": Fault(engine_freezes, IN_ENGINE[1:]),
    "memory runs out in the engine": Fault(stages=IN_ENGINE, gate="memory"),
    "the worker's fork is killed (`kill -9`)": Fault(horse_is_killed),
    "the worker is killed (`kill -9`)": Fault(worker_is_killed),
    "the worker freezes, and wakes too late": Fault(worker_freezes),
    "power is lost, and the queue with it": Fault(power_is_lost),
    "the queue is lost": Fault(queue_is_lost),
    "the disk is full": Fault(gate="room"),
    "the worker is told to stop (SIGTERM)": Fault(worker_is_told_to_stop),
    "its owner cancels": Fault(owner_cancels),
    "its owner deletes": Fault(owner_deletes),
}
ON_S3 = {"the store answers 503": Fault(store_is_away, gate="first")}
ON_POSTGRESQL = {"the database's connections are lost": Fault(connections_are_lost)}


def observed(lab: Lab, fault: Fault) -> dict[str, str]:
    """Strike at one stage after the other; a job that is over is followed by a new one. The last one is let finish."""
    found = dict.fromkeys(STAGES, IMPOSSIBLE)
    for stage in fault.stages:
        is_database = (fault.gate, stage) == ("room", "settle")
        lab.gates.shut(stage, "database" if is_database else fault.gate)
    for stage, next_stage in zip(fault.stages, (*fault.stages[1:], None), strict=True):
        if lab.job is None or lab.now().is_final:
            lab.until_idle()
            lab.submit()
        lab.come_to(stage)
        fault.strike(lab, stage)
        lab.gates.open(stage)
        found[stage] = lab.outcome(next_stage=next_stage)
        lab.mend()
        lab.check()
    finish(lab)
    return found


def finish(lab: Lab) -> None:
    """Without any more trouble, the job is delivered, and charged once."""
    lab.until_idle()
    if not lab.now().is_final:
        reconcile.reconcile()
        lab.start_worker()
        lab.until_idle()
        assert lab.now().status == "completed", lab.told()
    lab.check()


def written(fault: str, found: dict[str, str]) -> dict[str, str]:
    """What the table says of a fault; first what was found is written there, if that is asked for."""
    text = TABLE.read_text(encoding="utf-8")
    before, table, after = re.split(r"(?<=<!-- observed -->\n)(.*)(?=<!-- /observed -->)", text, flags=re.DOTALL)
    lines = {line.split("|")[1].strip(): line for line in table.splitlines()}
    if os.environ.get("PYTEST_RECOVERY") == "write":
        lines[fault] = f"| {fault} | {' | '.join(found.values())} |"
        order = ["", "---", *FAULTS, *ON_S3, *ON_POSTGRESQL]
        table = "".join(f"{lines[name]}\n" for name in order if name in lines)
        TABLE.write_text(before + table + after, encoding="utf-8")
    cells = [cell.strip() for cell in lines[fault].strip("|").split("|")[1:]] if fault in lines else []
    return dict(zip(STAGES, cells, strict=False))


@pytest.mark.parametrize("fault", FAULTS if connection.vendor == "sqlite" else ON_POSTGRESQL)
def test_a_job_survives(fault: str, on_its_way: Lab) -> None:
    found = observed(on_its_way, {**FAULTS, **ON_POSTGRESQL}[fault])

    assert written(fault, found) == found


@pytest.mark.parametrize("fault", ON_S3)
def test_a_job_survives_on_s3(fault: str, on_its_way: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
    with s3_store() as store:
        on_its_way.store = store

        found = observed(on_its_way, ON_S3[fault])

        assert written(fault, found) == found
        assert store.unfinished() == 0


def test_a_job_survives_on_postgresql(postgresql: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ds=tests.settings", __file__, "-v", "-p", "no:cacheprovider",
         "-k", "survives and database"],
        env={**os.environ, "TEST_DATABASE_URL": postgresql},
        cwd=site.BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_table_says_nothing_that_was_not_seen() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", TABLE.read_text(encoding="utf-8").split("observed -->")[1], re.MULTILINE)

    assert rows == [*FAULTS, *ON_S3, *ON_POSTGRESQL]
