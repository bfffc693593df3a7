"""Many jobs' media at once: taken home as one archive, or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from apps.api import request_id
from apps.engine.formats import FORMATS
from apps.jobs import retention
from apps.jobs.models import Job, JobQuerySet, Output
from apps.jobs.posters import with_media
from apps.jobs.representation import download_name
from apps.projects import media
from apps.projects.archive import Entry, Names
from apps.projects.models import Asset, Deletion

ROUNDS = 5
"""Of a sweep's batch each, within one request; what is left goes with the next sweeps, within half a minute."""

LIVE = (Job.Status.CREATED, *retention.UNFINISHED)


@dataclass(frozen=True, slots=True)
class Going:
    """What a deletion takes."""

    jobs: JobQuerySet
    """Those that lose something."""
    results: int
    sources: int
    bytes: int
    staying: int
    """Of the chosen jobs, those that are not over."""


def results(jobs: JobQuerySet) -> QuerySet[Output]:
    """Their results that are still there, oldest first."""
    rows = Output.objects.filter(job__in=jobs.order_by().values("pk"), kind=Output.Kind.RESULT).exclude(file="")
    return rows.select_related("job__asset").order_by("job__created_at", "pk")


def entries(outputs: QuerySet[Output]) -> Iterator[Entry]:
    """Every result under the name that it has as a download of its own."""
    names = Names()
    # Read to the end first: whoever downloads for an hour must not hold a cursor for as long.
    for output in list(outputs):
        wanted = download_name(output.job, FORMATS[output.format].suffix)
        chunks = partial(media.chunks, str(output.file.name))
        yield Entry(names.of(wanted), chunks, size=output.size, when=output.created_at)


def forecast(jobs: JobQuerySet) -> Going:
    """Of results, those within their time: what a sweep has not got to yet goes without being asked."""
    over = _over(jobs)
    kept = with_media(over)
    is_result = Q(kind=Output.Kind.RESULT)
    outputs = _outputs(kept).aggregate(bytes=Sum("size", default=0), results=Count("pk", filter=is_result))
    sources = dict(_sources(over).values_list("pk", "size"))
    # Each found by an index of its own; with an OR, all of the jobs would have to be read.
    lose_results = kept.filter(Exists(_outputs(kept).filter(job=OuterRef("pk"))))
    lose_sources = (over.filter(**{f"{field}__in": list(sources)}) for field in ("asset", "background_asset"))
    keys = (rows.order_by().values("pk") for rows in (lose_results, *lose_sources))
    return Going(
        jobs=jobs.filter(pk__in=next(keys).union(*keys)).select_related("asset"),
        results=outputs["results"],
        sources=len(sources),
        bytes=outputs["bytes"] + sum(sources.values()),
        staying=jobs.filter(status__in=LIVE).count(),
    )


def delete_media(jobs: JobQuerySet) -> bool:
    """Delete the media of those that are over, as `retention.delete_media` does for one; whether all are gone by now.

    Idempotent. Marked in one transaction, so that what this request does not get to goes with the next sweeps, and its
    proof names this request.
    """
    marked = {"expires_at": timezone.now(), "delete_request": request_id.current.get()}
    with transaction.atomic():
        over = _over(jobs)
        sources = Asset.objects.filter(pk__in=list(_sources(over).values_list("pk", flat=True)))
        sources.update(**marked)
        kept = Job.objects.filter(pk__in=over.order_by().values("pk"), expires_at__gt=marked["expires_at"])
        kept.update(**marked)
    return any(not retention.delete_batch(_outputs(over), sources, rule=Deletion.Rule.NOW) for _ in range(ROUNDS))


def _over(jobs: JobQuerySet) -> JobQuerySet:
    return jobs.filter(status__in=Job.FINAL)


def _outputs(jobs: JobQuerySet) -> QuerySet[Output]:
    return Output.objects.filter(job__in=jobs.order_by().values("pk")).exclude(file="")


def _sources(jobs: JobQuerySet) -> QuerySet[Asset]:
    """Files that none but these jobs has a use for."""
    chosen = jobs.order_by()
    theirs = Job.objects.filter(Q(asset=OuterRef("pk")) | Q(background_asset=OuterRef("pk")))
    has_results = Exists(Output.objects.filter(job=OuterRef("pk"), deleted_at=None))
    # One by one: as a list, tens of thousands of chosen jobs would be read for the few whose files are still there.
    others = theirs.filter(Q(status__in=LIVE) | has_results).exclude(Exists(chosen.filter(pk=OuterRef("pk"))))
    used = Exists(theirs.filter(pk__in=chosen.values("pk")))
    return Asset.objects.filter(used).exclude(file="").exclude(Exists(others))
