"""Everything that is known of one job, in the order it happened, for whoever has to find out what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.accounts import acts
from apps.accounts.models import Act, Mail
from apps.accounts.records import page
from apps.credits.amounts import to_credits
from apps.credits.models import Hold, LedgerEntry, Purchase
from apps.jobs.models import Attempt, Job, JobEvent, Output
from apps.projects.models import Asset, Deletion
from apps.webhooks.models import Delivery

MOST_TWINS = 20
"""Other jobs with the same source that are shown."""


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    what: str
    detail: str = ""
    url: str = ""
    is_bad: bool = False
    since: float = field(default=0, compare=False)
    """Seconds from when the job was asked for."""


class Story:
    """Of one job; each part is read once, when the page asks for it."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def holds(self) -> list[Hold]:
        return list(Hold.objects.filter(reference=str(self.job.pk)).order_by("created_at"))

    @cached_property
    def entries(self) -> list[LedgerEntry]:
        return list(LedgerEntry.objects.filter(reference=str(self.job.pk)).order_by("id"))

    @cached_property
    def events(self) -> list[JobEvent]:
        return list(JobEvent.objects.filter(job=self.job).order_by("id"))

    @cached_property
    def attempts(self) -> list[Attempt]:
        return list(Attempt.objects.filter(job=self.job).order_by("started_at"))

    @cached_property
    def outputs(self) -> list[Output]:
        return list(self.job.outputs.all())

    @cached_property
    def deletions(self) -> list[Deletion]:
        """The proofs of its files, and of its source's."""
        mine = Q(job_id=self.job.pk) | Q(asset_id__in=[self.job.asset_id] if self.job.asset_id else [])
        return list(Deletion.objects.filter(mine).order_by("id"))

    @cached_property
    def deliveries(self) -> list[Delivery]:
        return list(Delivery.objects.filter(subject=self.job.pk).defer("body").order_by("created_at"))

    @cached_property
    def mails(self) -> list[Mail]:
        return list(Mail.objects.filter(key=f"job:{self.job.pk}"))

    @cached_property
    def acts(self) -> list[Act]:
        return list(acts.of(self.job.pk))

    @cached_property
    def purchases(self) -> list[Purchase]:
        """Made for this job, or that it runs for."""
        for_it = Purchase.objects.filter(start_job=self.job.pk) | Purchase.objects.filter(started_job=self.job.pk)
        return list(for_it.order_by("created_at"))

    @cached_property
    def twins(self) -> list[Job]:
        """Other jobs with the same source, of the same account: where "charged twice" is found."""
        asset = self.job.asset
        same = Asset.objects.filter(sha256=asset.sha256) if asset and asset.sha256 else Asset.objects.none()
        ids = [*same.values_list("pk", flat=True)[:MOST_TWINS], *([asset.pk] if asset else [])]
        jobs = Job.objects.filter(asset__in=ids, owner=self.job.owner_id).exclude(pk=self.job.pk)
        return list(jobs.select_related("project").without_quality().order_by("-created_at")[:MOST_TWINS])

    @cached_property
    def told_twins(self) -> list[tuple[Job, bool]]:
        """Each with whether its credits were given back."""
        ids = [str(twin.pk) for twin in self.twins]
        returns = LedgerEntry.objects.filter(reference__in=ids, kind=LedgerEntry.Kind.RETURN)
        returned = set(returns.values_list("reference", flat=True))
        return [(twin, str(twin.pk) in returned) for twin in self.twins]

    @property
    def refunded(self) -> int:
        return sum(entry.amount for entry in self.entries if entry.kind == LedgerEntry.Kind.RETURN)

    @cached_property
    def log(self) -> str:
        return str(self.job.result.get("log_tail", ""))

    @cached_property
    def lines(self) -> list[Line]:
        parts = (
            self._of_events(), self._of_attempts(), self._of_credits(), self._of_outputs(), self._of_deliveries(),
            self._of_mails(), self._of_acts(), self._of_purchases(), self._of_files(),
        )  # fmt: skip
        found = sorted((line for part in parts for line in part), key=lambda line: line.at)
        began = self.job.created_at
        return [
            Line(line.at, line.what, line.detail, line.url, line.is_bad, _rounded(line.at - began)) for line in found
        ]

    def _of_events(self) -> Iterator[Line]:
        for event in self.events:
            said = {"attempt": event.attempt, **event.detail}
            yield Line(
                event.created_at, f"Job {event.name.replace('_', ' ')}", told(said), is_bad=event.name == "failed"
            )

    def _of_attempts(self) -> Iterator[Line]:
        for attempt in self.attempts:
            for stage, at in attempt.stages:
                yield Line(datetime.fromisoformat(at), f"Stage {stage}", f"attempt: {attempt.number}")
            if attempt.exit and attempt.ended_at:
                is_bad = not attempt.exit.endswith("exit 0")
                yield Line(attempt.ended_at, f"Attempt ended {attempt.outcome}", attempt.exit, is_bad=is_bad)

    def _of_credits(self) -> Iterator[Line]:
        for hold in self.holds:
            url = page("credits_hold", hold.pk)
            yield Line(hold.created_at, "Credits held", f"{to_credits(hold.amount)}", url)
            if hold.settled_at and hold.state == Hold.State.RELEASED:
                yield Line(hold.settled_at, "Credits released", f"{to_credits(hold.amount)}", url)
        for entry in self.entries:
            detail = f"{to_credits(entry.amount):+}, balance after {to_credits(entry.balance_after)}"
            what = f"Ledger: {entry.get_kind_display()}"
            yield Line(entry.created_at, what, detail, page("credits_ledgerentry", entry.pk))

    def _of_outputs(self) -> Iterator[Line]:
        for output in self.outputs:
            yield Line(output.created_at, f"Stored {output.kind}", f"{output.format}, {output.size / 1e6:.2f} MB")
        for proof in self.deletions:
            because = ": ".join(filter(None, (proof.get_rule_display(), proof.detail)))
            url = page("projects_deletion", proof.pk)
            yield Line(proof.created_at, f"Deleted {proof.kind}", f"{because}; {proof.size / 1e6:.2f} MB", url)

    def _of_deliveries(self) -> Iterator[Line]:
        for delivery in self.deliveries:
            url = page("webhooks_delivery", delivery.pk)
            yield Line(delivery.created_at, f"Webhook {delivery.event}", f"to {delivery.host}", url)
            if delivery.finished_at:
                detail = f"{delivery.event}, {delivery.attempts} attempts"
                is_bad = delivery.state == Delivery.State.FAILED
                yield Line(delivery.finished_at, f"Webhook {delivery.state}", detail, url, is_bad)

    def _of_mails(self) -> Iterator[Line]:
        for mail in self.mails:
            url = page("accounts_mail", mail.pk)
            yield Line(mail.created_at, "Mail written", mail.kind, url)
            if mail.sent_at:
                yield Line(mail.sent_at, "Mail sent", mail.kind, url)

    def _of_acts(self) -> Iterator[Line]:
        for act in self.acts:
            yield Line(
                act.created_at, f"Staff: {act.action}", f"{act.staff_name}: {act.reason}", page("accounts_act", act.pk)
            )

    def _of_purchases(self) -> Iterator[Line]:
        for purchase in self.purchases:
            url = page("credits_purchase", purchase.pk)
            yield Line(purchase.created_at, "Purchase for it", f"{purchase.pack}, {purchase.status}", url)

    def _of_files(self) -> Iterator[Line]:
        asset, end = self.job.asset, self.job.expires_at
        if asset:
            yield Line(asset.created_at, "Source came", asset.filename, page("projects_asset", asset.pk))
        if end and end > timezone.now() and any(output.file for output in self.outputs):
            yield Line(end, "Results are deleted then")


def _rounded(span: timedelta) -> float:
    """To a tenth of a second; never −0."""
    return round(span.total_seconds(), 1) or 0


def told(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in detail.items() if value not in ("", None))
