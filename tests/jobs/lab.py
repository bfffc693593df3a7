"""A job on its way through real workers, with gates in it, and whatever is done to it there put into words."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.conf import settings
from django.utils import timezone

from apps.accounts.models import User
from apps.credits.audit import audit
from apps.credits.models import Hold, Wallet
from apps.engine.options import Options
from apps.jobs import reconcile, remains, retention, services
from apps.jobs.models import Job, JobEvent, Output
from apps.jobs.worker import Worker
from apps.ops import queue_server
from apps.ops.processes import Child
from apps.projects import media
from apps.projects.models import Asset
from apps.webhooks.models import Delivery
from tests.forks import hang_up
from tests.jobs.gates import PATIENCE, Gates, is_gone
from tests.live import descendants, wait_for
from tests.s3 import Store

HOOK = "https://example.org/hook"
PRICE = 1_00
NEWS = ("requeued", "given_back", "completed", "failed", "canceled")


@dataclass
class Lab:
    """One account, one queue server, one worker at a time. We are the reconciler."""

    user: User
    gates: Gates
    address: str
    """Of the clip, outside."""
    queue: Child
    temporary: Path
    foreign: set[str]
    """Files that were there before us."""
    job: Job | None = None
    worker: int = 0
    family: list[int] = field(default_factory=list)
    store: Store | None = None
    seen: int = 0
    """How much of the timeline was put into words."""

    # -- going on ---------------------------------------------------------------------------

    def submit(self) -> Job:
        self.job = services.submit(self.user, video_url=self.address, options=Options(model="chroma"), webhook_url=HOOK)
        self.seen = 0
        return self.job

    def now(self) -> Job:
        assert self.job is not None
        return Job.objects.with_details().get(pk=self.job.pk)

    def come_to(self, stage: str) -> None:
        """Have a worker stand at this gate: the one that is there, or a new one should it just have been leaving."""
        for _ in range(2):
            if not self.is_working():
                reconcile.reconcile()
                self.start_worker()
            wait_for(lambda: self.gates.is_reached(stage) or not self.is_working(), seconds=PATIENCE, told=self.told)
            if self.gates.is_reached(stage):
                self.family = [self.worker, *descendants(self.worker)]
                return
        raise AssertionError(f"nobody came to {stage}: {self.told()}")

    def start_worker(self) -> None:
        """The site's worker class, forked from here instead of started, which saves loading everything anew."""
        hang_up()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.worker = os.fork()
        if self.worker:
            return
        try:
            queues = [django_rq.get_queue(name) for name in ("cpu", "default")]
            worker = Worker(queues, connection=queues[0].connection)
            worker.job_monitoring_interval = 1
            worker.work(burst=True, logging_level="ERROR")
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(0)

    def is_working(self) -> bool:
        if self.worker and os.waitpid(self.worker, os.WNOHANG)[0]:
            self.worker = 0
        return bool(self.worker)

    def horse(self) -> int:
        return self.family[1]

    def engine(self) -> int:
        return self.family[2]

    def kill(self, *pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def until_gone(self, *pids: int) -> None:
        """The worker is ours to bury."""
        wait_for(lambda: self.is_working() >= 0 and all(map(is_gone, pids)), seconds=PATIENCE, told=self.told)

    def until_idle(self) -> None:
        wait_for(lambda: not self.is_working(), seconds=PATIENCE, told=self.told)

    def mend(self) -> None:
        if self.store is not None:
            self.store.fails = lambda method, address: False

    # -- looking ------------------------------------------------------------------------------

    def outcome(self, *, next_stage: str | None) -> str:
        """What became of the job, once its worker has ended, stands at the next gate, or has let go of it."""
        assert self.job is not None

        def is_decided() -> bool:
            if self.news() or (next_stage and self.gates.is_reached(next_stage)):
                return True
            return self.has_let_go() or not self.is_working()

        wait_for(is_decided, seconds=PATIENCE, told=self.told)
        job, how = self.now(), " after the lease"
        if not self.news() and not job.is_final and not (next_stage and self.gates.is_reached(next_stage)):
            how = " at once" if self.has_let_go() else how
            self.pass_lease()
            assert reconcile.reap_lost() == 1, self.told()
        news = self.news()
        self.seen += len(news)
        if not news or news == ["completed"]:
            return "goes on"
        assert len(news) == 1, news
        words = {"requeued": f"again{how}", "given_back": "given back", "failed": f"failed: {job.error_code}"}
        return words.get(news[0], news[0])

    def news(self) -> list[str]:
        assert self.job is not None
        names = JobEvent.objects.filter(job=self.job, name__in=NEWS).order_by("id").values_list("name", flat=True)
        return list(names)[self.seen :]

    def has_let_go(self) -> bool:
        until = self.now().lease_until
        return until is not None and until <= timezone.now()

    def pass_lease(self) -> None:
        """As if its time had gone by."""
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.filter(pk=self.now().pk, lease__isnull=False).update(lease_until=past)

    def check(self) -> None:
        """Nothing is charged that was not delivered, nothing is held twice; files and processes are accounted for."""
        job = self.now()
        held = Hold.objects.filter(wallet__user=self.user, state=Hold.State.OPEN).count()
        assert held == (job.hold is not None and not job.is_final)
        delivered = Job.objects.filter(owner=self.user, status="completed").count()
        assert Wallet.objects.get(user=self.user).balance == 100_00 - PRICE * delivered
        assert audit() == []
        for each in Job.objects.filter(owner=self.user, status__in=Job.FINAL):
            told = list(Delivery.objects.filter(subject=each.pk).values_list("event", flat=True))
            assert told.count(f"job.{each.status}") == 1
            assert len(told) == len(set(told)), told
        if not self.is_working():
            reconcile.sweep()
            assert [path.name for path in Path(settings.SCRATCH_DIR).iterdir()] == []
            assert [path.name for path in self.temporary.iterdir()] == []
            assert {file.name for file in media.stored()} - self.foreign == recorded()

    def told(self) -> str:
        job = self.now()
        lines = JobEvent.objects.filter(job=job).order_by("id").values_list("name", "attempt", "detail")
        gates = sorted(path.name for path in self.gates.folder.iterdir())
        return f"{job.status} {job.stage} attempt={job.attempt} {job.error_code} {job.result} {list(lines)} {gates}"

    # -- the queue ----------------------------------------------------------------------------

    def lose_queue(self) -> None:
        """Its server dies, and what was in it is gone."""
        self.queue.kill()
        folder = Path(settings.DATA_DIR) / "queue"
        for path in folder.iterdir():
            if path.name != "url":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def start_queue(self) -> None:
        self.queue.start(dict(os.environ), Path(settings.DATA_DIR))
        url = queue_server.address_file(Path(settings.DATA_DIR)).read_text()
        wait_for(lambda: queue_server.is_alive(url), seconds=60, told=self.queue.tail)


def recorded() -> set[str]:
    outputs = Output.objects.exclude(file="").values_list("file", flat=True)
    return {*outputs, *Asset.objects.exclude(file="").values_list("file", flat=True)}


@contextmanager
def queue_in(data_dir: Path) -> Iterator[Child]:
    """A queue server that our queues are on."""
    url = queue_server.choose_address(data_dir)
    server = queue_server.child(queue_server.find_binary(), url, data_dir)
    with pytest.MonkeyPatch.context() as patch:
        for queue in django_rq.settings.QUEUES.values():
            patch.setitem(queue, "URL", url)
        server.start(dict(os.environ), data_dir)
        try:
            wait_for(lambda: queue_server.is_alive(url), seconds=60, told=server.tail)
            yield server
        finally:
            server.kill()
            queue_server.forget_address(data_dir)


@contextmanager
def lab(user: User, address: str, queue: Child, folder: Path) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("scratch", "temporary"):
            (folder / name).mkdir()
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        # What is cleared in time is cleared at once here, after every worker's end.
        patch.setattr(retention, "SCRATCH_SECONDS", -1)
        patch.setattr(retention, "CLAIM_SECONDS", -1)
        patch.setattr(remains, "SETTLED_AFTER", timedelta(0))
        foreign = {file.name for file in media.stored()}
        made = Lab(user, Gates(folder, patch), address, queue, folder / "temporary", foreign)
        try:
            yield made
        finally:
            made.kill(*made.family, *([made.worker] if made.worker else []))
            made.until_gone(*made.family)


Strike = Callable[[Lab, str], Any]
