"""A real browser on a live site: sign up, upload, watch, compare, download. The keyer stands in for the models."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.engine.encode import WRITERS, Cutout, Spec
from apps.engine.matting import weights
from apps.engine.matting.weights import ModelStatus
from apps.engine.options import MODELS
from apps.jobs import choices
from apps.jobs.models import Job, Output
from tests import clips
from tests.factories import make_asset, make_job, make_output, make_project, make_quality
from tests.live import KEYER, House, open_keyer_door
from tests.pages.visits import A_MINUTE, faults, sign_in, sign_up

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def workers(
    house: House, live_server: LiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """Gone after the test, or they would take the next one's jobs."""
    settings.SITE_URL = live_server.url
    open_keyer_door(monkeypatch)
    offer_the_keyer(monkeypatch)
    with house.workers():
        yield house


def offer_the_keyer(patch: pytest.MonkeyPatch) -> None:
    """As a fifth card on the page. No setting can do that."""
    here = {name: ModelStatus(True, (), None) for name in (*MODELS, KEYER)}
    patch.setattr(weights, "model_status", lambda *args, **kwargs: here)
    patch.setattr(choices, "MODELS", (*MODELS, KEYER))
    patch.setitem(choices.ABOUT, KEYER, "Green screens, exactly.")


def upload(page: Page, clip: Path) -> None:
    """A preview at once, the facts when it has arrived, the price before anything is spent."""
    page.set_input_files("#id_file", clip)
    expect(page.locator("#preview video")).to_be_visible()
    expect(page.locator("#clips")).to_contain_text("96 × 64")
    page.get_by_label(KEYER).check()
    expect(page.locator("#bill")).to_contain_text("0.20 credits")
    expect(page.locator("#bill")).to_contain_text("19.80 credits")


def try_first(page: Page) -> None:
    """For nothing, beside the clip, which needs no second upload for the whole job."""
    page.get_by_role("button", name="Free preview, 3 seconds").click()
    shown = page.locator("#tried[data-done='completed'] stacked-player")
    expect(shown).to_be_visible(timeout=2 * A_MINUTE)
    # Whole, although it is not as wide as the stage, and playing by itself.
    assert shown.evaluate("(player) => player.clientHeight <= player.parentElement.clientHeight")
    expect(shown.locator("video")).to_have_js_property("paused", False)
    expect(page.locator("#balance")).to_contain_text("20 credits")
    expect(page.locator("#clips")).to_contain_text("96 × 64")


def start_and_watch(page: Page) -> None:
    """Live until it is done, in one and the same document."""
    page.get_by_role("button", name="Start for 0.20 credits").click()
    page.wait_for_url("**/jobs/*")
    page.evaluate("window.neverReloaded = true")
    expect(page.get_by_role("link", name="Download WebM")).to_be_visible(timeout=2 * A_MINUTE)
    assert page.evaluate("window.neverReloaded")
    expect(page.locator("#balance")).to_contain_text("19.80 credits")


def compare_with_the_keyboard(page: Page) -> None:
    slider = page.get_by_label("How much of the original to show")
    frame = page.locator(".frame")
    slider.focus()
    slider.press("Home")
    assert frame.evaluate("frame => frame.style.getPropertyValue('--cut')") == "0%"
    slider.press("End")
    assert frame.evaluate("frame => frame.style.getPropertyValue('--cut')") == "100%"
    expect(slider).to_have_attribute("aria-valuetext", "100 % original")


def step_by_frame(page: Page) -> None:
    """To the middle of the second frame of 25 a second, and back to the middle of the first, both players alike."""
    page.get_by_role("button", name="One frame on").click()
    assert positions(page) == pytest.approx([0.06, 0.06], abs=0.001)
    page.keyboard.press(",")
    assert positions(page) == pytest.approx([0.02, 0.02], abs=0.001)


def look_closely_at_the_alpha(page: Page) -> None:
    """The corner lies outside the subject: black. The middle of what is seen stays the middle."""
    page.get_by_label("How much of the original to show").press("Home")
    page.get_by_label("Alpha", exact=True).check(force=True)
    shot = Image.open(io.BytesIO(page.locator(".frame").screenshot())).convert("RGB")
    pixels = np.asarray(shot)
    assert (pixels == 255).all(axis=2).mean() > 0.03
    assert (pixels == 0).all(axis=2).mean() > 0.3
    assert shot.getpixel((12, shot.height - 12)) == (0, 0, 0)

    page.get_by_label("Zoom").select_option("4 ×")

    view = page.locator(".view")
    assert view.evaluate("view => view.scrollWidth / view.clientWidth") == pytest.approx(4, abs=0.1)
    middle = view.evaluate("view => (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth")
    assert middle == pytest.approx(0.5, abs=0.02)
    move_what_is_zoomed(page)
    page.get_by_label("Zoom").select_option("to fit")


def move_what_is_zoomed(page: Page) -> None:
    """A drag moves the picture by as much, and leaves the comparison as it was."""
    view, where = page.locator(".view"), "view => [view.scrollLeft, view.scrollTop]"
    left, top = view.evaluate(where)
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 40, box["y"] + box["height"] / 2 - 20)
    page.mouse.up()
    assert view.evaluate(where) == pytest.approx([left + 40, top + 20], abs=1)
    assert page.get_by_label("How much of the original to show").input_value() == "0"


def play_both(page: Page) -> None:
    page.get_by_role("button", name="Play both").click()
    # Not wait_for_function: it evaluates text in the page, which the policy forbids.
    while min(times := positions(page)) <= 0.3:
        page.wait_for_timeout(50)
    page.get_by_role("button", name="Pause both").click()
    assert abs(times[0] - times[1]) < 0.3


def positions(page: Page) -> list[float]:
    """Seconds at which the cutout and the original are."""
    found: list[float] = page.locator(".frame video").evaluate_all("videos => videos.map(video => video.currentTime)")
    return found


def jump_by_the_chart(page: Page) -> None:
    """A click in its middle takes both players to the middle."""
    page.locator("[data-track]").first.click()
    expect(page.locator("#job-say")).to_have_text("At 0:01.0")
    assert positions(page) == pytest.approx([1.0, 1.0], abs=0.05)


def jump_by_a_moment(page: Page) -> None:
    page.reload()
    page.get_by_role("link", name="0:00.5–0:00.9").press("Enter")
    expect(page.locator("#job-say")).to_have_text("At 0:00.5")
    assert positions(page) == pytest.approx([0.5, 0.5], abs=0.05)


def see_through(page: Page) -> None:
    """The corner of the cutout is the backdrop's colour, so its alpha reaches the screen."""
    page.get_by_label("White", exact=True).check(force=True)
    page.get_by_label("How much of the original to show").press("Home")
    expect(page.locator(".frame")).to_have_attribute("data-backdrop", "white")
    alpha = page.locator(".frame .result video").evaluate(
        """video => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
            const pen = canvas.getContext("2d");
            pen.drawImage(video, 0, 0);
            return pen.getImageData(2, canvas.height - 3, 1, 1).data[3];
        }"""
    )
    assert alpha == 0


def download(page: Page, target: Path) -> str:
    """The name that the browser would save it under."""
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download WebM").click()
    coming.value.save_as(target)
    return coming.value.suggested_filename


def test_from_sign_up_to_a_downloaded_cutout(visitor, workers, clip, tmp_path):
    person = visitor(viewport={"width": 1280, "height": 860})
    person.does(sign_up)

    person.does(upload, clip)
    assert Job.objects.count() == 0

    person.does(try_first)
    person.does(start_and_watch)
    person.does(compare_with_the_keyboard)
    person.does(step_by_frame)
    person.does(look_closely_at_the_alpha)
    person.does(play_both)
    person.does(see_through)
    person.does(jump_by_the_chart)
    # The keyer makes no fault to look at.
    Job.objects.update(quality=make_quality())
    person.does(jump_by_a_moment)

    target = tmp_path / "cutout.webm"
    assert person.does(download, target) == "holiday-cutout.webm"
    assert (
        hashlib.sha256(target.read_bytes()).hexdigest()
        == Output.objects.filter(kind="result").latest("created_at").sha256
    )


def upload_without_script(page: Page, clip: Path) -> None:
    page.set_input_files("#id_file", clip)
    page.get_by_role("button", name="Upload and see the price").click()
    expect(page.locator("#clips")).to_contain_text("96 × 64")
    page.get_by_label(KEYER).check()
    page.get_by_role("button", name="Work out the price again").click()
    expect(page.locator("#bill")).to_contain_text("0.20 credits")


def start_without_script(page: Page) -> None:
    page.get_by_role("button", name="Start for 0.20 credits").click()
    page.wait_for_url("**/jobs/*")
    again, done = page.get_by_role("link", name="Look again"), page.get_by_role("link", name="Download WebM")
    for _ in range(120):
        if done.is_visible():
            return
        again.click()
        page.wait_for_timeout(500)


def test_the_same_without_the_script(visitor, workers, clip, tmp_path):
    person = visitor(java_script_enabled=False)
    person.does(sign_up)

    person.does(upload_without_script, clip)
    assert Job.objects.count() == 0

    person.does(start_without_script)
    target = tmp_path / "cutout.webm"
    assert person.does(download, target) == "holiday-cutout.webm"
    assert hashlib.sha256(target.read_bytes()).hexdigest() == Output.objects.get(kind="result").sha256


def cancel(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.locator("#balance")).to_contain_text("92.50 credits")
    page.get_by_role("button", name="Cancel, at no cost").click()
    expect(page.locator("#job")).to_contain_text("Nothing was charged")
    expect(page.locator("#balance")).to_contain_text("100 credits")


def test_cancel_while_it_waits_gives_the_credits_back(visitor, alice: User, all_installed):
    job = make_job(alice, status="queued")
    person = visitor()
    person.does(sign_in, alice.email)

    person.does(cancel, reverse("web:job", args=[job.pk]))

    job.refresh_from_db()
    assert job.status == "canceled"


def film(folder: Path, name: str, *, opaque: bool = False) -> bytes:
    """A disc on nothing, in one of our files."""
    path = folder / name
    spec = Spec(96, 64, Fraction(25), Fraction(1, 1000), opaque=opaque, threads=1)
    writer = WRITERS[name](path, spec)
    for index in range(5):
        rgb = np.full((64, 96, 3), clips.SUBJECT, np.uint8)
        writer.write(Cutout(index, Fraction(index, 25), Fraction(index + 1, 25), rgb, clips.matte(index)))
    writer.close()
    return path.read_bytes()


def open_result(page: Page, path: str, see_through: bytes | None) -> None:
    if see_through:
        page.route("**/see-through*.webm", lambda route: route.fulfill(body=see_through, content_type="video/webm"))
    page.goto(path, wait_until="commit")


def see_which(page: Page, which: str) -> int:
    """How many stacked players there are, once the page has decided."""
    expect(page.locator(".compare")).to_have_attribute("data-shows", which, timeout=A_MINUTE)
    return page.locator(".result stacked-player canvas").count()


def finished(owner: User, folder: Path) -> Job:
    job = make_job(owner, status="completed", asset=make_asset(owner, content=film(folder, "mp4", opaque=True)))
    job.outputs.all().delete()
    make_output(job, content=film(folder, "webm"), width=96, height=64)
    make_output(job, kind="preview", content=film(folder, "stacked_mp4"), format_="stacked_mp4", width=96, height=128)
    return job


@pytest.mark.parametrize("loses_alpha", [False, True])
def test_where_webm_loses_its_alpha_the_stacked_copy_plays(
    visitor, alice: User, tmp_path, settings, live_server, loses_alpha
):
    settings.SITE_URL = live_server.url
    job = finished(alice, tmp_path)
    person = visitor()
    person.does(sign_in, alice.email)

    person.does(
        open_result, reverse("web:job", args=[job.pk]), film(tmp_path, "webm", opaque=True) if loses_alpha else None
    )

    assert person.does(see_which, "spare" if loses_alpha else "result") == int(loses_alpha)


def scroll_by_finger(page: Page) -> tuple[str, str]:
    """What the comparison shows after a scroll that began on the picture, and after a tap at the same place."""
    slider = page.get_by_label("How much of the original to show")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    before = page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page).send
    touch("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for moved in range(10, 130, 10):
        touch("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - moved}]})
    touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("scrollY") > before + 50
    scrolled = slider.input_value()
    page.touchscreen.tap(x, y - 120)
    return scrolled, slider.input_value()


def test_a_finger_that_scrolls_leaves_the_comparison_as_it_was(visitor, alice: User, tmp_path, settings, live_server):
    settings.SITE_URL = live_server.url
    job = finished(alice, tmp_path)
    person = visitor(has_touch=True, is_mobile=True, viewport={"width": 375, "height": 667})
    person.does(sign_in, alice.email)
    person.does(open_result, reverse("web:job", args=[job.pk]), None)
    person.does(see_which, "result")

    scrolled, tapped = person.does(scroll_by_finger)

    assert scrolled == "50"
    assert float(tapped) == pytest.approx(25, abs=6)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_keeps_to_the_policy_and_shuts_nobody_out(visitor, alice: User, all_installed, scheme, width):
    statuses = ("queued", "processing", "failed", "canceled", "completed")
    project = make_project(alice)
    jobs = [make_job(alice, status=status, project=project) for status in statuses]
    film = f"/projects/{project.pk}"
    key, _ = issue_key(alice, name="laptop")
    person = visitor(viewport={"width": width, "height": 800}, color_scheme=scheme)
    public = ["/", "/pricing", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
    private = [
        "/new", "/jobs", "/projects", film, f"{film}/settings", f"{film}/delete", "/credits", "/keys",
        f"/keys/{key.pk}", "/usage", "/webhooks", "/webhooks/deliveries", "/notices", "/account", "/account/delete",
        "/accounts/sessions/", "/accounts/email/", *(f"/jobs/{job.pk}" for job in jobs),
    ]  # fmt: skip

    found = [person.does(faults, path) for path in public]
    person.does(sign_in, alice.email)
    found += [person.does(faults, path) for path in private]

    assert [fault for faults_of_one in found for fault in faults_of_one] == []
