"""What a browser shows of a written file over a loud page: the subject where it is, the page where it is not."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from django.conf import settings
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from apps.engine.compose import binary, over
from apps.engine.encode import WRITERS, Cutout, Spec
from apps.engine.formats import FORMATS
from tests.clips import SUBJECT, matte

ARGUMENTS = (
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--force-color-profile=srgb",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
SITE = "http://film.test"
SIZE = (96, 64)
LOUD = (255, 120, 0)
TIMES = [Fraction(0), Fraction(1, 5), Fraction(2, 5)]
END = Fraction(100)
"""The last frame stays, so that a picture that moves by itself can be waited for."""
PLAYER = Path(settings.BASE_DIR) / "static" / "js" / "stacked-player.js"

SHOW_THE_LAST = """async () => {
    const video = document.querySelector("video");
    if (!video) { await new Promise((done) => setTimeout(done, 1500)); return; }
    if (video.readyState < 2) await new Promise((done) => video.addEventListener("loadeddata", done, { once: true }));
    const sought = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    // On a busy machine a film has sought before its picture is on the page.
    const presented = new Promise((done) => {
        const look = (now, frame) => frame.mediaTime > 0.3 ? done() : video.requestVideoFrameCallback(look);
        video.requestVideoFrameCallback(look);
    });
    video.currentTime = 0.5;
    await Promise.all([sought, presented]);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def alphas() -> list[np.ndarray]:
    """The disc goes from left to right, then is half as solid."""
    left, right = (matte(index, width=SIZE[0], height=SIZE[1]) for index in (0, 19))
    return [left, np.full_like(left, 255), (right // 2).astype(np.uint8)]


def written(name: str, folder: Path) -> tuple[bytes, np.ndarray]:
    """A file, and the alpha of its last frame."""
    row = FORMATS[name]
    path = folder / f"film{row.suffix}"
    opaque = not row.alpha
    writer = WRITERS[name](path, Spec(*SIZE, Fraction(5), Fraction(1, 1000), opaque=opaque, threads=1))
    for index, (time, alpha) in enumerate(zip(TIMES, alphas(), strict=True)):
        alpha = binary(alpha) if name == "gif" else alpha
        rgb = np.full((*alpha.shape, 3), SUBJECT, np.uint8)
        rgb = over(rgb, alpha, np.full_like(rgb, LOUD)) if opaque else rgb
        end = TIMES[index + 1] if index + 1 < len(TIMES) else END
        writer.write(Cutout(index, time, end, rgb, np.full_like(alpha, 255) if opaque else alpha))
    writer.close()
    return path.read_bytes(), alpha


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield program
        program.close()


@pytest.fixture
def shown(browser: Browser) -> Iterator[Callable[..., np.ndarray]]:
    """The pixels of a page that shows one of our files in its upper left corner."""
    context = browser.new_context(viewport={"width": 200, "height": 150})
    complaints: list[str] = []

    def show(element: str, film: bytes, content_type: str) -> np.ndarray:
        page: Page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        colour = "rgb({}, {}, {})".format(*LOUD)
        style = f"body {{ margin: 0; background: {colour} }} video, img, stacked-player {{ display: block }}"
        html = f"<!doctype html><style>{style}</style><script type=module src=/player.js></script>{element}"
        there = {
            "/": (html.encode(), "text/html"),
            "/film": (film, content_type),
            "/player.js": (PLAYER.read_bytes(), "text/javascript"),
        }

        def answer(route: Route) -> None:
            body, kind = there.get(route.request.url.removeprefix(SITE), (b"", "text/plain"))
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", route.request.headers.get("range", ""))
            if not asked:
                route.fulfill(body=body, content_type=kind)
                return
            # Without ranges a browser cannot go to a moment.
            start, end = int(asked[1]), int(asked[2] or len(body) - 1)
            told = {"content-range": f"bytes {start}-{end}/{len(body)}", "accept-ranges": "bytes"}
            route.fulfill(status=206, body=body[start : end + 1], content_type=kind, headers=told)

        page.route(f"{SITE}/**", answer)
        page.goto(f"{SITE}/")
        page.evaluate(SHOW_THE_LAST)
        return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))

    yield show
    context.close()
    assert complaints == []


def check(pixels: np.ndarray, alpha: np.ndarray, *, worst: int) -> None:
    """Away from the disc's rim the page or the mixture is seen, and nothing of the frames before."""
    expected = over(np.full((*alpha.shape, 3), SUBJECT, np.uint8), alpha, np.full((*alpha.shape, 3), LOUD, np.uint8))
    error = np.abs(pixels[: SIZE[1], : SIZE[0]].astype(int) - expected)
    rim = cv2.dilate(alpha, np.ones((7, 7), np.uint8)) != cv2.erode(alpha, np.ones((7, 7), np.uint8))
    assert int(error[~rim].max()) <= worst
    assert float(error.mean()) < 3
    assert set(np.unique(pixels[SIZE[1] + 20 :, :, 0])) == {LOUD[0]}


@pytest.mark.parametrize(("name", "worst"), [("webm", 8), ("mp4", 12)])
def test_a_browser_plays_it_over_the_page(shown, tmp_path, name, worst):
    film, alpha = written(name, tmp_path)

    pixels = shown("<video src=/film muted preload=auto></video>", film, FORMATS[name].content_type)

    check(pixels, alpha, worst=worst)


@pytest.mark.parametrize(("name", "worst"), [("webp", 8), ("gif", 8)])
def test_a_moving_picture_leaves_no_ghost_on_the_page(shown, tmp_path, name, worst):
    film, alpha = written(name, tmp_path)

    pixels = shown("<img src=/film>", film, FORMATS[name].content_type)

    check(pixels, alpha, worst=worst)


def test_the_stacked_player_shows_it_over_the_page(shown, tmp_path):
    film, alpha = written("stacked_mp4", tmp_path)
    element = "<stacked-player><video src=/film muted preload=auto></video></stacked-player>"

    pixels = shown(element, film, "video/mp4")

    check(pixels, alpha, worst=12)


def test_a_matte_alone_is_grey_in_a_browser(shown, tmp_path):
    film, alpha = written("matte_mp4", tmp_path)

    pixels = shown("<video src=/film muted preload=auto></video>", film, "video/mp4")

    error = np.abs(pixels[: SIZE[1], : SIZE[0]].astype(int) - alpha[..., None])
    assert error.max() < 40
    assert error.mean() < 1.5
