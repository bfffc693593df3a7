from __future__ import annotations

from typing import Any

import pytest

from apps.engine.composition import Composition
from apps.engine.edge import Edge
from apps.engine.options import Background, Options
from apps.errors import AppError
from apps.jobs.options import as_fields, merge, parse_request

VIDEO = {"video_url": "https://example.org/clip.mp4"}


def refused(fields: dict[str, Any]) -> tuple[str, str | None, int]:
    with pytest.raises(AppError) as caught:
        parse_request(fields)
    return caught.value.code, caught.value.param, caught.value.status


def test_only_a_video_url_gets_the_contracts_defaults() -> None:
    request = parse_request(VIDEO)

    assert request.options == Options("original", "webm", Background("transparent"), None, True)
    assert (request.video_url, request.video_id, request.project, request.webhook_url) == (
        VIDEO["video_url"],
        None,
        None,
        "",
    )
    assert request.auto_start
    assert request.requested == VIDEO


def test_every_field_is_read() -> None:
    fields = {
        "video_id": "6a7e9a4e-8f4b-4f4f-9d39-0d1f1f0f0f0f",
        "model": "human",
        "output_format": "mp4",
        "bg_type": "image",
        "bg_image_url": "https://example.org/b.png",
        "fit": "contain",
        "project": "shop-7",
        "metadata": {"order": 7},
        "webhook_url": "https://example.org/hook",
        "auto_start": False,
        "trim": {"start": 1, "end": 3.5},
        "composition": {"canvas": {"width": 640, "height": 480}, "foreground": {"anchor": "top-left", "scale": 2}},
        "edge": {"feather_px": 1.5, "despill": 0},
        "on_limit": "reduce",
        "keep_audio": False,
    }

    request = parse_request(fields)

    assert request.options == Options(
        "human", "mp4", Background("image", None, "contain"), (1.0, 3.5), False,
        Composition((640, 480), "top-left", 2.0), Edge(1.5, 0.0, 0.0), "reduce",
    )  # fmt: skip
    assert request.video_id == fields["video_id"]
    assert request.background_url == "https://example.org/b.png"
    assert request.project == "shop-7"
    assert request.metadata == {"order": 7}
    assert request.webhook_url == "https://example.org/hook"
    assert not request.auto_start


@pytest.mark.parametrize(
    ("fields", "background"),
    [
        ({"bg_type": "green"}, Background("color", (9, 162, 70))),
        ({"bg_type": "green", "bg_color": [9, 162, 70]}, Background("color", (9, 162, 70))),
        ({"bg_type": "custom", "bg_color": [0.5, 0, 1]}, Background("color", (128, 0, 255))),
        ({"bg_type": "color", "bg_color": "teal"}, Background("color", (0, 128, 128))),
        ({"background": {"type": "color", "color": "#102030"}}, Background("color", (16, 32, 48))),
        (
            {"background": {"type": "white"}, "bg_type": "color", "bg_color": "white"},
            Background("color", (255, 255, 255)),
        ),
        ({"background": {"type": "transparent"}, "bg_type": "transparent"}, Background()),
        ({"bg_type": None, "bg_color": None}, Background()),
    ],
)
def test_both_spellings_and_all_aliases_are_read(fields: dict[str, Any], background: Background) -> None:
    assert parse_request({**VIDEO, **fields}).options.background == background


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"modell": "pro"}, "invalid_request", "modell"),
        ({"model": "chroma"}, "invalid_request", "model"),
        ({"model": ["pro"]}, "invalid_request", "model"),
        ({"output_format": "mp4"}, "invalid_request", "output_format"),
        ({"output_format": "avi"}, "invalid_request", "output_format"),
        ({"bg_type": "colour"}, "invalid_request", "bg_type"),
        ({"bg_type": 3}, "invalid_request", "bg_type"),
        ({"bg_type": "color"}, "invalid_request", "bg_color"),
        ({"bg_color": "red"}, "invalid_request", "bg_color"),
        ({"bg_type": "color", "bg_color": "#+12345"}, "invalid_request", "bg_color"),
        ({"bg_type": "color", "bg_color": "#1_2345"}, "invalid_request", "bg_color"),
        ({"bg_type": "green", "bg_color": "red"}, "invalid_request", "bg_color"),
        ({"bg_type": "image"}, "invalid_request", "bg_image_url"),
        ({"bg_image_url": "https://example.org/b.png"}, "invalid_request", "bg_image_url"),
        ({"bg_type": "image", "bg_image_url": "file:///etc/passwd"}, "invalid_request", "bg_image_url"),
        ({"background": {"type": "white"}, "bg_type": "black"}, "invalid_request", "background"),
        ({"background": {"type": "white", "colour": 1}}, "invalid_request", "background.colour"),
        ({"background": {"type": "color"}}, "invalid_request", "background.color"),
        ({"background": "white"}, "invalid_request", "background"),
        ({"fit": "cover"}, "invalid_request", "fit"),
        ({"trim": {"start": 3, "end": 2}}, "invalid_request", "trim.end"),
        ({"trim": {"start": 10**400}}, "invalid_request", "trim.start"),
        ({"trim": {"from": 1}}, "invalid_request", "trim.from"),
        ({"trim": {"start": "1"}}, "invalid_request", "trim.start"),
        ({"trim": [1, 2]}, "invalid_request", "trim"),
        ({"keep_audio": "yes"}, "invalid_request", "keep_audio"),
        ({"auto_start": 1}, "invalid_request", "auto_start"),
        ({"video_id": "x"}, "invalid_request", "video_id"),
        ({"project": 7}, "invalid_request", "project"),
        ({"project": "a\x00b"}, "invalid_request", "project"),
        ({"webhook_url": "ftp://example.org"}, "invalid_request", "webhook_url"),
        ({"webhook_url": "https://"}, "invalid_request", "webhook_url"),
        ({"webhook_url": "https://[::1"}, "invalid_request", "webhook_url"),
        ({"webhook_url": "https://me:pw@example.org/"}, "invalid_request", "webhook_url"),
        ({"metadata": []}, "invalid_request", "metadata"),
        ({"metadata": {str(n): n for n in range(51)}}, "invalid_request", "metadata"),
        ({"metadata": {"a": "x" * 16 * 1024}}, "invalid_request", "metadata"),
        ({"metadata": {"a": "\x00"}}, "invalid_request", "metadata"),
        ({"metadata": {"a": "\ud800"}}, "invalid_request", "metadata"),
        ({"bg_type": "color", "bg_color": [10**400, 0, 0]}, "invalid_request", "bg_color"),
        ({"background": {"type": "color", "color": [-(10**400), 0, 0]}}, "invalid_request", "background.color"),
        ({"bg_type": "color", "bg_color": [float("nan"), 0, 0]}, "invalid_request", "bg_color"),
        ({"composition": []}, "invalid_request", "composition"),
        ({"composition": {"scale": 2}}, "invalid_request", "composition.scale"),
        ({"composition": {"canvas": {"width": 9, "height": 90}}}, "invalid_request", "composition.canvas.width"),
        ({"composition": {"foreground": {"anchor": "mid"}}}, "invalid_request", "composition.foreground.anchor"),
        ({"composition": {"foreground": {"offset": {"x": "1"}}}}, "invalid_request", "composition.foreground.offset.x"),
        ({"edge": {"feather_px": float("nan")}}, "invalid_request", "edge.feather_px"),
        ({"edge": {"choke_px": True}}, "invalid_request", "edge.choke_px"),
        ({"edge": {"blur": 1}}, "invalid_request", "edge.blur"),
        ({"on_limit": "maybe"}, "invalid_request", "on_limit"),
        ({"on_limit": ["reduce"]}, "invalid_request", "on_limit"),
        ({"background": {"type": "image", "image_id": "7", "fit": "fill"}}, "invalid_request", "background.fit"),
        ({"background": {"type": "white", "fit": "cover"}}, "invalid_request", "background.fit"),
        ({"background": {"type": "image", "image_url": "file:///a.png"}}, "invalid_request", "background.image_url"),
        ({"background": {"type": "image", "image_id": 7}}, "invalid_request", "background.image_id"),
        ({"bg_type": "image", "bg_image_id": "7", "fit": "fill"}, "invalid_request", "fit"),
        ({"bg_type": "image", "bg_image_id": "7", "fit": 3}, "invalid_request", "fit"),
        (
            {"bg_type": "image", "bg_image_id": "7", "bg_image_url": "https://example.org/b.png"},
            "invalid_request",
            "bg_image_url",
        ),
        (
            {
                "bg_type": "image",
                "bg_image_id": "7",
                "fit": "cover",
                "background": {"type": "image", "image_id": "7", "fit": "contain"},
            },
            "invalid_request",
            "background",
        ),
        ({"text_prompt": "the dog"}, "unsupported_parameter", "text_prompt"),
        ({"model": ""}, "invalid_request", "model"),
        ({"project": ""}, "invalid_request", "project"),
        ({"webhook_url": ""}, "invalid_request", "webhook_url"),
        ({"preview_duration": 0.4}, "invalid_request", "preview_duration"),
        ({"preview_duration": 10.5}, "invalid_request", "preview_duration"),
        ({"preview_duration": "2"}, "invalid_request", "preview_duration"),
        ({"preview_duration": True}, "invalid_request", "preview_duration"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    assert refused({**VIDEO, **fields}) == (code, param, 422)


def test_transparent_mp4_is_refused_with_what_could_hold_it() -> None:
    with pytest.raises(AppError) as caught:
        parse_request({**VIDEO, "output_format": "mp4", "bg_type": "transparent"})

    assert [name in caught.value.message for name in ("webm", "mov", "stacked_mp4")] == [True] * 3


def test_a_request_without_a_video_names_video_url() -> None:
    assert refused({"model": "pro"}) == ("invalid_request", "video_url", 422)


@pytest.mark.parametrize("url", ["clip.mp4", "file:///etc/passwd", "https://", "https://exa mple.org/", "x" * 2001, 7])
def test_a_video_url_must_be_a_web_address(url: Any) -> None:
    assert refused({"video_url": url}) == ("invalid_request", "video_url", 422)


def test_fifty_keys_and_sixteen_kibibytes_of_metadata_fit() -> None:
    metadata = {f"{n:02}": "ä" * 100 for n in range(50)}

    assert parse_request({**VIDEO, "metadata": metadata}).metadata == metadata


def test_an_override_replaces_a_background_in_whichever_spelling() -> None:
    draft = {**VIDEO, "background": {"type": "white"}, "model": "pro"}

    assert merge(draft, {"bg_type": "black"}) == {**VIDEO, "model": "pro", "bg_type": "black"}
    assert merge(draft, {"video_id": "7"}) == {"background": {"type": "white"}, "model": "pro", "video_id": "7"}


def test_an_override_may_not_invent_fields() -> None:
    with pytest.raises(AppError, match="Unknown field modell"):
        merge(VIDEO, {"modell": "pro"})


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options("pro", "mp4", Background("color", (1, 2, 3)), (1.0, None), False),
        Options("human", "mov", Background("image", None, "stretch"), (0.0, 2.5), True),
        Options(composition=Composition(None, "top-center", 0.5, (3, -4)), edge=Edge(2.0, -1.5, 0.25)),
        Options(format="gif", composition=Composition((300, 200)), on_limit="reduce"),
    ],
)
def test_options_survive_the_way_through_the_contracts_words(options: Options) -> None:
    assert parse_request(as_fields(options, background_id="7"), needs_video=False).options == options


def test_options_frozen_by_an_earlier_version_are_read() -> None:
    """Its jobs were asked for neither composition nor edge nor limits."""
    kept = Options("pro", "mov").as_dict()
    for name in ("composition", "edge", "on_limit"):
        del kept[name]

    assert Options.from_dict(kept) == Options("pro", "mov")


def test_both_spellings_may_say_the_same_picture_with_the_same_fit() -> None:
    fields = {
        "bg_type": "image", "bg_image_id": "7", "fit": "contain",
        "background": {"type": "image", "image_id": "7", "fit": "contain"},
    }  # fmt: skip

    assert parse_request({**VIDEO, **fields}).options.background == Background("image", None, "contain")


def test_an_override_replaces_a_composition_whole() -> None:
    draft = {**VIDEO, "composition": {"canvas": {"width": 640, "height": 480}}}

    merged = merge(draft, {"composition": {"foreground": {"scale": 2}}})

    assert parse_request(merged).options.composition == Composition(scale=2.0)
