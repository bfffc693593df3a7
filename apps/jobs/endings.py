"""How a job ends: in one transaction its final state, its hold settled, and its owner told. Nothing else ends one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import mail
from apps.credits import services as credits
from apps.credits.models import PriceList, Wallet
from apps.engine.report import OutputFile, Result
from apps.errors import AppError
from apps.jobs import diary, doorbell, turns
from apps.jobs.models import Job, Output
from apps.jobs.pricing import price
from apps.jobs.representation import as_json, options_of
from apps.jobs.states import move
from apps.webhooks import services as webhooks

log = logging.getLogger(__name__)

S = Job.Status

LOG_TAIL_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An output proved by the engine, and the name it has on the media storage."""

    file: OutputFile
    name: str


def complete(job: Job, result: Result, outputs: Sequence[StoredFile], *, log_tail: str = "") -> bool:
    """Deliver and charge; False when the job was canceled or taken over, and then nothing was written.

    Charged is the hold at most, and less when fewer seconds were decoded than were held.
    """
    now = timezone.now()
    with transaction.atomic():
        charge = _charge(job, result.decoded_seconds)
        moved = _finish(
            job,
            (S.PROCESSING,),
            S.COMPLETED,
            lease_guard=True,
            charge=charge,
            detail={"frames": result.frames, "seconds": round(result.seconds, 1)},
            progress=100,
            frames_done=result.frames,
            frames_total=result.frames,
            model_version=result.model_version[:300],
            device=result.device[:40],
            warnings=[{"code": notice.code, "message": notice.message} for notice in result.warnings],
            quality=result.quality,
            result={**_report(result), "log_tail": log_tail[-LOG_TAIL_CHARACTERS:]},
            expires_at=now + (job.project.results_kept if job.project else timedelta(days=settings.RESULT_DAYS)),
            outputs=outputs,
        )
    if moved:
        log.info("job=%s completed charged=%s", job.pk, charge)
    return moved


def fail(job: Job, code: str, message: str, *, log_tail: str = "", where: Mapping[str, Any] | None = None) -> bool:
    """End as failed, charging nothing; False when somebody else ended it or holds it now."""
    moved = _finish(
        job,
        (S.QUEUED, S.PROCESSING),
        S.FAILED,
        lease_guard=True,
        where=where,
        detail={"error_code": code},
        error_code=code,
        error=message[:1000],
        result={"log_tail": log_tail[-LOG_TAIL_CHARACTERS:]} if log_tail else {},
    )
    if moved:
        log.info("job=%s failed code=%s", job.pk, code)
    return moved


def cancel(job: Job, *, detail: Mapping[str, Any] | None = None) -> Job:
    """Stop a job now, whatever it is doing; its credits are free at once. A canceled job is answered as it is.

    A worker that runs it notices at its next tick and stops the engine.
    """
    moved = _finish(
        job,
        (S.CREATED, S.QUEUED, S.PROCESSING),
        S.CANCELED,
        lease_guard=False,
        detail=detail,
        cancel_requested_at=timezone.now(),
    )
    job = Job.objects.with_details().get(pk=job.pk)
    if not moved and job.status != S.CANCELED:
        raise AppError("conflict", f"The job is already {job.status}: there is nothing left to cancel.")
    if moved:
        log.info("job=%s canceled", job.pk)
    return job


def lock_wallet(job: Job) -> None:
    """The first lock of every transaction that touches both credits and a job, so that none waits in a circle."""
    mine = Q(user_id=job.owner_id) if job.owner_id else Q(holds=job.hold_id)
    list(Wallet.objects.select_for_update(of=("self",)).filter(mine))


def tell(job: Job, event: str) -> None:
    """Note, in the caller's transaction, that the job's owner is to hear of it as it is now."""
    url, body = job.webhook_url, as_json(job)
    webhooks.emit(job.owner, event, body=body, url=url, subject=job.pk, request_id=job.request_id)


def _mail(job: Job) -> None:
    """For an owner who is away and wants to hear of it; a cancel was their own doing, and a preview is waited for."""
    if job.owner is None or job.status == S.CANCELED or options_of(job).is_preview:
        return
    name = job.asset.filename if job.asset and job.asset.filename else "your clip"
    mail.job_finished(job.owner, job_id=job.pk, name=name, is_completed=job.status == S.COMPLETED, error=job.error)


def _finish(
    job: Job,
    from_: Sequence[str],
    to: str,
    *,
    lease_guard: bool,
    charge: int = 0,
    outputs: Sequence[StoredFile] = (),
    detail: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """The one way into a final state."""
    guard = {**(where or {}), **({"lease": job.lease} if lease_guard else {})}
    ended = {"lease": None, "lease_until": None, "stage": "", "eta_seconds": None, "completed_at": timezone.now()}
    with transaction.atomic():
        lock_wallet(job)
        if not move(job.pk, from_, to, event=to, detail=detail, where=guard, charged=charge, **ended, **fields):
            return False
        diary.end(job.pk, to)
        for stored in outputs:
            _add_output(job, stored)
        final = Job.objects.with_details().get(pk=job.pk)
        if final.hold:
            settled = credits.capture(final.hold, charge) if to == S.COMPLETED else credits.release(final.hold)
            if not settled:
                raise RuntimeError(f"the hold of job {job.pk} was settled before the job ended")
        tell(final, f"job.{to}")
        _mail(final)
        # A worker is free, and an account that was at its limit has room for one more.
        doorbell.ring_on_commit(turns.line_of(final))
    return True


def _charge(job: Job, decoded_seconds: float) -> int:
    if options_of(job).is_preview:
        return 0
    if job.hold is None or job.pricing_version is None:
        raise RuntimeError(f"job {job.pk} ran without a hold")
    rates = PriceList.objects.get(version=job.pricing_version).rates
    return min(job.hold.amount, price(rates[job.model], decoded_seconds))


def _report(result: Result) -> dict[str, Any]:
    """The rest of the engine's closing report, without its local paths: they mean nothing once scratch is gone."""
    report = result.as_dict()
    del report["outputs"], report["quality"]
    return report


def _add_output(job: Job, stored: StoredFile) -> None:
    file = stored.file
    facts = ("width", "height", "frames", "duration", "alpha_mode", "has_audio")
    Output.objects.create(
        job_id=job.pk,
        attempt=job.attempt,
        kind=file.kind,
        format=file.format,
        file=stored.name,
        size=file.bytes,
        sha256=file.sha256,
        facts={name: getattr(file, name) for name in facts},
    )
