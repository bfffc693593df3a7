"""The values of a job's metadata as words that an index knows: what customers call a job by, support is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.jobs.models import Job, MetadataWord

MOST_WORDS = 50
"""As many as the contract lets metadata have keys."""


def index(job: Job) -> None:
    """In the transaction that writes the metadata; what was known before is forgotten."""
    MetadataWord.objects.filter(job=job).delete()
    found = list(dict.fromkeys(words(job.metadata)))[:MOST_WORDS]
    MetadataWord.objects.bulk_create([MetadataWord(job=job, text=text) for text in found])


def words(value: Any) -> Iterator[str]:
    """Texts and numbers at any depth; what is longer than an index should hold by its beginning."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
        yield str(value).strip()[:200]
