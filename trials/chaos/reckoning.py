"""Afterwards: every line of the records held against every other, the store, the hosts, and what was told to clients.

The product's own audit is asked beside them.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trials.chaos.faults import DATABASE, PAYMENTS, QUEUE, STORAGE, Away, is_excused
from trials.chaos.questions import FILES, PURCHASES, QUESTIONS, UPLOADS

if TYPE_CHECKING:
    from trials.chaos.fleet import Fleet
    from trials.chaos.patron import Answer, Patron

SHOWN = 5
"""Answers to one question that are named; the rest are counted."""
GRACE_SECONDS = 6.0
"""After a part came back, in which requests that met its absence may still be answered so."""
LIFE_SECONDS = 150.0
"""A process's memory is judged if it lived so long, and then in the later half of its life."""
GROWTH, GROWTH_MEGABYTES = 0.10, 20.0
"""What it may grow by: the larger of the two. A library that is loaded when it is first needed is 17 MB."""


def of_records(answers: Mapping[str, Sequence[Sequence[Any]]]) -> Iterator[str]:
    """Complaints about the answers to QUESTIONS."""
    for complaint, found in answers.items():
        named = ["/".join(map(str, row)) for row in found[:SHOWN]]
        if found:
            yield f"{complaint}: {len(found)} × {', '.join(named)}"


def asked() -> dict[str, list[tuple[Any, ...]]]:
    return {complaint: rows(question) for complaint, question in QUESTIONS.items()}


def rows(question: str) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(question)
        return list(cursor.fetchall())


def of_books() -> Iterator[str]:
    """The product's own audit."""
    from apps.jobs import audit

    for drift in audit.run().drifts:
        yield f"audit: {drift}"


def of_storage(fleet: Fleet) -> Iterator[str]:
    """Both ways, and what was begun in parts."""
    stored, recorded = fleet.stored(), {row[0] for row in rows(FILES)}
    yield from in_short("a stored file that no record names", stored - recorded)
    yield from in_short("a record whose file is gone", recorded - stored)
    on_their_way = {f"assets/{row[0]}/source" for row in rows(UPLOADS)}
    yield from in_short("parts that no upload names", fleet.begun_in_parts() - on_their_way)


def of_hosts(folders: Iterable[Path]) -> Iterator[str]:
    """Scratch and temporary files: after all work there are none."""
    for folder in folders:
        for kind in ("scratch", "tmp"):
            here = folder / kind
            left = {path.name for path in here.iterdir()} if here.exists() else set()
            yield from in_short(f"left in {folder.name}'s {kind}", left)


def of_purchases(state: Path) -> Iterator[str]:
    """What was paid at Stripe was granted once; what was not, not at all."""
    known = {row[0]: row[1:] for row in rows(PURCHASES) if row[0]}
    sessions = json.loads(state.read_text(encoding="utf-8"))["tables"]["sessions"] if state.exists() else {}
    for session_id, session in sessions.items():
        is_paid = session["payment_status"] == "paid"
        status, sold, lines, given = known.get(session_id, ("unknown", 0, 0, 0))
        wanted = ("paid", 1, sold) if is_paid else (status if status != "paid" else "open", 0, 0)
        if (status, lines, given) != wanted:
            yield f"{session_id} is {session['payment_status']}: the purchase is {status}, {lines} lines give {given}"


def of_clients(patrons: Sequence[Patron]) -> Iterator[str]:
    """What each was told against what is recorded: no job came of nothing, and none is missing."""
    from apps.jobs.models import Job

    recorded = dict(Job.objects.order_by().values_list("pk", "status"))
    known = {job_id: status for patron in patrons for job_id, status in patron.jobs.items()}
    here = {str(job_id): status for job_id, status in recorded.items()}
    unsure = sum(patron.unsure for patron in patrons)
    yield from in_short("a job that was promised and is not there", known.keys() - here.keys())
    nobodys = here.keys() - known.keys()
    if len(nobodys) > unsure:
        yield from in_short(f"a job that nobody was told of ({unsure} requests were left open)", nobodys)
    final = ("completed", "failed", "canceled")
    changed = {
        f"{job_id} {status}" for job_id, status in known.items() if status in final and here.get(job_id) != status
    }
    yield from in_short("a job whose end has changed since it was told", changed)
    for patron in patrons:
        yield from patron.complaints


def of_answers(answers: Sequence[Answer], away: Sequence[Away]) -> Iterator[str]:
    """A 503 with its envelope while a part is away is honest; any other 5xx, and silence, is not."""
    parts = (DATABASE, QUEUE, STORAGE, PAYMENTS)
    bad: Counter[str] = Counter()
    for answer in answers:
        is_honest = answer.status == 503 and answer.code == "service_unavailable"
        is_away = is_excused(away, answer.began, answer.ended, grace=GRACE_SECONDS, parts=parts)
        if (answer.status >= 500 or not answer.status) and not (is_honest and is_away):
            when = "while a part was away" if is_away else "while all was well"
            bad[f"{answer.what} {answer.status or 'no answer'} {answer.code} {when}".replace("  ", " ")] += 1
        elif answer.code == "no envelope":
            bad[f"{answer.what} {answer.status} without an envelope"] += 1
    yield from (f"{count} × {what}" for what, count in bad.most_common())


def of_events(heard: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """(delivery, event, job) as the receiver got them: one may come twice, but only under one id."""
    ids: dict[tuple[str, str], set[str]] = {}
    for delivery, event, job_id in heard:
        ids.setdefault((event, job_id), set()).add(delivery)
    yield from in_short(
        "an event told twice", {f"{event} of {job}" for (event, job), own in ids.items() if len(own) > 1}
    )


def of_memory(memory: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[str]:
    """The end of whatever lived long enough against the middle of its life."""
    for name, samples in memory.items():
        if (grown := growth(samples)) is not None and grown[1] - grown[0] > max(GROWTH * grown[0], GROWTH_MEGABYTES):
            yield f"the memory of {name} went from {grown[0]:.0f} to {grown[1]:.0f} MB"


def growth(samples: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The middles of the third and the last fifth of a life; None for one too short to judge."""
    if samples[-1][0] - samples[0][0] < LIFE_SECONDS:
        return None
    values, fifth = [value for _, value in samples], len(samples) // 5
    return statistics.median(values[2 * fifth : 3 * fifth]), statistics.median(values[-fifth:])


def in_short(what: str, found: Iterable[str]) -> Iterator[str]:
    if names := sorted(found):
        yield f"{what}: {len(names)} × {', '.join(names[:SHOWN])}"
