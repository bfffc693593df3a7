"""A job's request in the contract's own words, read once for the API and the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apps import egress
from apps.engine.composition import parse_composition
from apps.engine.edge import parse_edge
from apps.engine.errors import EngineError
from apps.engine.options import MODELS, ON_LIMIT, Background, Options, parse_background, parse_preview, parse_trim
from apps.errors import AppError
from apps.webhooks import services as webhooks

NOT_YET = ("text_prompt",)
"""Fields of the contract that this version cannot honour: refused by name, never ignored."""

BACKGROUND_FIELDS = {"bg_type": "type", "bg_color": "color", "bg_image_url": "image_url", "bg_image_id": "image_id"}
"""First spelling of a background → second; `fit` stands beside the first and inside the second."""

FIELDS = (
    "video_url", "video_id", "model", *BACKGROUND_FIELDS, "fit", "background", "output_format", "project",
    "metadata", "webhook_url", "auto_start", "preview_duration", "trim", "composition", "edge", "on_limit",
    "keep_audio", *NOT_YET,
)  # fmt: skip

MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 16 * 1024
MAX_URL_LENGTH = 2000
MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One sound request: what to do, with what, for which project. Nothing is looked up yet."""

    options: Options
    video_url: str | None = None
    video_id: str | None = None
    background_url: str | None = None
    background_id: str | None = None
    project: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    webhook_url: str = ""
    auto_start: bool = True
    requested: dict[str, Any] = field(default_factory=dict)
    """The fields as the caller wrote them, without those left empty."""

    def for_preview(self, seconds: float) -> Options:
        """The same of the first seconds only."""
        return replace(self.options, preview_duration=seconds)


def parse_request(fields: Mapping[str, Any], *, needs_video: bool = True) -> JobRequest:
    """Read the contract's fields; AppError names the field at fault and the fix.

    A field that is null counts as left out. Without `needs_video` a
    request may leave the video out: an estimate, or the start of a draft.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise refusal(f"Unknown field {unknown[0]}. Known fields: {', '.join(FIELDS)}.", unknown[0])
    _refuse_what_is_not_there_yet(given)
    try:
        background, image_url, image_id = _background(given)
        options = _engine_options(given, background)
    except EngineError as error:
        raise AppError.from_engine(error) from error
    if needs_video and not {"video_url", "video_id"} & set(given):
        raise refusal("video_url is required: an http(s) URL, or the URL that an upload returned.", "video_url")
    if {"video_url", "video_id"} <= set(given):
        raise refusal("Give video_url or video_id, not both.", "video_id")
    return JobRequest(
        options=options,
        video_url=_url(given, "video_url"),
        video_id=_text(given, "video_id"),
        background_url=image_url,
        background_id=image_id,
        project=_text(given, "project"),
        metadata=_metadata(given.get("metadata", {})),
        webhook_url=_receiver(given),
        auto_start=_flag(given, "auto_start", default=True),
        requested=given,
    )


def _engine_options(given: Mapping[str, Any], background: Background) -> Options:
    return Options(
        model=_one_of(given, "model", MODELS),
        format=str(given.get("output_format", "webm")),
        background=background,
        trim=parse_trim(given.get("trim")),
        keep_audio=_flag(given, "keep_audio", default=True),
        composition=parse_composition(given.get("composition")),
        edge=parse_edge(given.get("edge")),
        on_limit=_one_of(given, "on_limit", ON_LIMIT),
        preview_duration=parse_preview(given.get("preview_duration")),
    )


def merge(requested: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A draft's fields with the starter's laid over them.

    A new background or video replaces the old one whole, whichever spelling
    either used, so that an override never contradicts what it overrides.
    """
    unknown = sorted(set(overrides) - set(FIELDS))
    if unknown:
        raise refusal(f"Unknown field {unknown[0]}. Known fields: {', '.join(FIELDS)}.", unknown[0])
    merged = dict(requested)
    for group in ({*BACKGROUND_FIELDS, "fit", "background"}, {"video_url", "video_id"}):
        if group & set(overrides):
            merged = {name: value for name, value in merged.items() if name not in group}
    return {**merged, **overrides}


def as_fields(options: Options, *, background_id: str | None = None) -> dict[str, Any]:
    """Options back in the contract's words, for a caller who brought them ready-made."""
    kept = options.as_dict()
    fields: dict[str, Any] = {"model": options.model, "output_format": options.format, "keep_audio": options.keep_audio}
    if options.is_opaque:
        fields["background"] = {name: value for name, value in kept["background"].items() if value is not None}
        if options.background.type == "color":
            del fields["background"]["fit"]
        elif background_id:
            fields["background"]["image_id"] = background_id
    if options.trim:
        start, end = options.trim
        fields["trim"] = {"start": start} if end is None else {"start": start, "end": end}
    plain = Options(format="webm").as_dict()
    shaped = ("composition", "edge", "on_limit", "preview_duration")
    fields |= {name: kept[name] for name in shaped if kept[name] != plain[name]}
    return fields


def source_fields(requested: Mapping[str, Any]) -> dict[str, str]:
    """A source's kind → the field by which the caller named it, for what is said of it."""
    nested = requested.get("background")
    if isinstance(nested, Mapping):
        background = f"background.{'image_id' if nested.get('image_id') else 'image_url'}"
    else:
        background = "bg_image_id" if requested.get("bg_image_id") else "bg_image_url"
    return {"video": "video_id" if requested.get("video_id") else "video_url", "background": background}


def refusal(message: str, param: str) -> AppError:
    return AppError("invalid_request", message, param=param)


def _refuse_what_is_not_there_yet(given: Mapping[str, Any]) -> None:
    for name in NOT_YET:
        if name in given:
            message = f"{name} is not available in this version: leave it out."
            raise AppError("unsupported_parameter", message, param=name)


def _background(given: Mapping[str, Any]) -> tuple[Background, str | None, str | None]:
    """Both spellings read; both given and different is a contradiction only the caller can solve."""
    flat = {name: given[name] for name in (*BACKGROUND_FIELDS, "fit") if name in given}
    nested = given.get("background")
    if nested is None:
        return _one_background(flat, prefix="bg_")
    if not isinstance(nested, Mapping):
        raise refusal("background must be an object: {type, color, image_url, image_id, fit}.", "background")
    known = {*BACKGROUND_FIELDS.values(), "fit"}
    unknown = sorted(set(nested) - known)
    if unknown:
        raise refusal(f"Unknown field background.{unknown[0]}.", f"background.{unknown[0]}")
    spelled = {f"bg_{name}" if name != "fit" else name: v for name, v in nested.items() if v is not None}
    second = _one_background(spelled, prefix="background.")
    if flat and _one_background(flat, prefix="bg_") != second:
        raise refusal("background and the bg_ fields say different things: give only one of them.", "background")
    return second


def _one_background(fields: Mapping[str, Any], *, prefix: str) -> tuple[Background, str | None, str | None]:
    type_ = fields.get("bg_type", "transparent")
    if not isinstance(type_, str):
        raise refusal(f"{prefix}type must be a word, for example transparent.", f"{prefix}type")
    background = parse_background(type_, fields.get("bg_color"), fields.get("fit"), prefix=prefix)
    image_url = _url(fields, "bg_image_url", param=f"{prefix}image_url")
    image_id = _text(fields, "bg_image_id", param=f"{prefix}image_id")
    if background.type != "color" and "bg_color" in fields:
        raise refusal(f"{prefix}color needs {prefix}type color.", f"{prefix}color")
    if background.type != "image":
        for name in ("bg_image_url", "bg_image_id", "fit"):
            if name in fields:
                param = name if prefix == "bg_" else f"{prefix}{name.removeprefix('bg_')}"
                raise refusal(f"{param} needs {prefix}type image.", param)
    elif bool(image_url) == bool(image_id):
        message = f"{prefix}type image needs one of {prefix}image_url and {prefix}image_id."
        raise refusal(message, f"{prefix}image_url")
    return background, image_url, image_id


def _one_of(given: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = given.get(name, known[0])
    if value not in known:
        raise refusal(f"{name} must be one of {', '.join(known)}.", name)
    return str(value)


def _flag(given: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise refusal(f"{name} must be true or false.", name)
    return value


def _text(
    given: Mapping[str, Any], name: str, *, longest: int = MAX_TEXT_LENGTH, param: str | None = None
) -> str | None:
    """`param` is the caller's own word for the field, where that is another."""
    value, param = given.get(name), param or name
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not is_storable(value):
        raise refusal(f"{param} must be a string of 1 to {longest} characters.", param)
    return value


def _url(given: Mapping[str, Any], name: str, *, param: str | None = None) -> str | None:
    param = param or name
    value = _text(given, name, longest=MAX_URL_LENGTH, param=param)
    if value is None:
        return None
    try:
        egress.check(value)
    except AppError as error:
        raise refusal(f"{param}: {error.message}", param) from None
    return value


def _receiver(given: Mapping[str, Any]) -> str:
    url = _url(given, "webhook_url") or ""
    if url:
        webhooks.check_url(url, param="webhook_url")
    return url


def is_storable(text: str) -> bool:
    """PostgreSQL takes neither NUL nor half of a surrogate pair; JSON may carry both."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise refusal("metadata must be an object.", "metadata")
    if len(value) > MAX_METADATA_KEYS:
        raise refusal(f"metadata holds {len(value)} keys; at most {MAX_METADATA_KEYS} fit.", "metadata")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        raise refusal("metadata must be plain JSON.", "metadata") from None
    if "\\u0000" in text or not is_storable(text):
        raise refusal("metadata must not contain NUL characters or unpaired surrogates.", "metadata")
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise refusal("metadata must be at most 16 KiB of JSON.", "metadata")
    return dict(value)
