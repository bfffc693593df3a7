"""Small clips of many kinds, drawn by code: a disc moves over a green screen while a tone sounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES, RATE = 64, 48, 10, 25
ROUND_FRAMES = 100
"""After so many the picture is again what it was."""
SOUND_RATE, SOUND_BLOCK, BIT_RATE = 48_000, 1152, 128_000
SCREEN, SUBJECT = (0, 200, 0), (210, 60, 160)
PQ = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}


@dataclass(frozen=True, slots=True)
class Kind:
    """A container with its codecs."""

    name: str
    """Also the file's: the ending names the container."""
    codec: str
    pixel_format: str = "yuv420p"
    sound: str = ""
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    turn: int = 0


FASTSTART = {"movflags": "+faststart"}
KINDS = (
    Kind("h264.mp4", "libx264", sound="aac", container=FASTSTART),
    Kind("index-last.mp4", "libx264", sound="aac", turn=90),
    Kind("fragments.mp4", "libx264", sound="aac", container={"movflags": "frag_keyframe+empty_moov"}),
    Kind("hdr.mp4", "libx265", "yuv420p10le", options={"x265-params": "log-level=none"}, tags=PQ, container=FASTSTART),
    Kind("av1.mp4", "libsvtav1", options={"preset": "10"}, container=FASTSTART),
    Kind("alpha.mov", "prores_ks", "yuva444p10le", sound="pcm_s16le", options={"profile": "4444"}),
    Kind("mjpeg.mov", "mjpeg", "yuvj422p", sound="pcm_s16le"),
    Kind("ffv1.mkv", "ffv1", "yuv444p", sound="flac"),
    Kind("h264.mkv", "libx264", sound="ac3"),
    Kind("vp8.webm", "libvpx", sound="libopus", options={"deadline": "realtime", "cpu-used": "8"}),
    Kind("alpha.webm", "libvpx-vp9", "yuva420p", options={"deadline": "realtime", "cpu-used": "8"}),
    Kind("mpeg4.avi", "mpeg4", sound="libmp3lame"),
    Kind("raw.avi", "rawvideo", "yuyv422", sound="pcm_s16le"),
    Kind("mpeg2.ts", "mpeg2video", sound="mp2", options={"flags": "+ildct+ilme", "top": "1"}),
    Kind("h264.ts", "libx264", sound="aac"),
    Kind("mpeg1.mpg", "mpeg1video", sound="mp2"),
    Kind("flv1.flv", "flv", sound="libmp3lame"),
    Kind("wmv2.wmv", "wmv2", sound="wmav2"),
    Kind("vp8.ogv", "libvpx", sound="libopus", options={"deadline": "realtime", "cpu-used": "8"}),
    Kind("animated.gif", "gif", "rgb8"),
)


def picture(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGBA, opaque; the disc goes round once in a hundred frames."""
    y, x = np.ogrid[0:height, 0:width]
    turn = 2 * np.pi * index / ROUND_FRAMES
    centre = (width * (0.5 + 0.2 * np.cos(turn)), height * (0.5 + 0.2 * np.sin(turn)))
    inside = np.hypot(x - centre[0], y - centre[1]) < min(width, height) / 4
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[:] = (*SCREEN, 255)
    pixels[inside] = (*SUBJECT, 255)
    return pixels


def write(path: Path, kind: Kind, *, frames: int = FRAMES, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """One clip; picture by picture, so that length costs no memory."""
    with av.open(str(path), "w", options=kind.container) as out:
        video = _add_video(out, kind, width, height)
        audio = _add_audio(out, kind)
        sound = _tone(audio, Fraction(frames, RATE)) if audio is not None else iter(())
        heard = next(sound, None)
        for index in range(frames):
            while audio is not None and heard is not None and (heard.pts or 0) / SOUND_RATE <= index / RATE:
                out.mux(audio.encode(heard))
                heard = next(sound, None)
            out.mux(video.encode(_frame(index, kind, video)))
        out.mux(video.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))
    return path


def repeat(source: Path, target: Path, times: int, *, seconds: Fraction) -> Path:
    """A clip of `seconds` over and over in one file, without encoding it again."""
    with av.open(str(source)) as clip, av.open(str(target), "w", options=FASTSTART) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in clip.streams}
        for turn in range(times):
            clip.seek(0)
            for packet in clip.demux():
                if packet.pts is None or packet.dts is None:
                    continue
                shift = round(turn * seconds / Fraction(packet.time_base))
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return target


def _add_video(out: OutputContainer, kind: Kind, width: int, height: int) -> VideoStream:
    video = out.add_stream(kind.codec, rate=RATE, options=kind.options)
    assert isinstance(video, VideoStream)
    video.width, video.height, video.pix_fmt = width, height, kind.pixel_format
    for name, value in kind.tags.items():
        setattr(video.codec_context, name, value)
    if kind.turn:
        video.set_display_rotation(kind.turn)
    return video


def _add_audio(out: OutputContainer, kind: Kind) -> AudioStream | None:
    if not kind.sound:
        return None
    audio = out.add_stream(kind.sound, rate=SOUND_RATE, bit_rate=BIT_RATE)
    assert isinstance(audio, AudioStream)
    return audio


def _frame(index: int, kind: Kind, video: VideoStream) -> VideoFrame:
    pixels = picture(index, video.width, video.height)
    if "a" in kind.pixel_format:
        pixels[: video.height // 4, :, 3] = 0
    frame = VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=kind.pixel_format)
    frame.pts, frame.time_base = index, Fraction(1, RATE)
    return frame


def _tone(audio: AudioStream, seconds: Fraction) -> Iterator[AudioFrame]:
    size = audio.codec_context.frame_size or SOUND_BLOCK
    for start in range(0, int(seconds * SOUND_RATE), size):
        wave = 0.4 * np.sin(2 * np.pi * 440 * np.arange(start, start + size) / SOUND_RATE)
        frame = AudioFrame.from_ndarray(np.tile(wave.astype(np.float32), (2, 1)), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        yield frame
