"""Carry one job through the engine's child process: bring the source, work, prove, store, settle.

Every way out leaves the scratch folder gone and the job either ended, given
back, or under a lease that runs out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from apps.engine import child, errors
from apps.engine.formats import FORMATS
from apps.engine.report import OutputFile, Progress, Result
from apps.errors import AppError, Unavailable, disk_trouble
from apps.jobs import diary, newest, retention, room, services
from apps.jobs.attempts import heartbeat, note
from apps.jobs.models import Job
from apps.jobs.representation import options_of
from apps.jobs.watch import Overtaken, Relay, Stalled, Stopped, Watch, patiently, seconds_to_move, stop_sign, tail
from apps.projects import media
from apps.projects import services as projects
from apps.projects.models import Asset, media_storage

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SLACK_SECONDS = 1.0
"""How far decoding may run past the held span before the file counts as changed (contract, 3)."""

JOB_CODES = (
    "unsupported_media", "limit_exceeded", "input_truncated", "input_changed", "fetch_failed", "insufficient_credits",
    "timeout", "out_of_memory", "worker_lost", "verification_failed", "internal_error",
)  # fmt: skip
"""All that a job's `error_code` may say."""

FAULT = "Something went wrong on our side and was noted. Nothing was charged: try again."


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
                engine_log = tail(folder / "engine.log")
    except Overtaken:
        log.info("job=%s was canceled or taken over", job.pk)
    except Stopped:
        patiently(lambda: diary.keep_log(job, engine_log))
        patiently(lambda: services.give_back(job))
        log.info("job=%s given back", job.pk)
    except room.Outgrown as error:
        # Nobody's fault: whoever takes it next promises it more.
        patiently(partial(diary.keep_log, job, f"{error}\n{engine_log}"))
        patiently(partial(services.give_back, job, scratch_bytes=error.size))
        log.info("job=%s given back: %s", job.pk, error)
    except DatabaseError:
        # Not the job's fault: the lease runs out and the job is tried again.
        log.exception("job=%s left to the reconciler", job.pk)
    except (Unavailable, Stalled, errors.Canceled, errors.OutOfMemory, errors.NoRoom) as error:
        _interrupted(job, error, engine_log)
    except errors.EngineError as error:
        verdict = judge(error)
        services.fail(job, verdict.code, verdict.message, log_tail=f"{error}\n{engine_log}")
    except TimeoutError as error:
        _timed_out(job, error, engine_log)
    except Exception as error:
        if refusal := disk_trouble(error):
            _interrupted(job, refusal, engine_log)
            return
        if not patiently(lambda: services.tick(job)):
            # No wonder: whoever took it has cleared up after us.
            log.info("job=%s was canceled or taken over", job.pk)
            return
        log.exception("job=%s failed by our fault", job.pk)
        services.fail(job, "internal_error", FAULT, log_tail=f"{error!r}\n{engine_log}")


def prepare(job: Job) -> None:
    """Fetch and look at what a claimed job's addresses name, then price and hold it; refused means failed, free."""
    try:
        for asset in (job.asset, job.background_asset):
            if asset is not None:
                _ingest(job, asset)
        patiently(lambda: services.reserve(job))
    except Overtaken:
        log.info("job=%s was canceled or taken over", job.pk)
    except Stopped:
        patiently(lambda: services.give_back(job))
        log.info("job=%s given back", job.pk)
    except (Unavailable, Stalled) as error:
        _interrupted(job, error, "")
    except AppError as refusal:
        code = refusal.code if refusal.code in JOB_CODES else "limit_exceeded"
        services.fail(job, code, refusal.message)
    except DatabaseError:
        log.exception("job=%s left to the reconciler", job.pk)
    except Exception as error:
        if trouble := disk_trouble(error):
            _interrupted(job, trouble, "")
            return
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


@contextmanager
def _moving(job: Job, size: int, *reasons: type[Exception]) -> Iterator[None]:
    """Around one file on its way: the lease is kept, and for any of the reasons it is broken off."""
    with (
        heartbeat(job, seconds=seconds_to_move(size), on_end=stop_sign.call_away),
        stop_sign.breaking_off(*reasons),
    ):
        yield


def _ingest(job: Job, asset: Asset) -> None:
    was_pending = asset.status == Asset.Status.PENDING

    def fetched() -> None:
        patiently(lambda: diary.enter(job, Job.Stage.PROBING))
        patiently(lambda: services.tick(job, stage=Job.Stage.PROBING))

    def refused(cause: str) -> None:
        patiently(lambda: diary.keep_log(job, cause))

    if was_pending:
        with _moving(job, settings.MAX_UPLOAD_BYTES, Stopped, Overtaken, Stalled):
            asset = projects.ingest(asset, on_fetched=fetched, on_refused=refused)
    if asset.status != Asset.Status.READY:
        raise AppError(asset.error_code or "source_expired", asset.error or "The file has been deleted.")
    if was_pending:
        patiently(lambda: note(job, "fetched", bytes=asset.size))


def _interrupted(job: Job, error: Exception, engine_log: str) -> None:
    """Perhaps no fault of the job, and over by its next attempt, here or elsewhere; as long as there is one."""
    log.warning("job=%s attempt=%s cannot go on: %s", job.pk, job.attempt, error)
    is_last = job.attempt >= settings.MAX_ATTEMPTS
    if is_last and isinstance(error, errors.OutOfMemory):
        message = "This machine ran out of memory on your video. Nothing was charged: try a smaller size."
        services.fail(job, "out_of_memory", message, log_tail=engine_log)
    elif is_last and isinstance(error, Stalled):
        _timed_out(job, error, engine_log)
    else:
        diary.keep_log(job, f"{error}\n{engine_log}")
        services.expire(job.pk, job.attempt)


def _timed_out(job: Job, error: TimeoutError, engine_log: str) -> None:
    message = f"{error} and was stopped. Nothing was charged: try a shorter clip."
    services.fail(job, "timeout", message, log_tail=engine_log)


def _carry(job: Job, folder: Path) -> None:
    source, background = folder / "source", folder / "background"
    _bring(job, job.asset, source)
    if job.background_asset:
        _bring(job, job.background_asset, background)
    result = _work(job, folder, source=source, background=background if job.background_asset else None)
    patiently(lambda: note(job, "verified", frames=result.frames))
    if not patiently(lambda: services.tick(job, stage=Job.Stage.STORING)):
        raise Overtaken
    patiently(lambda: diary.enter(job, Job.Stage.STORING))
    try:
        with _moving(job, sum(file.bytes for file in result.outputs), Overtaken, Stalled):
            stored = [_store(job, file) for file in result.outputs]
    except BaseException:
        retention.discard_attempt(job.pk, job.attempt)
        raise
    # Outside the clean-up above: when the database breaks in the middle of this,
    # the job may well have been delivered, and then its files must stay.
    if not patiently(lambda: _settle(job, result, stored, tail(folder / "engine.log"))):
        retention.discard_attempt(job.pk, job.attempt)
        raise Overtaken


def _settle(job: Job, result: Result, stored: list[services.StoredFile], log_tail: str) -> bool:
    return services.complete(job, result, stored, log_tail=log_tail) or diary.has_delivered(job)


def _bring(job: Job, asset: Asset | None, target: Path) -> None:
    if asset is None or not asset.file:
        raise errors.InputRefused("The source file was deleted before the work began: upload it again.")
    with _moving(job, asset.size, Stopped, Overtaken, Stalled):
        media.bring(str(asset.file.name), target)


def _work(job: Job, folder: Path, *, source: Path, background: Path | None) -> Result:
    """The engine's run, with its end written down however it came."""
    run = _start(job, folder, source=source, background=background)
    try:
        with run:
            return _watched(job, run, folder)
    finally:
        patiently(lambda: diary.note_exit(job, run.exit_code))


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
        scratch=folder,
    )


def _watched(job: Job, run: child.Run, folder: Path) -> Result:
    """One tick a second is progress, heartbeat and stop sign."""
    watch, relay = Watch(job.frames_total), Relay(job, folder / "engine.log")
    next_tick, progress, entered = 0.0, None, set[str]()
    while not run.finished:
        progress = run.poll(TICK_SECONDS) or progress
        stop_sign.obey()
        watch.look(progress)
        room.keep(folder)
        if time.monotonic() >= next_tick:
            if not patiently(lambda now=progress: _ticked(job, now, folder, relay, entered)):  # type: ignore[misc]
                raise Overtaken
            newest.put(job.pk, folder / "newest.webp")
            next_tick = time.monotonic() + TICK_SECONDS
            progress = None
    relay.pass_on()
    return run.result()


def _ticked(job: Job, progress: Progress | None, folder: Path, relay: Relay, entered: set[str]) -> bool:
    if not services.tick(job, progress):
        return False
    if progress and progress.stage not in entered:
        diary.enter(job, progress.stage)
        entered.add(progress.stage)
    if relay.pass_on():
        diary.keep_log(job, tail(folder / "engine.log"))
    return True


def _store(job: Job, file: OutputFile) -> services.StoredFile:
    path = Path(file.path)
    name = f"jobs/{job.pk}/{job.attempt}/{file.kind}{path.suffix}"
    with path.open("rb") as content:
        return services.StoredFile(file, media_storage().save(name, media.LocalFile(content, name=str(path))))
