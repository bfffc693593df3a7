"""What a Prometheus server reads. Counted from the database at each visit, so every web process tells the same.

Eleven queries, each over an index made for it or over a small table; nothing here names a person, a file or a network
address.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.db.models import Count, F, Min, Q, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from apps.credits.amounts import to_credits
from apps.credits.models import LedgerEntry, Wallet
from apps.engine.options import MODELS
from apps.jobs import doorbell, turns
from apps.jobs.models import Job, Output
from apps.ops import checks
from apps.projects.models import Asset
from apps.webhooks.models import Delivery, Endpoint

PACE_HOURS = 1
FAILURE_HOURS = 1


class Collector:
    """Asked by the library, once for each visit."""

    def collect(self) -> Iterator[Metric]:
        yield from _jobs()
        yield from _queue()
        yield _pace()
        yield from _credits()
        yield from _webhooks()
        yield from _storage()
        yield from _workers()


def registry() -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(Collector())
    return made


def _gauge(name: str, help_: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"clearmatte_{name}", help_, labels=list(labels))


def _counter(name: str, help_: str, labels: Iterable[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"clearmatte_{name}", help_, labels=list(labels))


def _alone(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"clearmatte_{name}", help_, value=value)


def _jobs() -> Iterator[Metric]:
    """A job's row is never deleted, so how many ended is a counter; how many are on their way is not."""
    now = _gauge("jobs", "Jobs that are not over.", ("status", "model"))
    ended = _counter("jobs_ended", "Jobs that are over.", ("status", "model"))
    failures = _counter("job_failures", "Failed jobs.", ("code",))
    video = _counter("video_seconds", "Seconds of video in completed jobs.", ("model",))
    groups = Job.objects.order_by().values_list("status", "model", "error_code")
    counts: dict[tuple[str, str], int] = {}
    codes: dict[str, int] = {}
    seconds = dict.fromkeys(MODELS, 0.0)
    for status, model, code, count, length in groups.annotate(count=Count("*"), length=Sum("held_seconds")):
        counts[status, model] = counts.get((status, model), 0) + count
        if status == Job.Status.FAILED:
            codes[code] = codes.get(code, 0) + count
        if status == Job.Status.COMPLETED:
            seconds[model] = seconds.get(model, 0.0) + length
    for status in Job.Status.values:
        family = ended if status in Job.FINAL else now
        for model in seconds:
            family.add_metric((status, model), counts.get((status, model), 0))
    for code, count in codes.items():
        failures.add_metric((code,), count)
    for model, length in seconds.items():
        video.add_metric((model,), length)
    yield from (now, ended, failures, video)


def _queue() -> Iterator[Metric]:
    age = _gauge("queue_age_seconds", "How long the job that came first has waited for a worker.", ("line",))
    lines = (turns.PREVIEWS, turns.WORK, turns.FETCHES)
    oldest = Job.objects.filter(status=Job.Status.QUEUED).aggregate(
        **{line.name: Min("queued_at", filter=line.waiting) for line in lines}
    )
    for line in lines:
        age.add_metric((line.name,), _age(oldest[line.name]))
    yield age


def _pace() -> Metric:
    speed = _gauge(
        "video_seconds_per_second", f"How fast one worker is, from jobs of the last {PACE_HOURS} h.", ("model",)
    )
    since = timezone.now() - timedelta(hours=PACE_HOURS)
    done = Job.objects.filter(status=Job.Status.COMPLETED, model__in=MODELS, completed_at__gte=since)
    sums = {"length": Sum("held_seconds"), "worked": Sum(F("completed_at") - F("started_at"))}
    for model, length, worked in done.order_by().values_list("model").annotate(**sums):
        if worked:
            speed.add_metric((model,), length / worked.total_seconds())
    return speed


def _credits() -> Iterator[Metric]:
    purse = Wallet.objects.aggregate(held=Sum("held", default=0), balance=Sum("balance", default=0))
    yield _alone("credits_held", "Credits under open holds.", to_credits(purse["held"]))
    yield _alone("credits_balance", "Credits in all wallets, held ones included.", to_credits(purse["balance"]))
    moved = _gauge("credits_moved", "Sum of all ledger entries; what accounts lose is negative.", ("kind",))
    sums = dict(LedgerEntry.objects.order_by().values_list("kind").annotate(Sum("amount")))
    for kind in LedgerEntry.Kind.values:
        moved.add_metric((kind,), to_credits(sums.get(kind, 0)))
    yield moved


def _webhooks() -> Iterator[Metric]:
    now, state = timezone.now(), Delivery.State
    deliveries = _gauge("webhook_deliveries", "In the log, which is swept.", ("state",))
    unsent = Delivery.objects.filter(state__in=(state.PENDING, state.FAILED))
    counts = dict(unsent.order_by().values_list("state").annotate(count=Count("*")))
    for name in (state.PENDING, state.FAILED):
        deliveries.add_metric((name,), counts.get(name, 0))
    yield deliveries
    pending = Delivery.objects.filter(state=state.PENDING).aggregate(
        due=Min("next_attempt_at", filter=Q(next_attempt_at__lte=now)), retried=Count("pk", filter=Q(attempts__gt=0))
    )
    yield _alone("webhook_lag_seconds", "How long the attempt that was due first is overdue.", _age(pending["due"]))
    yield _alone(
        "webhook_retrying", "Deliveries that failed at least once and will be tried again.", pending["retried"]
    )
    since = now - timedelta(hours=FAILURE_HOURS)
    given_up = Delivery.objects.filter(state=state.FAILED, finished_at__gte=since).count()
    yield _alone("webhook_given_up", f"Deliveries given up in the last {FAILURE_HOURS} h.", given_up)
    failing = Endpoint.objects.filter(failing_since__isnull=False, disabled_at=None, deleted_at=None).count()
    yield _alone("webhook_endpoints_failing", "Endpoints whose last attempt failed.", failing)


def _storage() -> Iterator[Metric]:
    stored = _gauge("storage_bytes", "Media that are kept, by what they are.", ("kind",))
    sources: dict[str, Any] = {f"source_{kind}": 0 for kind in Asset.Kind.values}
    for kind, size in Asset.objects.exclude(file="").order_by().values_list("kind").annotate(Sum("size")):
        sources[f"source_{kind}"] = size
    results: dict[str, Any] = dict.fromkeys(Output.Kind.values, 0)
    results |= dict(Output.objects.exclude(file="").order_by().values_list("kind").annotate(Sum("size")))
    for kind, size in {**sources, **results}.items():
        stored.add_metric((kind,), size)
    yield stored
    free = shutil.disk_usage(settings.DATA_DIR).free
    yield _alone("disk_free_bytes", "Free in this web server's DATA_DIR.", free)


def _workers() -> Iterator[Metric]:
    """Nothing about workers while the queue does not answer: unknown is not zero."""
    try:
        alive = checks.living_workers()
    except (redis.RedisError, OSError):
        yield _alone("queue_up", "Whether the queue server answers.", 0)
        return
    yield _alone("queue_up", "Whether the queue server answers.", 1)
    count = _gauge("workers", "Living workers.", ("queue",))
    silence = _gauge("worker_silence_seconds", "Since the last word of the most silent of them.", ("queue",))
    for name in settings.RQ_QUEUES:
        here = [worker for worker in alive if name in worker.queue_names()]
        count.add_metric((name,), len(here))
        if here:
            silence.add_metric((name,), max(_age(checks.last_word(worker)) for worker in here))
    yield from (count, silence, *_scratch())


def _scratch() -> Iterator[Metric]:
    """As the workers of each machine told it last."""
    used = _gauge("scratch_used_bytes", "What lies in a machine's scratch.", ("host",))
    left = _gauge("scratch_left_bytes", "What could be promised to one more job there.", ("host",))
    budget = _gauge("scratch_budget_bytes", "SCRATCH_BYTES there; 0 is its disk alone.", ("host",))
    # Several workers share a machine's scratch; one that has just started has told nothing yet.
    for host, member in sorted({member.host: member for member in doorbell.listeners()}.items()):
        used.add_metric((host,), member.used)
        left.add_metric((host,), member.left)
        budget.add_metric((host,), member.budget)
    yield from (used, left, budget)


def _age(moment: datetime | None) -> float:
    return max(0.0, (datetime.now(UTC) - moment).total_seconds()) if moment else 0.0
