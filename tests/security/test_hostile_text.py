"""Text that strangers choose stays text, on every page that shows it and in the admin that support reads."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.projects.services import shown_name
from apps.webhooks.models import Attempt, Endpoint
from apps.webhooks.services import create_endpoint, emit
from tests.factories import make_asset, make_job, make_project

EVIL = """"><script>alert('xss')</script><img src=x onerror=alert(1)>{{7*7}}"""
ADDRESS = "https://example.org/?a=%22'><script>alert('xss')</script>"


class Suspicious(HTMLParser):
    """Collects what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.is_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.found += [name for name in given if name.startswith("on")]
        self.found += [value for value in given.values() if value and value.strip().lower().startswith("javascript:")]
        if tag == "img" and given.get("src") == "x":
            self.found.append("img")
        self.is_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self.is_script = False

    def handle_data(self, data: str) -> None:
        if self.is_script and "xss" in data:
            self.found.append(data)


def suspicious(page: str) -> list[str]:
    reader = Suspicious()
    reader.feed(page)
    return reader.found


def test_the_reader_finds_what_it_is_there_for() -> None:
    assert suspicious(f'<a href="{EVIL}">') != []
    assert suspicious("<p>&lt;script&gt;alert('xss')</p>") == []


@pytest.fixture
def infested(alice: User) -> dict[str, Any]:
    """Hostile text in every field that takes some."""
    User.objects.filter(pk=alice.pk).update(name=EVIL)
    project = make_project(alice, name=EVIL[:120], external_id=EVIL[:200])
    asset = make_asset(alice, project=project, filename=shown_name(EVIL), source_url=ADDRESS, video_codec=EVIL)
    texts = {
        "video_url": ADDRESS,
        "metadata": {EVIL: EVIL},
        "webhook_url": ADDRESS,
        "request_id": "ok",
        "requested": {"model": EVIL},
        "warnings": [{"code": "size_padded", "message": EVIL}],
        "device": EVIL[:40],
        "model_version": EVIL,
    }
    jobs = [
        make_job(alice, asset=asset, project=project, status=status, **texts)
        for status in ("created", "queued", "completed")
    ]
    jobs.append(
        make_job(alice, asset=asset, project=project, **texts, status="failed", error=EVIL, error_code="timeout")
    )
    issue_key(alice, name=EVIL[:100])
    endpoint, _ = create_endpoint(alice, url="https://y.example/hook")
    Endpoint.objects.filter(pk=endpoint.pk).update(url=ADDRESS, description=EVIL)
    deliveries = emit(alice, "job.completed", url="https://x.example", body={"x": EVIL}, subject=jobs[0].pk)
    for delivery in deliveries:
        Attempt.objects.create(delivery=delivery, number=1, error=EVIL, response_excerpt=EVIL)
    return {"project": project, "asset": asset, "jobs": jobs, "deliveries": deliveries}


def test_hostile_text_stays_text_on_every_page(
    infested: dict[str, Any], alice: User, at: Callable[[User], Client]
) -> None:
    window = at(alice)
    paths = [
        reverse(f"web:{name}")
        for name in ("new", "jobs", "projects", "credits", "keys", "webhooks", "webhook-deliveries")
    ]
    paths += [reverse("web:job", args=[job.pk]) for job in infested["jobs"]]
    paths += [reverse("web:job-status", args=[job.pk]) for job in infested["jobs"]]
    paths += [reverse("web:webhook-delivery", args=[delivery.pk]) for delivery in infested["deliveries"]]
    paths += [reverse("web:webhook", args=[endpoint.pk]) for endpoint in alice.webhook_endpoints.all()]
    paths += [
        reverse("web:project", args=[infested["project"].pk]),
        f"{reverse('web:new')}?asset={infested['asset'].pk}&bg_color=%22%3E%3Cscript%3Ealert('xss')%3C/script%3E",
        f"{reverse('web:jobs')}?status=%22%3E%3Cscript%3Ealert('xss')%3C/script%3E&project={infested['project'].pk}",
        f"{reverse('account_login')}?next=%22%3E%3Cscript%3Ealert('xss')%3C/script%3E",
        "/%22%3E%3Cscript%3Ealert('xss')%3C/script%3E",
    ]

    pages = {path: window.get(path).content.decode() for path in paths}

    assert {path: found for path, page in pages.items() if (found := suspicious(page))} == {}
    shown = [path for path, page in pages.items() if "&lt;script&gt;alert(&#x27;xss" in page]
    assert len(shown) >= 10


def test_hostile_text_stays_text_in_the_admin(
    infested: dict[str, Any], sue: User, at: Callable[[User], Client]
) -> None:
    support = at(sue)
    pages = {}
    for model in admin.site._registry:
        try:
            listing = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        except NoReverseMatch:
            continue
        pages[listing] = support.get(listing).content.decode()
        for row in model._default_manager.all()[:5]:
            path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
            pages[path] = support.get(path).content.decode()

    assert {path: found for path, page in pages.items() if (found := suspicious(page))} == {}
    assert len([path for path, page in pages.items() if "&lt;script&gt;alert(" in page]) >= 5


def test_the_api_says_it_back_as_json_and_never_as_a_page(
    infested: dict[str, Any], alice: User, caller: Callable[[User], Client]
) -> None:
    answer = caller(alice).get("/v1/jobs", headers={"accept": "text/html"})

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["data"][0]["metadata"] == {EVIL: EVIL}


def test_a_name_never_becomes_a_path_nor_a_second_header(alice: User) -> None:
    for name in ("../../etc/passwd", "..\\..\\boot.ini", "a\r\nSet-Cookie: x=1\r\n.mp4", "/abs/olute.mp4", "\x00.mp4"):
        asset = make_asset(alice, filename=shown_name(name))

        assert asset.file.name == f"assets/{asset.pk}/source"
        assert not set("/\\\r\n\x00") & set(asset.filename)


def test_text_that_looks_like_a_template_is_not_one(alice: User, at: Callable[[User], Client]) -> None:
    project = make_project(alice, name="{{ request.user.password }}{% now 'Y' %}")

    page = at(alice).get(reverse("web:project", args=[project.pk])).content.decode()

    assert "{{ request.user.password }}{% now &#x27;Y&#x27; %}" in page
