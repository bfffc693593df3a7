"""The workbench in a real browser: several files, what is known before they arrive, colours, a reload, the keyboard."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from apps.accounts.models import User
from apps.jobs.models import Job
from apps.projects.models import Asset
from tests.factories import make_project
from tests.pages.test_upload import PARTS
from tests.pages.visits import A_MINUTE, faults_here, sign_in

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

FOCUSED = """() => {
  const at = document.activeElement;
  const text = at.labels?.length ? at.labels[0].textContent : at.textContent;
  return {
    tag: at.tagName,
    name: text.replace(/\\s+/g, " ").trim(),
    isOutlined: getComputedStyle(at.closest(".choice") ?? at).outlineStyle !== "none",
  };
}"""
EYE_DROPPER = "window.EyeDropper = class { open() { return Promise.resolve({ sRGBHex: '#123456' }); } };"


class Gate:
    """Holds the parts of all uploads until it is opened."""

    def __init__(self) -> None:
        self.is_open, self.held = False, []
        self.lock = threading.Lock()

    def carry(self, route: Route) -> None:
        with self.lock:
            if not self.is_open:
                self.held.append(route)
                return
        route.continue_()

    def open(self) -> None:
        with self.lock:
            self.is_open, held = True, self.held
        for route in held:
            route.continue_()


def choose(page: Page, gate: Gate, files: list[Path]) -> None:
    """What the browser knows shows at once, and nothing can be started yet."""
    page.add_init_script(EYE_DROPPER)
    page.reload()
    page.route(PARTS, gate.carry)
    page.set_input_files("#id_file", files)
    rows = page.locator(".clip")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("0:02.0")
    expect(rows.first).to_contain_text("96 × 64")
    expect(page.locator("#on-its-way")).to_be_visible()
    expect(page.locator("#preview video")).to_be_visible()


def arrive(page: Page, gate: Gate) -> None:
    """Two are priced; the broken one says why and costs them nothing."""
    gate.open()
    expect(page.locator(".clip[data-asset]")).to_have_count(2, timeout=A_MINUTE)
    expect(page.locator(".clip.is-refused")).to_contain_text("not a video")
    page.get_by_label("light", exact=False).first.check(force=True)
    expect(page.get_by_role("button", name="Start all 2 for 3 credits")).to_be_enabled()
    expect(page.locator("#on-its-way")).to_be_hidden()
    expect(page.locator(".clip").first.locator(".clip-price")).to_have_text("1.50 credits")


def lose_the_price(page: Page) -> None:
    """What was true of the choice before is not shown of this one, nor can it be started, until the price is there."""
    page.route("**/new/price", lambda route: route.abort("internetdisconnected"))
    page.locator("input[name=model][value=pro]").check(force=True)
    expect(page.locator("#price-lost")).to_be_visible()
    expect(page.locator("#bill")).to_contain_text("Start all 2 for 3 credits")
    expect(page.locator("#bill button:visible, #bill dl:visible, .clip-price:visible")).to_have_count(0)
    page.unroute("**/new/price")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.get_by_role("button", name="Start all 2 for 12 credits")).to_be_enabled()
    expect(page.locator("#price-lost")).to_be_hidden()
    page.get_by_label("light", exact=False).first.check(force=True)
    expect(page.get_by_role("button", name="Start all 2 for 3 credits")).to_be_enabled()


def look_at_the_other(page: Page) -> None:
    first = page.locator("#preview video").get_attribute("src")
    page.get_by_role("button", name="Show second.mp4").press("Enter")
    expect(page.get_by_role("button", name="Show second.mp4")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#preview video").get_attribute("src") != first
    page.get_by_role("button", name="Remove broken.mp4").press("Enter")
    expect(page.locator(".clip")).to_have_count(2)
    assert page.evaluate("document.activeElement.closest('.clip') !== null")


def pick_colours(page: Page) -> str:
    """From a swatch, from the screen, and from the corner of the clip, which is what comes back."""
    colour, told = page.locator("#id_bg_color"), page.locator("[data-colour-told]")
    page.get_by_label("Colour", exact=True).first.check(force=True)
    page.get_by_role("button", name="White").press("Enter")
    expect(colour).to_have_value("#ffffff")
    page.get_by_role("button", name="Pick from the screen").click()
    expect(told).to_have_text("#123456")
    page.get_by_role("button", name="Pick from the clip").click()
    box = page.locator("#preview").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 12)
    expect(page.locator(".picker")).to_have_count(0)
    expect(told).not_to_have_text("#123456")
    return colour.input_value()


def choose_project(page: Page) -> None:
    """The project's format comes over; the colour, which is one's own, stays."""
    page.locator("#id_project").select_option(label="Shop")
    expect(page.locator("#choices")).to_contain_text("Format is MOV, ProRes 4444 now, was WebM.")
    expect(page.locator("#choices")).to_contain_text("Background stays as you chose it")
    expect(page.locator("input[name=output_format][value=mov]")).to_be_checked()
    # Kept for a reload a moment after it is shown.
    expect(page).to_have_url(re.compile("output_format=mov"))


def reload(page: Page, colour: str) -> None:
    page.reload()
    expect(page.locator(".clip[data-asset]")).to_have_count(2)
    expect(page.locator("#id_bg_color")).to_have_value(colour)
    expect(page.locator("#id_project")).to_contain_text("Shop")
    expect(page.locator("input[name=output_format][value=mov]")).to_be_checked()


def shut_nobody_out(page: Page) -> list[str]:
    """With clips, a refused one and the bill, in both schemes and also as wide as a phone."""
    found = []
    for scheme, width in (("light", 1280), ("dark", 360)):
        # Without motion: axe would measure colours on their way from one scheme to the other.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        found += faults_here(page, scheme)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    page.set_viewport_size({"width": 1280, "height": 900})
    return found


def walk_to(page: Page, name: str, key: str = "Tab") -> None:
    """By this key alone, and wherever it leads the eye can see it."""
    for _ in range(60):
        page.keyboard.press(key)
        at = page.evaluate(FOCUSED)
        # A player outlines the button of its own that has the focus.
        assert at["isOutlined"] or at["tag"] == "VIDEO", at
        if at["name"].startswith(name):
            return
    raise AssertionError(f"{key} does not lead to {name}")


def start_by_keyboard(page: Page) -> None:
    walk_to(page, "light")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="Start all 2 for 4 credits")).to_be_enabled()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Start all 2 for 3 credits")).to_be_enabled()
    walk_to(page, "Start all 2 for 3 credits", "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs")
    expect(page.get_by_text("2 cutouts are started, 3 credits set aside.")).to_be_visible()
    page.go_back()
    expect(page.locator(".clip[data-asset]")).to_have_count(2)


def test_several_files_from_the_first_look_to_the_list_of_their_jobs(
    visitor: Callable[..., Any],
    alice: User, all_installed: None, settings: Any, live_server: Any, clip: Path, tmp_path: Path,
) -> None:  # fmt: skip
    settings.SITE_URL = live_server.url
    make_project(alice, name="Shop", defaults={"output_format": "mov", "bg_type": "white"})
    files = [tmp_path / name for name in ("first.mp4", "broken.mp4", "second.mp4")]
    for file in files:
        file.write_bytes(b"no film" * 1000 if file.stem == "broken" else clip.read_bytes())
    gate = Gate()
    person = visitor(viewport={"width": 1280, "height": 900})
    person.does(sign_in, alice.email)

    person.does(choose, gate, files)
    assert Asset.objects.count() == 0
    person.does(arrive, gate)
    assert person.does(shut_nobody_out) == []
    person.does(lose_the_price)
    # That the connection was gone is said by the browser and by htmx; nothing else was said.
    assert [one for one in person.complaints if "ERR_INTERNET_DISCONNECTED" not in one and "sendError" not in one] == []
    person.complaints.clear()
    person.does(look_at_the_other)
    colour = person.does(pick_colours)
    person.does(choose_project)
    person.does(reload, colour)
    assert Job.objects.count() == 0
    person.does(start_by_keyboard)

    jobs = Job.objects.order_by("created_at")
    assert [job.asset.filename for job in jobs if job.asset] == ["first.mp4", "second.mp4"]
    rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    assert [(job.model, job.output_format, job.options["background"]["color"]) for job in jobs] == [
        ("light", "mov", rgb)
    ] * 2
