"""An account as somebody has it who uses the site: projects, jobs in every state, a key, a receiver, deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.credits import services as credits
from apps.jobs.models import Job
from apps.projects.models import Asset
from apps.webhooks import services as webhooks
from apps.webhooks.models import Attempt, Delivery, Endpoint
from tests.factories import make_asset, make_job, make_project, make_quality

STATUSES = (*["completed"] * 5, "failed", "canceled", "created", "queued", "processing")
PROJECTS = 6
DELIVERIES = 30
CREDITS = 100_000_00


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    clips: list[Asset]
    jobs: dict[str, Job]
    """One of each status."""
    project: UUID
    key: UUID
    endpoint: UUID
    delivery: UUID

    def pages(self) -> Iterator[tuple[str, str]]:
        clips = [f"asset={clip.pk}" for clip in self.clips]
        working = self.jobs["processing"].pk
        asked: list[tuple[str, str, list[Any], str]] = [
            ("Front page", "web:home", [], ""),
            ("Pricing", "web:pricing", [], ""),
            ("New cutout", "web:new", [], ""),
            ("New cutout, one clip", "web:new", [], clips[0]),
            ("New cutout, two clips", "web:new", [], "&".join(clips)),
            ("History", "web:jobs", [], ""),
            *((f"A job that is {status}", "web:job", [job.pk], "") for status, job in self.jobs.items()),
            ("Its progress, every second", "web:job-status", [working], "seen=processing-ready"),
            ("Projects", "web:projects", [], ""),
            ("One project", "web:project", [self.project], ""),
            ("Its settings", "web:project-settings", [self.project], ""),
            ("Usage", "web:usage", [], ""),
            ("Balance and ledger", "web:credits", [], ""),
            ("API keys", "web:keys", [], ""),
            ("One key", "web:key", [self.key], ""),
            ("Webhooks", "web:webhooks", [], ""),
            ("One endpoint", "web:webhook", [self.endpoint], ""),
            ("Deliveries", "web:webhook-deliveries", [], ""),
            ("One delivery", "web:webhook-delivery", [self.delivery], ""),
            ("E-mails", "web:notices", [], ""),
            ("Account", "web:account", [], ""),
            ("A copy of everything", "web:account-export", [], ""),
            ("Leaving", "web:account-delete", [], ""),
            ("Browsers signed in", "usersessions_list", [], ""),
            ("Second factor", "mfa_index", [], ""),
            ("Another address", "account_email", [], ""),
            ("Another password", "account_change_password", [], ""),
        ]
        for name, address, ids, query in asked:
            yield name, f"{reverse(address, args=ids)}{'?' if query else ''}{query}"

    def pages_of_nobody(self) -> Iterator[tuple[str, str]]:
        for name, address in (("Sign in", "account_login"), ("Sign up", "account_signup")):
            yield name, reverse(address)
        for name, address in (("Front page, signed out", "web:home"), ("Pricing, signed out", "web:pricing")):
            yield name, reverse(address)


def fill(jobs: int) -> Account:
    user = User.objects.create_user("pages@example.org", "correct horse battery staple")
    credits.open_wallet(user)
    credits.grant(user, CREDITS, key="pages", note="for the trial")
    projects = [make_project(user, name=f"Film {number}") for number in range(PROJECTS)]
    clips = [make_asset(user, project=projects[0], filename=f"clip-{number}.mp4") for number in range(2)]
    made: dict[str, Job] = {}
    for number in range(jobs):
        status, project = STATUSES[number % len(STATUSES)], projects[number % PROJECTS]
        fields: dict[str, Any] = {"quality": make_quality()} if status == "completed" else {}
        made[status] = make_job(user, asset=clips[number % 2], project=project, status=status, **fields)
    key, _ = issue_key(user, name="laptop")
    endpoint, _ = webhooks.create_endpoint(user, url="https://example.org/clearmatte")
    deliveries = [_delivery(endpoint, made["completed"]) for _ in range(DELIVERIES)]
    return Account(user, clips, made, projects[0].pk, key.pk, endpoint.pk, deliveries[0].pk)


def _delivery(endpoint: Endpoint, job: Job) -> Delivery:
    """One that has arrived."""
    now = timezone.now()
    delivery = Delivery.objects.create(
        user=endpoint.user, endpoint=endpoint, url=endpoint.url, event="job.completed", body="{}", subject=job.pk,
        state=Delivery.State.SENT, attempts=1, finished_at=now,
    )  # fmt: skip
    Attempt.objects.create(delivery=delivery, number=1, status_code=200)
    return delivery
