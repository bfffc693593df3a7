"""The page's upload: in parts, with a connection that breaks, in a real browser too."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from apps.accounts.models import User
from apps.projects import resumable
from apps.projects.models import Asset, Upload
from tests.factories import make_project
from tests.pages.visits import A_MINUTE, sign_in

PART = 14_000
PARTS = "**/v1/uploads/*/parts/*"


def begin(browser, content: bytes, **fields):
    return browser.post(reverse("web:upload"), {"filename": "C:\\clips\\holiday.mp4", "size": len(content), **fields})


def send(browser, begun: dict, content: bytes) -> None:
    for number in begun["missing"]:
        said = browser.post(reverse("web:upload-part", args=[begun["upload_id"], number])).json()
        assert said["url"].startswith("/v1/uploads/")
        part = content[(number - 1) * begun["part_size"] : number * begun["part_size"]]
        assert browser.generic("PUT", said["url"], part, content_type="").status_code == 200


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART_BYTES", PART)


def test_an_upload_answers_with_the_facts_of_the_file(alice, browser, clip):
    content, project = clip.read_bytes(), make_project(alice)
    begun = begin(browser, content, project=project.pk).json()
    send(browser, begun, content)

    response = browser.post(reverse("web:upload-complete", args=[begun["upload_id"]]))

    asset = Asset.objects.get()
    assert response.status_code == 201
    assert (asset.owner, asset.filename, asset.project) == (alice, "holiday.mp4", project)
    page = response.content.decode()
    assert f'name="asset" value="{asset.pk}"' in page
    assert "0:02.0" in page
    assert "96 × 64" in page
    assert "with sound" in page
    assert browser.get(reverse("web:upload-state", args=[begun["upload_id"]])).json()["status"] == "completed"


def test_the_script_is_told_to_wait_while_parts_lack_or_another_request_completes(alice, browser, clip):
    content = clip.read_bytes()
    begun = begin(browser, content).json()
    path = reverse("web:upload-complete", args=[begun["upload_id"]])

    lacking = browser.post(path)
    send(browser, begun, content)
    Upload.objects.update(status="completing", lease_until=timezone.now() + timedelta(minutes=1))
    beside = browser.post(path)

    assert (lacking.status_code, beside.status_code) == (202, 202)
    Upload.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    assert browser.post(path).status_code == 201


def test_a_file_that_is_no_video_is_refused_with_the_reason_and_not_kept(alice, browser):
    content = b"this is not a film" * 100
    begun = begin(browser, content).json()
    send(browser, begun, content)

    response = browser.post(reverse("web:upload-complete", args=[begun["upload_id"]]))

    assert response.status_code == 200
    assert b"Nothing was kept and nothing was charged" in response.content
    assert Asset.objects.count() == 0


@pytest.mark.parametrize(("fields", "told"), [({"size": 500_000_001}, b"larger than 500 MB"), ({"size": 0}, b"empty")])
def test_what_would_be_refused_is_refused_before_it_is_sent(alice, browser, fields, told):
    response = browser.post(reverse("web:upload"), {"filename": "a.mp4", **fields})

    assert response.status_code == 200
    assert told in response.content
    assert Upload.objects.count() == 0


def test_a_stranger_can_neither_see_nor_use_an_upload(alice, charlie, browser, at):
    begun = begin(browser, b"x" * PART).json()
    stranger = at(charlie)

    path = reverse("web:upload-state", args=[begun["upload_id"]])
    answers = [stranger.get(path), *(stranger.post(f"{path}/{act}") for act in ("parts/1", "complete", "cancel"))]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert b"given up or has expired" in answers[1].content
    assert Upload.objects.count() == 1
    assert browser.post(reverse("web:upload-cancel", args=[begun["upload_id"]])).status_code == 204
    assert Upload.objects.count() == 0


class Line:
    """A connection that lets `sent` parts through and then breaks, until it is mended."""

    def __init__(self, sent: int) -> None:
        self.left, self.passed = sent, 0
        self.lock = threading.Lock()

    def carry(self, route: Route) -> None:
        with self.lock:
            self.left -= 1
            is_through = self.left >= 0
            self.passed += is_through
        if is_through:
            route.continue_()
        else:
            route.abort("connectionreset")

    def mend(self) -> None:
        self.left = 1000


def choose(page: Page, line: Line, clip: Path) -> None:
    page.route(PARTS, line.carry)
    page.set_input_files("#id_file", clip)
    expect(page.locator("#preview video")).to_be_visible()
    expect(page.locator(".clip")).to_contain_text("The connection is gone", timeout=A_MINUTE)
    expect(page.locator("#bill button[type=submit]:visible:enabled")).to_have_count(0)


def arrives(page: Page) -> None:
    expect(page.locator(".clip[data-asset]")).to_contain_text("96 × 64", timeout=A_MINUTE)
    expect(page.locator(".clip progress")).to_have_count(0)
    expect(page.locator("#bill")).to_contain_text("credits")


def choose_again(page: Page, clip: Path) -> None:
    page.reload()
    page.set_input_files("#id_file", clip)


def look(page: Page, path: Path) -> None:
    page.screenshot(path=path)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("reloads", [False, True])
def test_a_connection_that_breaks_costs_only_what_was_under_way(
    visitor,
    alice: User, all_installed, settings, live_server, clip: Path, tmp_path: Path, reloads: bool,
):  # fmt: skip
    settings.SITE_URL = live_server.url
    count = -(-clip.stat().st_size // PART)
    line = Line(sent=2)
    person = visitor(viewport={"width": 1280, "height": 860})
    person.does(sign_in, alice.email)

    person.does(choose, line, clip)
    person.does(look, tmp_path / "broken.png")
    assert count > 2
    assert Upload.objects.get().status == "open"
    if reloads:
        person.does(choose_again, clip)
    line.mend()
    person.does(arrives)
    person.does(look, tmp_path / "arrived.png")

    assert line.passed == count
    assert Asset.objects.get().size == clip.stat().st_size
    # The browser says of each broken request that it broke; nothing else.
    assert [one for one in person.complaints if "ERR_CONNECTION_RESET" not in one] == []
    person.complaints.clear()
