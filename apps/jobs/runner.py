"""Carry one job through the engine's child process: bring the source, work, prove, store, settle.

Every way out leaves the scratch folder gone and the job either ended, given
back, or under a lease that runs out.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from apps.engine import child, errors
from apps.engine.formats import FORMATS
from apps.engine.report import OutputFile, Progress, Result
from apps.errors import AppError, Unavailable
from apps.jobs import diary, newest, services
from apps.jobs.attempts import heartbeat, note
from apps.jobs.models import Job
from apps.jobs.representation import options_of
from apps.projects import media
from apps.projects import services as projects
from apps.projects.models import Asset, media_storage

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RELAYED_BYTES = 16_384
"""Of the engine's log at each look: a decoder that complains of every frame must not fill ours."""
SLACK_SECONDS = 1.0
"""How far decoding may run past the held span before the file counts as changed (contract, 3)."""

JOB_CODES = (
    "unsupported_media", "limit_exceeded", "input_truncated", "input_changed", "fetch_failed", "insufficient_credits",
    "timeout", "out_of_memory", "worker_lost", "verification_failed", "internal_error",
)  # fmt: skip
"""All that a job's `error_code` may say."""

FAULT = "Something went wrong on our side and was noted. Nothing was charged: try again."


class Overtaken(Exception):
    """Canceled, or another worker has the job: leave without a trace."""


class Stopped(Exception):
    """The worker has to go."""


class StopSign:
    """The worker's SIGTERM. The engine's watch looks at it every second; a download is broken off by it."""

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self.breaks_off = False
        """While true the sign interrupts whatever runs: only for what leaves nothing half done."""

    def put_up(self) -> None:
        """Called by the signal handler, so in the main thread, which is the one that downloads."""
        self._is_up.set()
        if self.breaks_off:
            raise Stopped

    def take_down(self) -> None:
        self._is_up.clear()

    def obey(self) -> None:
        if self._is_up.is_set():
            raise Stopped


stop_sign = StopSign()


class Watch:
    """Raises TimeoutError once the work takes too long for its length, or stands still for too long."""

    def __init__(self, frames: int) -> None:
        self._began = self._moved = time.monotonic()
        self._most = settings.JOB_TIMEOUT_SECONDS + settings.JOB_TIMEOUT_SECONDS_PER_FRAME * frames
        self._seen: tuple[str, int] | None = None

    def look(self, progress: Progress | None) -> None:
        now = time.monotonic()
        if progress is not None and (progress.stage, progress.frames_done) != self._seen:
            self._seen, self._moved = (progress.stage, progress.frames_done), now
        if now - self._began > self._most:
            raise TimeoutError(f"The work took longer than {self._most / 3600:.1f} hours")
        if now - self._moved > settings.JOB_STALL_SECONDS:
            raise TimeoutError(f"The work stood still for {settings.JOB_STALL_SECONDS / 60:g} minutes")


class Relay:
    """The engine's own lines, said in this log too, with the request and the job they belong to."""

    def __init__(self, job: Job, path: Path) -> None:
        self._job, self._path, self._read = job, path, 0

    def pass_on(self) -> None:
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            news = file.read(RELAYED_BYTES)
            whole = news.rfind(b"\n") + 1 or len(news)
            self._read += whole
            for line in news[:whole].decode("utf-8", "replace").splitlines():
                log.info("job=%s engine: %s", self._job.pk, line)


@dataclass(frozen=True, slots=True)
class Verdict:
    code: str
    message: str


def run(job: Job) -> None:
    """Work on a claimed job until it is ended, given back or lost."""
    engine_log = ""
    try:
        with projects.scratch(f"{job.pk}-{job.lease}") as folder:
            try:
                _carry(job, folder)
            finally:
                engine_log = _tail(folder / "engine.log")
    except Overtaken:
        log.info("job=%s was canceled or taken over", job.pk)
    except Stopped:
        diary.keep_log(job, engine_log)
        services.give_back(job)
        log.info("job=%s given back", job.pk)
    except (errors.Canceled, errors.OutOfMemory) as error:
        _interrupted(job, error, engine_log)
    except DatabaseError:
        # Not the job's fault, and perhaps over in a moment: the lease runs out
        # and the job is tried again.
        log.exception("job=%s left to the reconciler", job.pk)
    except Unavailable as error:
        _left_for_later(job, error)
    except errors.EngineError as error:
        verdict = judge(error)
        services.fail(job, verdict.code, verdict.message, log_tail=f"{error}\n{engine_log}")
    except TimeoutError as error:
        message = f"{error} and was stopped. Nothing was charged: try a shorter clip."
        services.fail(job, "timeout", message, log_tail=engine_log)
    except Exception as error:
        log.exception("job=%s failed by our fault", job.pk)
        services.fail(job, "internal_error", FAULT, log_tail=f"{error!r}\n{engine_log}")


def prepare(job: Job) -> None:
    """Fetch and look at what a claimed job's addresses name, then price and hold it; refused means failed, free."""
    try:
        with heartbeat(job):
            for asset in (job.asset, job.background_asset):
                if asset is not None:
                    _ingest(job, asset)
        services.reserve(job)
    except Stopped:
        services.give_back(job)
        log.info("job=%s given back", job.pk)
    except Unavailable as error:
        _left_for_later(job, error)
    except AppError as refusal:
        code = refusal.code if refusal.code in JOB_CODES else "limit_exceeded"
        services.fail(job, code, refusal.message)
    except DatabaseError:
        log.exception("job=%s left to the reconciler", job.pk)
    except Exception as error:
        log.exception("job=%s could not be prepared", job.pk)
        services.fail(job, "internal_error", FAULT, log_tail=repr(error))


def judge(error: errors.EngineError) -> Verdict:
    """The engine's error as a job's: whose fault it was decides what the owner reads."""
    if isinstance(error, errors.LimitExceeded) and error.param == "max_seconds":
        message = "The video turned out longer than its own index says, so its price was wrong. Re-export it."
        return Verdict("input_changed", message)
    if isinstance(error, errors.VerificationFailed):
        message = "The finished file did not pass our checks, so it was not delivered and not charged: try again."
        return Verdict("verification_failed", message)
    if isinstance(error, errors.ModelNotInstalled):
        return Verdict("internal_error", "The model was removed from this site before your job ran: try again later.")
    if error.code in ("unsupported_media", "limit_exceeded", "input_truncated"):
        return Verdict(error.code, str(error))
    log.error("engine fault: %s", error)
    return Verdict("internal_error", FAULT)


def _ingest(job: Job, asset: Asset) -> None:
    was_pending = asset.status == Asset.Status.PENDING

    def fetched() -> None:
        stop_sign.breaks_off = False
        diary.enter(job, Job.Stage.PROBING)
        services.tick(job, stage=Job.Stage.PROBING)

    try:
        stop_sign.breaks_off = was_pending
        stop_sign.obey()
        asset = projects.ingest(asset, on_fetched=fetched)
    finally:
        stop_sign.breaks_off = False
    if asset.status != Asset.Status.READY:
        raise AppError(asset.error_code or "source_expired", asset.error or "The file has been deleted.")
    if was_pending:
        note(job, "fetched", bytes=asset.size)


def _interrupted(job: Job, error: errors.EngineError, engine_log: str) -> None:
    """The engine was killed from outside, or memory ran out: worth another attempt, as long as there is one."""
    log.warning("job=%s attempt=%s engine interrupted: %s", job.pk, job.attempt, error)
    if isinstance(error, errors.OutOfMemory) and job.attempt >= settings.MAX_ATTEMPTS:
        message = "This machine ran out of memory on your video. Nothing was charged: try a smaller size."
        services.fail(job, "out_of_memory", message, log_tail=engine_log)
    else:
        diary.keep_log(job, engine_log)
        services.expire(job.pk, job.attempt)


def _left_for_later(job: Job, error: Unavailable) -> None:
    """The store of files is away, or the disk is full: no fault of the job, and perhaps over by its next attempt."""
    log.warning("job=%s attempt=%s cannot go on: %s", job.pk, job.attempt, error.message, exc_info=error)
    services.expire(job.pk, job.attempt)


def _carry(job: Job, folder: Path) -> None:
    source, background = folder / "source", folder / "background"
    with heartbeat(job):
        _bring(job.asset, source)
        if job.background_asset:
            _bring(job.background_asset, background)
    result = _work(job, folder, source=source, background=background if job.background_asset else None)
    note(job, "verified", frames=result.frames)
    if not services.tick(job, stage=Job.Stage.STORING):
        raise Overtaken
    diary.enter(job, Job.Stage.STORING)
    stored: list[services.StoredFile] = []
    try:
        with heartbeat(job):
            for file in result.outputs:
                stored.append(_store(job, file))
    except BaseException:
        _discard(stored)
        raise
    # Outside the clean-up above: when the database breaks in the middle of this,
    # the job may well have been delivered, and then its files must stay.
    if not services.complete(job, result, stored, log_tail=_tail(folder / "engine.log")):
        _discard(stored)
        raise Overtaken


def _bring(asset: Asset | None, target: Path) -> None:
    if asset is None or not asset.file:
        raise errors.InputRefused("The source file was deleted before the work began: upload it again.")
    media.bring(str(asset.file.name), target)


def _work(job: Job, folder: Path, *, source: Path, background: Path | None) -> Result:
    """The engine's run, with its end written down however it came."""
    run = _start(job, folder, source=source, background=background)
    try:
        with run:
            return _watched(job, run, folder)
    finally:
        diary.note_exit(job, run.exit_code)


def _start(job: Job, folder: Path, *, source: Path, background: Path | None) -> child.Run:
    options = options_of(job)
    return child.start(
        source,
        folder / f"result{FORMATS[options.format].suffix}",
        options,
        models_dir=Path(settings.MODELS_DIR),
        # At the video's full size: not to be had for nothing.
        matte=None if options.is_preview else folder / "matte.mkv",
        preview=folder / "preview.mp4" if FORMATS[options.format].needs_preview else None,
        poster=folder / "poster.webp",
        newest=folder / "newest.webp",
        background_image=background,
        limits=child.Limits(
            max_seconds=job.held_seconds + SLACK_SECONDS, max_side=settings.MAX_SIDE, max_fps=settings.MAX_FPS
        ),
        threads=settings.ENGINE_THREADS,
        device=settings.ENGINE_DEVICE,
        precision=settings.ENGINE_PRECISION,
        permissive=settings.MODEL_LICENCES == "permissive",
        log=folder / "engine.log",
    )


def _watched(job: Job, run: child.Run, folder: Path) -> Result:
    """One tick a second is progress, heartbeat and stop sign."""
    watch, relay = Watch(job.frames_total), Relay(job, folder / "engine.log")
    next_tick = 0.0
    progress, stage = None, ""
    while not run.finished:
        progress = run.poll(TICK_SECONDS) or progress
        stop_sign.obey()
        watch.look(progress)
        if time.monotonic() >= next_tick:
            if not services.tick(job, progress):
                raise Overtaken
            if progress and progress.stage != stage:
                stage = progress.stage
                diary.enter(job, stage)
            newest.put(job.pk, folder / "newest.webp")
            next_tick = time.monotonic() + TICK_SECONDS
            progress = None
            relay.pass_on()
    relay.pass_on()
    return run.result()


def _store(job: Job, file: OutputFile) -> services.StoredFile:
    path = Path(file.path)
    name = f"jobs/{job.pk}/{job.attempt}/{file.kind}{path.suffix}"
    with path.open("rb") as content:
        return services.StoredFile(file, media_storage().save(name, media.LocalFile(content, name=str(path))))


def _discard(stored: list[services.StoredFile]) -> None:
    for file in stored:
        media_storage().delete(file.name)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            return file.read().decode("utf-8", "replace").replace("\x00", "")
    except FileNotFoundError:
        return ""
