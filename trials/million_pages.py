"""What is looked at with a million jobs: each list and record of the admin, and the lists of two customers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.records import MOST_COUNTED, RecordAdmin
from apps.jobs.models import Job, Output
from apps.projects.models import Project
from apps.webhooks.models import Delivery, Endpoint
from trials.million_rows import FIRST

Pages = Iterator[tuple[str, str]]
"""Name and address."""

CHOICE = re.compile(r'href="\?([^"]+)"')
OTHER_STATUSES = ("created", "queued", "processing", "failed", "canceled")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
LAST = "page=999999"
MOST_NARROWED = 12
DAYS = "since=2026-01-01&until=2026-02-01"


def of_staff(client: Client, job: Job) -> Pages:
    yield "admin", reverse("admin:index")
    yield "admin, models", reverse("admin-models")
    for what, text in handles(job).items():
        yield f"box, {what}", f"{reverse('admin:find')}?{urlencode({SEARCH_VAR: text})}"
    for kind in admin.site._registry.values():
        yield from _of_kind(client, kind, job)
    for status in Job.Status.values:
        one = Job.objects.filter(status=status).order_by().first()
        yield f"job that is {status}", reverse("admin:jobs_job_change", args=[one.pk if one else job.pk])


def _of_kind(client: Client, kind: ModelAdmin[Any], job: Job) -> Pages:
    """The list, its hundredth and last page, every choice that it offers, every search, and one record."""
    name = f"{kind.opts.app_label}_{kind.opts.model_name}"
    listed = reverse(f"admin:{name}_changelist")
    shown = client.get(listed).content.decode()
    choices = {unescape(text) for text in CHOICE.findall(shown)}
    yield name, listed
    last = MOST_COUNTED // kind.list_per_page
    for query in sorted(
        {f"{PAGE_VAR}=100", f"{PAGE_VAR}={last}", *(text for text in choices if not text.startswith(("p=", "q=")))}
    ):
        yield f"{name}, {query}", f"{listed}?{query}"
    if isinstance(kind, RecordAdmin) and kind.search_fields:
        for what, text in handles(job).items():
            yield f"{name}, search {what}", f"{listed}?{urlencode({SEARCH_VAR: text})}"
        # As much as support narrows a search at once, and as little as it can find in many rows.
        for query in sorted(text for text in choices if "__exact=" in text or "year" in text)[:MOST_NARROWED]:
            yield f"{name}, search largest account, {query}", f"{listed}?{urlencode({SEARCH_VAR: FIRST})}&{query}"
        yield f"{name}, search largest account, page 100", f"{listed}?{urlencode({SEARCH_VAR: FIRST, PAGE_VAR: 100})}"
    row = kind.model._default_manager.order_by().first()
    if row is not None:
        yield f"{name}, one", reverse(f"admin:{name}_change", args=[row.pk])
        yield f"{name}, what was changed in one", reverse(f"admin:{name}_history", args=[row.pk])


def handles(job: Job) -> dict[str, str]:
    """Everything that the box takes, for one job and what belongs to it."""
    owner, project, asset, hold = job.owner, job.project, job.asset, job.hold
    assert owner is not None
    assert project is not None
    assert asset is not None
    assert hold is not None
    output, delivery = Output.objects.filter(job=job)[0], Delivery.objects.filter(subject=job.pk)[0]
    purchase, key = owner.purchases.all()[0], owner.api_keys.all()[0]
    return {
        "job id": str(job.pk),
        "beginning of job id": str(job.pk)[:8],
        "request id": job.request_id,
        "project id": str(project.pk),
        "external id": str(project.external_id),
        "project name": project.name,
        "name of many projects": "Default",
        "e-mail": owner.email,
        "part of an e-mail": owner.email.split("example")[0],
        "account id": str(owner.pk),
        "largest account": FIRST,
        "source id": str(asset.pk),
        "source hash": asset.sha256,
        "result id": str(output.pk),
        "result hash": output.sha256,
        "hold id": str(hold.pk),
        "delivery id": str(delivery.pk),
        "metadata": job.metadata["order"],
        "key": key.prefix,
        "Stripe customer": owner.wallet.stripe_customer,
        "Stripe session": purchase.session_id,
        "Stripe payment": purchase.payment_intent,
        "Stripe charge": purchase.charge,
        "Stripe event": f"evt_{purchase.session_id[3:]}",
        "nothing": "nothing-like-it",
    }


def of_customer(who: str, user: User) -> Pages:
    """In the browser."""
    project = Project.objects.for_user(user).order_by("name")[0]
    job = Job.objects.for_user(user).filter(status="completed").order_by("-created_at")[0]
    endpoint = Endpoint.objects.for_user(user)[0]
    delivery = Delivery.objects.filter(user=user).order_by("-created_at")[0]
    purchase, key = user.purchases.all()[0], user.api_keys.all()[0]
    others = [Job.objects.for_user(user).filter(status=status).first() for status in OTHER_STATUSES]
    asked: list[tuple[str, list[Any], list[str]]] = [
        ("projects", [], ["", "page=9", "q=Film", "show=media", "show=running"]),
        ("project", [project.pk], ["", LAST, "status=failed", "status=queued", "model=pro", DAYS]),
        ("project-settings", [project.pk], [""]),
        ("project-delete", [project.pk], [""]),
        ("jobs", [], ["", LAST, "status=failed", "status=created", f"project={project.pk}"]),
        *(("job", [found.pk], [""]) for found in (job, *others) if found),
        ("job-status", [job.pk], [""]),
        ("new", [], ["", f"project={project.pk}"]),
        ("usage", [], ["days=7", "days=30", "days=90"]),
        ("usage-csv", [], ["days=90"]),
        ("credits", [], ["", LAST]),
        ("purchase", [purchase.pk], [""]),
        ("webhooks", [], [""]),
        ("webhook", [endpoint.pk], ["", "state=failed"]),
        ("webhook-deliveries", [], ["", "state=failed", LAST]),
        ("webhook-delivery", [delivery.pk], [""]),
        ("key", [key.pk], [""]),
        *((name, [], [""]) for name in ("account", "keys", "notices", "account-export", "account-delete")),
    ]
    for name, ids, queries in asked:
        for query in queries:
            yield short(f"{who} customer, {name} {query}"), f"{reverse(f'web:{name}', args=ids)}?{query}"


def of_program(who: str, user: User) -> Pages:
    """Over the API."""
    project = Project.objects.for_user(user).exclude(external_id=None).order_by("name")[0]
    job = Job.objects.for_user(user).filter(status="completed").order_by("-created_at")[0]
    endpoint = Endpoint.objects.for_user(user)[0]
    last = max(0, Job.objects.for_user(user).count() - 100)
    jobs = ["", "limit=100", "limit=100&offset=10000", f"limit=100&offset={last}", "status=failed", "status=queued"]
    jobs += [f"project={project.pk}", f"project={project.external_id}", f"status=completed&project={project.pk}"]
    asked = {
        "jobs": jobs,
        f"jobs/{job.pk}": [""],
        f"jobs/{job.pk}/events": [""],
        f"jobs/{job.pk}/quality": [""],
        "credits": [""],
        "usage/summary": ["days=7", "days=90", "days=90&api_key=this"],
        "usage/events": ["limit=100", "limit=100&api_key=this"],
        "projects": ["limit=100", f"external_id={project.external_id}"],
        "webhooks": [""],
        f"projects/{project.pk}": [""],
        f"webhooks/{endpoint.pk}": [""],
        f"webhooks/{endpoint.pk}/deliveries": ["limit=100", "limit=100&offset=10000"],
    }
    for path, queries in asked.items():
        for query in queries:
            yield short(f"{who} program, {path} {query}"), f"/v1/{path}?{query}"


def short(name: str) -> str:
    return ID.sub("ID", name).strip()


def at_the_door() -> Pages:
    yield "/metrics", "/metrics"


def some_job() -> Job:
    """A finished one that is not the largest account's."""
    related = Job.objects.select_related("owner__wallet", "project", "asset", "hold").filter(status="completed")
    named = related.exclude(owner__email=FIRST).filter(project__external_id__isnull=False)
    return named.order_by("created_at")[100]
