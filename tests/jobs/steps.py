"""A job's first steps and what can be seen of them, as the tests of its services and states both take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.credits.models import Wallet
from apps.engine.options import Options
from apps.errors import AppError
from apps.jobs import services
from apps.jobs.models import Job, JobEvent
from apps.webhooks.models import Delivery
from tests.factories import make_asset
from tests.jobs.conftest import CHROMA, a_file

HOOK = "https://example.org/hook"
LIGHT = Options(model="light")


def purse(user: User) -> tuple[int, int]:
    return Wallet.objects.values_list("balance", "held").get(user=user)


def submitted(user: User, **fields: Any) -> Job:
    fields = {"asset": make_asset(user), "options": CHROMA, "webhook_url": HOOK, **fields}
    return services.submit(user, **fields)


def claimed(user: User, **fields: Any) -> Job:
    job = submitted(user, **fields)
    taken = services.claim(job.pk, job.attempt, "worker-1")
    assert taken is not None
    return taken


def stored(kind: str = "result") -> services.StoredFile:
    return services.StoredFile(a_file(kind), f"jobs/x/1/{kind}.webm")


def timeline(job: Job) -> list[str]:
    return list(JobEvent.objects.filter(job=job).values_list("name", flat=True))


def told(job: Job) -> list[str]:
    return list(Delivery.objects.filter(subject=job.pk).order_by("created_at").values_list("event", flat=True))


def refusal(call: Callable[[], Any]) -> AppError:
    with pytest.raises(AppError) as caught:
        call()
    return caught.value
