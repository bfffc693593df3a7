"""Clips drawn by code: a disc with a soft edge moves over a flat green screen, so every frame's matte is known."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

SCREEN = (0, 200, 0)
SUBJECT = (210, 60, 160)
WIDTH, HEIGHT, FRAMES, RATE = 96, 64, 12, 25
SOUND_RATE = 48_000


def matte(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """The disc's alpha in frame `index`: it moves right, above the middle, so that no turn or mirror looks the same."""
    y, x = np.mgrid[0:height, 0:width]
    centre = (width * (0.3 + 0.02 * (index % 20)), height * 0.4)
    distance = np.hypot(x + 0.5 - centre[0], y + 0.5 - centre[1])
    return np.rint(np.clip(min(width, height) * 0.25 - distance, 0, 1) * 255).astype(np.uint8)


def picture(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """The disc over the screen, RGB."""
    alpha = matte(index, width=width, height=height)[..., None] / 255
    return np.rint(np.array(SUBJECT) * alpha + np.array(SCREEN) * (1 - alpha)).astype(np.uint8)


def make_clip(
    path: Path,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    frames: int = FRAMES,
    rate: Fraction | int = RATE,
    times_ms: list[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_shape: Fraction | None = None,
    sound_seconds: float = 0,
    sound_starts: float = 0,
    channels: int = 2,
    audio_codec: str | None = None,
    fragmented: bool = False,
    faststart: bool = True,
) -> Path:
    """`.mp4` and `.mov` hold H.264 4:4:4 with AAC; `.mkv` is lossless. What is stored *shows* upright.

    `times_ms` gives every frame its time; `rotation` is clockwise, in degrees.
    """
    lossless = path.suffix == ".mkv"
    flags = "frag_keyframe+empty_moov" if fragmented else "+faststart" if faststart else ""
    options = {"movflags": flags} if flags and not lossless else {}
    with av.open(str(path), "w", options=options) as out:
        clock = Fraction(1, 1000) if times_ms is not None or lossless else 1 / Fraction(rate)
        video = _add_video(out, lossless=lossless, rate=rate, clock=clock)
        swap = rotation % 180 != 0
        video.width, video.height = (height, width) if swap else (width, height)
        if pixel_shape is not None:
            video.codec_context.sample_aspect_ratio = pixel_shape
        if rotation or mirrored:
            video.set_display_rotation(-rotation, hflip=mirrored)
        audio = None
        if sound_seconds:
            layout = "mono" if channels == 1 else "stereo"
            audio = out.add_stream(audio_codec or ("flac" if lossless else "aac"), rate=SOUND_RATE, layout=layout)
        for index in range(frames):
            pixels = picture(index, width=width, height=height)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(_stored(pixels, rotation, mirrored)), format="rgb24")
            if lossless:
                frame = frame.reformat(format="bgr0")
            else:
                frame = frame.reformat(format="yuv444p", dst_colorspace="ITU709", dst_color_range="MPEG")
            time = Fraction(times_ms[index], 1000) if times_ms is not None else index / Fraction(rate)
            frame.pts, frame.time_base = round(time / clock), clock
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            _write_sound(out, audio, sound_seconds, sound_starts, channels)
    return path


def _add_video(out, *, lossless: bool, rate: Fraction | int, clock: Fraction):
    if lossless:
        video = out.add_stream("ffv1", rate=rate)
        video.pix_fmt = "bgr0"
    else:
        video = out.add_stream("libx264", rate=rate, options={"crf": "4", "preset": "ultrafast"})
        video.pix_fmt = "yuv444p"
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
    video.codec_context.time_base = video.time_base = clock
    return video


def _stored(pixels: NDArray[np.uint8], rotation: int, mirrored: bool) -> NDArray[np.uint8]:
    """What has to be stored for a player to show `pixels` once it has turned it clockwise and then mirrored it."""
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, rotation // 90)


def tone(seconds: float, *, channels: int = 2) -> NDArray[np.float32]:
    """440 Hz, channels × samples."""
    wave = 0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE)
    return np.tile(wave.astype(np.float32), (channels, 1))


def _write_sound(out, audio, seconds: float, starts: float, channels: int) -> None:
    samples = tone(seconds, channels=channels)
    position = round(starts * SOUND_RATE)
    size = audio.codec_context.frame_size or 1024
    for start in range(0, samples.shape[1], size):
        block = np.ascontiguousarray(samples[:, start : start + size])
        frame = AudioFrame.from_ndarray(block, format="fltp", layout="mono" if channels == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, position + start, Fraction(1, SOUND_RATE)
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))


def make_sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        _write_sound(out, out.add_stream("aac", rate=SOUND_RATE, layout="stereo"), 0.5, 0, 2)
    return path


def make_truncated(path: Path, *, keep: float = 0.6, faststart: bool = True) -> Path:
    """A clip whose end is missing; without faststart its index is missing too."""
    make_clip(path, width=160, height=120, frames=40, faststart=faststart)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * keep)])
    return path


def make_alpha_clip(path: Path, *, frames: int = 6, is_opaque: bool = False) -> Path:
    """ProRes 4444 that already has an alpha plane: the disc, over hidden bright green, or one that hides nothing."""
    with av.open(str(path), "w") as out:
        options = {"profile": "4444", "alpha_bits": "16", "flags": "+qscale", "global_quality": "236"}
        video = out.add_stream("prores_ks", rate=RATE, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuva444p10le"
        for index in range(frames):
            pixels = np.dstack([np.broadcast_to(np.uint8(SUBJECT), (HEIGHT, WIDTH, 3)), matte(index)])
            if is_opaque:
                pixels = np.dstack([picture(index), np.full((HEIGHT, WIDTH), 255, np.uint8)])
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")
            frame = frame.reformat(format="yuva444p10le", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def make_picture(path: Path, *, width: int = 40, height: int = 30, color: tuple[int, int, int] = (30, 90, 200)) -> Path:
    """A small flat PNG or JPEG."""
    frame = VideoFrame.from_ndarray(np.full((height, width, 3), color, np.uint8), format="rgb24")
    frame.save(path)
    return path


ATTACKS: dict[str, bytes] = {
    "empty": b"",
    "text": b"This is not a video, whatever its name says.\n",
    "random": bytes((n * 7919 + 13) % 251 for n in range(5000)),
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "remote playlist": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:8109/secret.ts\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile secret.mp4\n",
    "late concat script": b"\n\nffconcat version 1.0\nfile secret.mp4\n",
    "session description": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 8108 RTP/AVP 96\r\n",
    "manifest": b'<?xml version="1.0"?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>',
    "drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "head only": struct.pack(">I", 32) + b"ftypisom\0\0\2\0isomiso2avc1mp41",
    "still picture": b"\xff\xd8\xff\xe0" + b"\0" * 200,
}
"""Files that must be refused with a sentence, and without opening anything else."""
