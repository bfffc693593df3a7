"""The hardened door: the only place where a stranger's file is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from apps.engine.errors import InputRefused

# A log callback into Python from codec threads stalls them, and strangers' files have much to say.
av.logging.set_level(None)

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,gif"
"""The wall that holds: playlists and concat scripts are demuxers too, and get around all the others."""

MAX_PIXELS = 36_000_000
"""Per frame. A 3 MB picture of 16 000 × 16 000 costs a gigabyte and ten seconds a frame."""

OPEN_SECONDS = 20.0

PROBE_BYTES = 10_000_000

SNIFF_BYTES = 65_536

MAX_PIXEL_SHAPE = 8
"""Pixels more oblong than this are a lie in the header; they are taken as square."""

NOT_A_VIDEO = "This file is not a video that can be read. Use MP4, MOV, WebM, MKV, AVI, MPEG, FLV, OGV, WMV or GIF."

DAMAGED_INDEX = "This video is damaged: its index cannot be read. Send the whole file again."

PROTECTED = "This video is copy-protected (DRM) and cannot be read."

ISO_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid", b"prfl"}

PICTURE_BRANDS = {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"heim", b"heis"}


@dataclass(slots=True)
class Source:
    """An opened file with the streams we chose."""

    container: InputContainer
    video: VideoStream
    audio: AudioStream | None

    @property
    def has_alpha(self) -> bool:
        """VP8 and VP9 keep alpha beside the picture, so their pixel format does not tell."""
        pixel_format = self.video.format
        in_format = pixel_format is not None and any(part.is_alpha for part in pixel_format.components)
        return in_format or self.video.metadata.get("alpha_mode") == "1"

    @property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel over its height."""
        ratio = self.video.sample_aspect_ratio
        if not ratio or ratio <= 0:
            return Fraction(1)
        # An odd width in a codec that stores even ones shows up as 322/321.
        if abs(ratio - 1) < Fraction(1, 100) or not Fraction(1, MAX_PIXEL_SHAPE) <= ratio <= MAX_PIXEL_SHAPE:
            return Fraction(1)
        return Fraction(ratio)


@contextlib.contextmanager
def open_source(path: Path, *, keep_audio: bool = True) -> Iterator[Source]:
    """Open a file that nobody vouches for, or refuse it in words its owner understands."""
    kind = sniff(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        # Only the opening: an encoder's error inside the caller's block is not the file's fault.
        try:
            container = stack.enter_context(_open(file))
        except (av.FFmpegError, PermissionError) as error:
            raise _refusal(kind, path, error) from error
        if kind == "iso" and not len(container.streams):
            raise InputRefused(DAMAGED_INDEX)
        video = _choose_video(container)
        _harden(video)
        yield Source(container, video, _choose_audio(container) if keep_audio else None)


class Reader:
    """A file as FFmpeg may use it: nameless, read-only; a seek to nowhere fails without raising, as in C."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell = file.read, file.tell
        self._seek = file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _open(file: BinaryIO) -> InputContainer:
    return av.open(
        Reader(file),
        "r",
        timeout=(OPEN_SECONDS, OPEN_SECONDS),
        metadata_errors="replace",
        io_open=_deny,
        options={
            "format_whitelist": DEMUXERS,
            "protocol_whitelist": "none",
            "max_pixels": str(MAX_PIXELS),
            "probesize": str(PROBE_BYTES),
            "analyzeduration": str(PROBE_BYTES),
            "enable_drefs": "0",
            "use_absolute_path": "0",
        },
    )


def _deny(url: str, flags: int, options: dict[str, str]) -> object:
    raise PermissionError("A video file may not open another file.")


def _harden(video: VideoStream) -> None:
    # The container's max_pixels does not reach the decoder.
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}


def _refusal(kind: str, path: Path, error: Exception) -> InputRefused:
    if kind != "iso" or not isinstance(error, av.InvalidDataError | av.EOFError):
        return InputRefused(NOT_A_VIDEO)
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    if b"pssh" in head or b"encv" in head:
        return InputRefused(PROTECTED)
    if b"moov" in head:
        return InputRefused(DAMAGED_INDEX)
    return InputRefused(
        "This video is incomplete: its index is missing. "
        "The upload or the recording was probably cut off; send the whole file again."
    )


def sniff(path: Path) -> str:
    """The family of containers that the first bytes show; refuses everything that is not a video file."""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
    except OSError as error:
        raise InputRefused(f"The file cannot be opened: {error.strerror}.") from error
    if not head:
        raise InputRefused("The file is empty.")
    if _is_picture(head):
        raise InputRefused("This is a picture, not a video.")
    if head.lstrip().startswith((b"#EXTM3U", b"ffconcat", b"v=0\r", b"v=0\n")) or b"<MPD" in head[:1024]:
        raise InputRefused("This is a playlist, not a video. Send the video file itself.")
    for kind, matches in _FAMILIES:
        if matches(head):
            return kind
    if head.startswith((b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9")) or head[8:12] == b"WAVE":
        raise InputRefused("This file has sound but no video.")
    raise InputRefused(NOT_A_VIDEO)


def _is_picture(head: bytes) -> bool:
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"II*\0", b"MM\0*", b"8BPS"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS)
    )


def _is_transport_stream(head: bytes) -> bool:
    """Four sync bytes at a packet's distance, anywhere near the start: recordings begin mid-packet."""
    for size in (188, 192, 204):
        for start in range(min(len(head) - 3 * size, 8192)):
            if head[start] == 0x47 and all(head[start + n * size] == 0x47 for n in (1, 2, 3)):
                return True
    return False


_FAMILIES = (
    ("iso", lambda head: head[4:8] in ISO_BOXES),
    ("matroska", lambda head: head.startswith(b"\x1a\x45\xdf\xa3")),
    ("avi", lambda head: head[:4] == b"RIFF" and head[8:11] == b"AVI"),
    ("flv", lambda head: head.startswith(b"FLV")),
    ("ogg", lambda head: head.startswith(b"OggS")),
    ("asf", lambda head: head.startswith(bytes.fromhex("3026b2758e66cf11"))),
    ("gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("mpeg", lambda head: head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3"))),
    ("mpegts", _is_transport_stream),
)


def _choose_video(container: InputContainer) -> VideoStream:
    """The default track, else the largest; cover pictures and thumbnails are none."""
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    tracks = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not tracks:
        raise InputRefused(
            "This file has sound but no video." if container.streams.audio else "This file has no video."
        )
    readable = [stream for stream in tracks if stream.codec_context is not None and stream.codec_context.is_decoder]
    if any(stream.codec_context is not None and stream.codec_context.codec_tag == "encv" for stream in tracks):
        raise InputRefused(PROTECTED)
    if not readable:
        raise InputRefused("This video's codec is not supported.")

    def rank(stream: VideoStream) -> tuple[bool, bool, int]:
        area = stream.width * stream.height
        return area > 0, bool(stream.disposition & Disposition.default), area

    return max(readable, key=rank)


def _choose_audio(container: InputContainer) -> AudioStream | None:
    """The default track, else the first that can be decoded."""
    tracks = [
        stream
        for stream in container.streams.audio
        if stream.codec_context is not None and stream.codec_context.is_decoder and stream.codec_context.sample_rate > 0
    ]
    defaults = [stream for stream in tracks if stream.disposition & Disposition.default]
    return next(iter(defaults or tracks), None)
