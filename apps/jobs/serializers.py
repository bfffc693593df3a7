"""The shapes of requests and answers about jobs, for the API's description of itself.

What a request means is decided in options.py, and what a job answers in
representation.py; tests hold these shapes to both.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.engine.composition import ANCHORS, MAX_OFFSET, MAX_SCALE, MAX_SIDE, MIN_SCALE, MIN_SIDE
from apps.engine.edge import MAX_CHOKE, MAX_FEATHER
from apps.engine.formats import FORMATS
from apps.engine.options import (
    BASIC_COLORS,
    COLOR_ALIASES,
    FITS,
    MAX_PREVIEW,
    MAX_SECONDS,
    MIN_PREVIEW,
    MODELS,
    ON_LIMIT,
)
from apps.jobs.models import Job, JobEvent
from apps.jobs.options import MAX_METADATA_KEYS, MAX_TEXT_LENGTH, MAX_URL_LENGTH

BACKGROUND_TYPES = ("transparent", "color", "image", *COLOR_ALIASES, "custom")

NUMBERS = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number", "minimum": 0, "maximum": 255}}
NAMES = "|".join(sorted(BASIC_COLORS))


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": rf"^(?:#[0-9A-Fa-f]{{6}}|{NAMES})$", "example": "#09a246"},
            NUMBERS,
        ]
    }
)
class ColorField(serializers.JSONField):
    """`"#RRGGBB"`, a CSS basic name, or three numbers: all of them at most 1 are 0..1, otherwise integers 0..255."""


class Asked(serializers.Serializer[Any]):
    """Fields that may be left out; null is another way to do that."""

    needed: ClassVar[tuple[str, ...]] = ()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name, field in fields.items():
            if name in self.needed:
                field.required = True
            else:
                field.required, field.allow_null = False, True
        return fields


class Trim(Asked):
    """Seconds from the first frame."""

    start = serializers.FloatField(min_value=0, max_value=MAX_SECONDS, default=0)
    end = serializers.FloatField(min_value=0, max_value=MAX_SECONDS, help_text="Without it, the video's end.")


class Canvas(Asked):
    """The result's size in pixels."""

    needed = ("width", "height")

    width = serializers.IntegerField(min_value=MIN_SIDE, max_value=MAX_SIDE)
    height = serializers.IntegerField(min_value=MIN_SIDE, max_value=MAX_SIDE)


class Offset(Asked):
    """Moves the frame on the canvas."""

    x = serializers.IntegerField(
        min_value=-MAX_OFFSET, max_value=MAX_OFFSET, default=0, help_text="Pixels of the canvas, to the right."
    )
    y = serializers.IntegerField(
        min_value=-MAX_OFFSET, max_value=MAX_OFFSET, default=0, help_text="Pixels of the canvas, down."
    )


class Foreground(Asked):
    """Where the frame lies on the canvas, and how large."""

    anchor = serializers.ChoiceField(choices=tuple(ANCHORS), default="center")
    scale = serializers.FloatField(
        min_value=MIN_SCALE, max_value=MAX_SCALE, default=1, help_text="At 1 the whole frame just fits on the canvas."
    )
    offset = Offset()


class CompositionFields(Asked):
    """Where the cutout lies in the result."""

    canvas = Canvas(help_text="The result's size; without it the video's own.")
    foreground = Foreground(help_text="Where the frame lies on the canvas.")


class EdgeFields(Asked):
    """What is done to the matte's edge; the defaults are good."""

    feather_px = serializers.FloatField(
        min_value=0, max_value=MAX_FEATHER, default=0, help_text="Softens the edge, inwards only. Pixels of the video."
    )
    choke_px = serializers.FloatField(
        min_value=-MAX_CHOKE, max_value=MAX_CHOKE, default=0, help_text="Shrinks the matte; negative grows it."
    )
    despill = serializers.FloatField(
        min_value=0, max_value=1, default=1, help_text="How much of a green or blue wall's light is taken off."
    )


class BackgroundFields(Asked):
    """What the cutout is laid over."""

    type = serializers.ChoiceField(choices=BACKGROUND_TYPES, default="transparent")
    color = ColorField()
    image_url = serializers.URLField(max_length=MAX_URL_LENGTH)
    image_id = serializers.UUIDField()
    fit = serializers.ChoiceField(choices=FITS)


class StartFields(Asked):
    """Fields of a draft to override; all of them may be left out, and null means left out."""

    video_url = serializers.URLField(
        max_length=MAX_URL_LENGTH, help_text="http(s), or the URL that an upload returned. It or video_id is required."
    )
    video_id = serializers.UUIDField(help_text="Instead of video_url: the id that an upload returned.")
    model = serializers.ChoiceField(choices=MODELS, default=MODELS[0])
    bg_type = serializers.ChoiceField(choices=BACKGROUND_TYPES, default="transparent")
    bg_color = ColorField(
        help_text='"#RRGGBB", a CSS basic name, or three numbers: all of them at most 1 are 0..1, otherwise integers '
        "0..255. Required for bg_type color and custom."
    )
    bg_image_url = serializers.URLField(max_length=MAX_URL_LENGTH, help_text="Or bg_image_id, for bg_type image.")
    bg_image_id = serializers.UUIDField(help_text="An upload with purpose=background.")
    fit = serializers.ChoiceField(choices=FITS, help_text="Of a background image; cover if left out.")
    background = BackgroundFields(help_text="Another spelling of the bg_ fields; both given must say the same.")
    output_format = serializers.ChoiceField(
        choices=tuple(FORMATS), default="webm", help_text="mp4 cannot be transparent."
    )
    project = serializers.CharField(
        max_length=MAX_TEXT_LENGTH, help_text="A project's id, or your own external_id for one, made on first use."
    )
    metadata = serializers.DictField(
        child=serializers.JSONField(), help_text=f"Yours; up to {MAX_METADATA_KEYS} keys and 16 KiB."
    )
    webhook_url = serializers.URLField(max_length=MAX_URL_LENGTH, help_text="Told when the job starts and ends.")
    auto_start = serializers.BooleanField(default=True, help_text="false makes a draft.")
    preview_duration = serializers.FloatField(
        min_value=MIN_PREVIEW,
        max_value=MAX_PREVIEW,
        help_text="Only the first seconds, at most 640 px, for nothing; so many a day.",
    )
    trim = Trim(help_text="Seconds to keep; only they are billed.")
    composition = CompositionFields()
    edge = EdgeFields()
    on_limit = serializers.ChoiceField(
        choices=ON_LIMIT,
        default=ON_LIMIT[0],
        help_text="What is too much for gif or webp: a 422, or made less and told.",
    )
    keep_audio = serializers.BooleanField(default=True)
    text_prompt = serializers.CharField(
        help_text="Not offered by the models of this version: 422 unsupported_parameter."
    )


class JobFields(StartFields):
    """One of `video_url` and `video_id` is required; null means left out."""


class OutputJson(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="result, matte or preview")
    format = serializers.CharField()
    url = serializers.URLField(allow_null=True, help_text="Signed, good for an hour; null once deleted.")
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    frames = serializers.IntegerField()
    duration = serializers.FloatField()
    alpha_mode = serializers.CharField(help_text="straight, binary or none")
    has_audio = serializers.BooleanField()


class JobCredits(serializers.Serializer[Any]):
    estimated = serializers.FloatField()
    held = serializers.FloatField()
    charged = serializers.FloatField()


class Warning(serializers.Serializer[Any]):  # noqa: A001
    code = serializers.CharField()
    message = serializers.CharField()


class JobProject(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)


class JobInput(serializers.Serializer[Any]):
    """What was found in the source."""

    container = serializers.CharField()
    video_codec = serializers.CharField()
    pixel_format = serializers.CharField()
    width = serializers.IntegerField(help_text="As it is shown: upright, with square pixels.")
    height = serializers.IntegerField()
    fps = serializers.FloatField()
    frames = serializers.IntegerField()
    duration = serializers.FloatField(help_text="Seconds, by its packets.")
    rotation = serializers.IntegerField(help_text="Degrees that are undone.")
    has_audio = serializers.BooleanField()
    audio_codec = serializers.CharField(allow_null=True)
    audio_channels = serializers.IntegerField(allow_null=True)
    audio_rate = serializers.IntegerField(allow_null=True)
    has_alpha = serializers.BooleanField()
    is_hdr = serializers.BooleanField()
    is_interlaced = serializers.BooleanField()
    is_variable_rate = serializers.BooleanField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class JobBackground(serializers.Serializer[Any]):
    type = serializers.CharField()
    color = serializers.CharField(allow_null=True)
    image_url = serializers.URLField(allow_null=True)
    image_id = serializers.UUIDField(allow_null=True)
    fit = serializers.CharField(allow_null=True)


class JobJson(serializers.Serializer[Any]):
    """A job. A final status (`completed`, `failed`, `canceled`) never changes."""

    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Job.Status.values)
    progress = serializers.FloatField(help_text="0–100")
    stage = serializers.ChoiceField(choices=Job.Stage.values, allow_null=True)
    queue_position = serializers.IntegerField(allow_null=True)
    eta_seconds = serializers.FloatField(allow_null=True)
    frames_done = serializers.IntegerField()
    frames_total = serializers.IntegerField()
    model = serializers.CharField()
    model_version = serializers.CharField(allow_null=True, help_text="The networks used, with their weights' hashes.")
    device = serializers.CharField(allow_null=True)
    output_format = serializers.CharField()
    bg_type = serializers.CharField()
    background = JobBackground()
    preview_duration = serializers.FloatField(allow_null=True, help_text="Seconds, of a preview; else null.")
    video_url = serializers.CharField(allow_null=True, help_text="As given.")
    input = JobInput(allow_null=True, help_text="null until the source has been fetched and looked at.")
    output_url = serializers.URLField(allow_null=True)
    outputs = OutputJson(many=True)
    error = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    credits = JobCredits()
    warnings = Warning(many=True)
    project = JobProject(allow_null=True)
    metadata = serializers.DictField(child=serializers.JSONField())
    webhook_url = serializers.URLField(allow_null=True)
    webhook_events = serializers.DictField(child=serializers.CharField())
    pricing_version = serializers.IntegerField(allow_null=True)
    retried_from = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


class JobAnswer(JobJson):
    success = serializers.BooleanField()
    message = serializers.CharField()


class OutputBytes(serializers.Serializer[Any]):
    """Of the result; most lie between, a clip that is very noisy or hardly moves may lie outside."""

    low = serializers.IntegerField()
    high = serializers.IntegerField()


class Estimate(serializers.Serializer[Any]):
    credits = serializers.FloatField()
    billed_seconds = serializers.FloatField()
    eta_seconds = serializers.FloatField(allow_null=True, help_text="null until this site has finished such a job.")
    output_bytes = OutputBytes()
    balance_after = serializers.FloatField(
        help_text="What you could spend then, with a capped key by its cap too; below zero: the job is not covered."
    )


class QualityFlag(serializers.Serializer[Any]):
    """A moment to look at, in seconds of the result."""

    start = serializers.FloatField()
    end = serializers.FloatField()
    kind = serializers.CharField(
        help_text="edge_flicker, edge_lag, hole, part_lost, part_gained, opacity_pulse or brightness_pulse; may grow."
    )
    words = serializers.CharField()
    severity = serializers.CharField(help_text="slight, clear or strong")


class QualityMeasure(serializers.Serializer[Any]):
    score = serializers.IntegerField(allow_null=True, help_text="0–100; null when there was no subject to follow.")
    verdict = serializers.CharField(help_text="good, fair, poor or unknown")
    words = serializers.CharField()
    flags = QualityFlag(many=True, help_text="The worst, in order of time.")
    more_flags = serializers.IntegerField(help_text="How many are left out.")


class QualityPoint(serializers.Serializer[Any]):
    """The worst of a stretch of the clip that begins at `t`, 0–100 for each measure."""

    t = serializers.FloatField()
    edge = serializers.IntegerField()
    integrity = serializers.IntegerField()
    consistency = serializers.IntegerField()


class QualityJson(serializers.Serializer[Any]):
    """How steady a matte is over time, judged by the video itself."""

    version = serializers.IntegerField()
    duration = serializers.FloatField()
    edge_stability = QualityMeasure()
    foreground_integrity = QualityMeasure()
    temporal_consistency = QualityMeasure()
    timeline = QualityPoint(many=True, help_text="At most 240 points; none where nothing was judged.")


class EventJson(serializers.ModelSerializer[JobEvent]):
    class Meta:
        model = JobEvent
        fields = ("name", "attempt", "detail", "created_at")
