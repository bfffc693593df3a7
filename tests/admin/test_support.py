"""Somebody writes: "my video from yesterday in project Spring looks wrong and I was charged twice". Support looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import closing
from apps.accounts.models import Act, User
from apps.credits import services as credits
from apps.credits.models import LedgerEntry, Purchase
from apps.jobs import leaving, retention
from apps.jobs import projects as jobs_of
from apps.jobs.models import Job, Output
from apps.projects.models import Asset, Project
from tests.admin.pressing import press
from tests.conftest import make_user
from tests.factories import make_asset, make_job, make_project, make_quality

PROJECT = "Spring"
WRITES_FROM = "anna@example.org"
LINK = re.compile(r'<a href="([^"]+)"[^>]*>\s*([^<]*?)\s*</a>')
MOST_CLICKS = 3


class Desk:
    """A browser at the admin that counts what is clicked; typing into the box is where it begins."""

    def __init__(self, client: Client) -> None:
        self.client, self.clicks, self.text = client, 0, ""

    def type(self, text: str) -> None:
        self._read(self.client.get(reverse("admin:find"), {"q": text}, follow=True))

    def click(self, words: str) -> None:
        """The first link with these words, as `re` has them."""
        links = [(unescape(url), unescape(said)) for url, said in LINK.findall(self.text)]
        url = next((url for url, said in links if re.fullmatch(words, said)), None)
        assert url, (words, links)
        self.clicks += 1
        self._read(self.client.get(url, follow=True))

    def _read(self, answer: Any) -> None:
        assert answer.status_code == 200
        self.text = answer.text

    def shows(self, *texts: object) -> None:
        for text in texts:
            assert str(text) in self.text, text


@pytest.fixture
def desk(staff: Callable[[str], Client]) -> Desk:
    return Desk(staff("support"))


@pytest.fixture
def twice(db: None) -> list[Job]:
    """Of one clip, made yesterday by a program that asked twice; among others of hers and of a stranger."""
    _two_jobs(make_user("zoe@example.org"))
    return _two_jobs(make_user(WRITES_FROM))


def _two_jobs(user: User) -> list[Job]:
    name = user.email.split("@")[0]
    credits.open_wallet(user, grant=False)
    credits.grant(user, 100_00, key=f"test:{user.pk}", note="for tests")
    project = make_project(user, name=PROJECT, external_id=f"shop-{name}")
    make_job(user, project=project, asset=make_asset(user, project=project, content=b"another"), status="completed")
    yesterday = timezone.now() - timedelta(days=1)
    jobs = []
    for number in (1, 2):
        asset = make_asset(user, project=project, filename="clip.mp4", content=f"clip of {name}".encode())
        known = {"request_id": f"req_{name}_{number}", "client_agent": "shop/1.0", "quality": make_quality()}
        report = {"log_tail": "every frame was cut out", "seconds": 2.5}
        jobs.append(make_job(user, project=project, asset=asset, status="completed", result=report, **known))
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(created_at=yesterday)
    Purchase.objects.create(
        user=user, pack="team", credits=100_00, amount=45_00, currency="usd", pricing_version=1, status="paid",
        session_id=f"cs_{name}", payment_intent=f"pi_{name}", charge=f"ch_{name}",
    )  # fmt: skip
    return jobs


def retention_is_over(user: User) -> None:
    past = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(owner=user).update(expires_at=past)
    Asset.objects.filter(owner=user).update(expires_at=past)
    retention.delete_expired()
    assert not Output.objects.filter(job__owner=user).exclude(file="").exists()


def project_is_deleted(user: User) -> None:
    retention_is_over(user)
    jobs_of.delete(Project.objects.get(owner=user, name=PROJECT))


def account_is_deleted(user: User) -> None:
    project_is_deleted(user)
    closing.close(user)
    leaving.go_on()


@pytest.mark.parametrize("then", [lambda user: None, retention_is_over, project_is_deleted])
def test_support_finds_it_all_by_the_projects_name(desk: Desk, twice: list[Job], then: Callable[[User], None]) -> None:
    first, second = twice
    owner = User.objects.get(email=WRITES_FROM)
    then(owner)

    desk.type(PROJECT)
    desk.shows(WRITES_FROM)
    desk.click(f"{str(second.pk)[:8]} completed")

    assert desk.clicks <= MOST_CLICKS
    desk.shows(first.pk, second.pk, "Ledger: ")
    desk.shows(second.request_id, "shop/1.0", "Edges are restless", "every frame was cut out", second.asset.sha256)
    assert "zoe" not in desk.text


def test_support_finds_what_stayed_by_the_address_of_a_deleted_account(desk: Desk, twice: list[Job]) -> None:
    first, second = twice
    account_is_deleted(User.objects.get(email=WRITES_FROM))

    desk.type(WRITES_FROM.title())
    desk.click(f"{str(second.pk)[:8]} completed")
    desk.shows(first.pk, second.pk, second.request_id, "Edges are restless", second.asset.sha256)
    desk.click("Their purchases")
    desk.shows("cs_anna")

    assert desk.clicks <= MOST_CLICKS
    assert WRITES_FROM not in desk.text
    assert "zoe" not in desk.text


def test_who_signed_up_again_with_the_address_is_somebody_new(desk: Desk, twice: list[Job]) -> None:
    closed = User.objects.get(email=WRITES_FROM)
    account_is_deleted(closed)
    anew = make_user(WRITES_FROM)

    desk.type(WRITES_FROM)

    desk.shows(anew.pk, "deletion of")
    assert str(twice[0].pk)[:8] not in desk.text
    desk.click("deletion of.*")
    desk.shows(closed.pk)


def test_no_part_of_an_address_finds_a_deleted_account(desk: Desk, twice: list[Job]) -> None:
    account_is_deleted(User.objects.get(email=WRITES_FROM))

    desk.type("anna@example.or")

    desk.shows("Nothing is called")


def test_finance_gives_the_second_charge_back_also_when_media_and_project_are_gone(
    staff: Callable[[str], Client], desk: Desk, twice: list[Job]
) -> None:
    owner = User.objects.get(email=WRITES_FROM)
    project_is_deleted(owner)
    before = owner.wallet.balance

    answer = press(staff("finance"), twice[1], "refund", reason="Charged twice for one clip.")

    owner.wallet.refresh_from_db()
    assert owner.wallet.balance == before + twice[1].charged
    assert "given back" in answer.text
    (line,) = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.RETURN)
    (act,) = Act.objects.all()
    assert (line.note, act.subject) == ("Charged twice for one clip.", str(twice[1].pk))
    desk.type(str(twice[0].pk))
    desk.shows("refunded", twice[1].pk)


def test_nobody_gives_credits_to_a_deleted_account(staff: Callable[[str], Client], twice: list[Job]) -> None:
    account_is_deleted(User.objects.get(email=WRITES_FROM))

    answer = press(staff("finance"), twice[1], "refund")

    assert "refund the payment at Stripe" in answer.text
    assert not LedgerEntry.objects.filter(kind=LedgerEntry.Kind.RETURN).exists()
