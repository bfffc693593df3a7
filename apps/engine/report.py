"""What the engine tells: facts of an input, progress, and the closing report. Plain data, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file's packets and headers say, judged without decoding all of it.

    `width` and `height` are the display size: upright, square pixels.
    `duration` is the last video packet's end minus the earliest chosen
    stream's start, in seconds; `frames` counts video packets.
    """

    container: str
    video_codec: str
    pixel_format: str
    width: int
    height: int
    fps: float
    frames: int
    duration: float
    rotation: int
    has_audio: bool
    audio_codec: str | None
    audio_channels: int | None
    audio_rate: int | None
    has_alpha: bool
    is_hdr: bool
    is_interlaced: bool
    is_variable_rate: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Facts:
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know about a result that is delivered all the same."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file written and proved."""

    kind: str
    """`result`, `matte`, `preview` or `poster`, which is one frame."""
    format: str
    path: str
    bytes: int
    width: int
    height: int
    frames: int
    duration: float
    sha256: str
    alpha_mode: str
    """`straight`, `binary` (gif) or `none`."""
    has_audio: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Said about twice a second. `stage` is `processing` or `verifying`."""

    stage: str
    frames_done: int
    frames_total: int
    percent: float
    eta_seconds: float | None


@dataclass(slots=True)
class Result:
    """The closing report: the last line on stdout with `--json`."""

    status: str
    """`completed`, `failed` or `canceled`."""
    error: dict[str, Any] | None = None
    """`{code, message, param}`."""
    warnings: list[Notice] = field(default_factory=list)
    input: dict[str, Any] = field(default_factory=dict)
    outputs: list[OutputFile] = field(default_factory=list)
    frames: int = 0
    frames_inferred: int = 0
    decoded_seconds: float = 0.0
    """End of the last decoded frame that was kept, from the first: what is billed."""
    model: str = ""
    model_version: str = ""
    networks: list[dict[str, str]] = field(default_factory=list)
    """Each that ran: its precision, the sha256 of its file, and that of the weights the file was made from."""
    device: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    quality: dict[str, Any] | None = None
    """How steady the matte is over time; its shape is quality.py's."""
    not_contained: list[str] = field(default_factory=list)
    """Which of the walls around a child process this machine could not give."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """Read a report back; keys that this version does not know are left out."""
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        known["warnings"] = [Notice(**notice) for notice in data.get("warnings", ())]
        known["outputs"] = [OutputFile(**output) for output in data.get("outputs", ())]
        return cls(**known)


def in_short(quality: Mapping[str, Any]) -> str:
    """A quality report in one line: each measure's score, and how many moments are worth a look."""
    measures = {name: value for name, value in quality.items() if isinstance(value, Mapping)}
    scores = ", ".join(
        f"{name.replace('_', ' ')} {'–' if measure['score'] is None else measure['score']}"
        for name, measure in measures.items()
    )
    flags = sum(len(measure["flags"]) + measure["more_flags"] for measure in measures.values())
    return f"{scores}; {flags} to look at"
