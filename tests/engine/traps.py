"""Files that ask their reader to open something else: the secret beside them, or an address."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from tests.clips import ATTACKS, HEIGHT, RATE, WIDTH, make_clip, picture

SECRET = "secret.mp4"


@dataclass(frozen=True, slots=True)
class Trap:
    path: Path
    is_video: bool
    """A real video that also refers to something: it is processed, and the reference left alone."""


def make_traps(folder: Path, port: int) -> list[Trap]:
    """One file per trap, each under a name that lies; `port` is a listener's on loopback."""
    make_clip(folder / SECRET)
    texts = {
        **{name: data for name, data in ATTACKS.items() if data.lstrip()[:1] in (b"#", b"f", b"v", b"<")},
        "sibling playlist": f"#EXTM3U\n#EXTINF:1,\n{SECRET}\n#EXT-X-ENDLIST\n".encode(),
        "encrypted playlist": (
            f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/key"\n#EXTINF:1,\n{SECRET}\n'
        ).encode(),
        "listening playlist": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n".encode(),
        "chained playlist": f"#EXTM3U\n#EXTINF:1,\nconcat:http://127.0.0.1:{port}/a|file:{SECRET}\n".encode(),
        "concat of addresses": f"ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n".encode(),
        "presentation": f'<?xml version="1.0"?><smil><video src="{SECRET}"/></smil>'.encode(),
        "windows playlist": f'<ASX version="3.0"><entry><ref href="http://127.0.0.1:{port}/a"/></entry></ASX>'.encode(),
        "reference list": f"[Reference]\nRef1=http://127.0.0.1:{port}/a?MSWMExt=.asf\n".encode(),
        "address list": f"rtsptexthttp://127.0.0.1:{port}/a\n".encode(),
    }
    traps = []
    for number, (name, data) in enumerate(sorted(texts.items())):
        suffix = (".mp4", ".mkv", ".avi", ".m3u8", ".ts")[number % 5]
        path = folder / (name.replace(" ", "-") + suffix)
        path.write_bytes(data)
        traps.append(Trap(path, is_video=False))
    for path in (
        _referring(folder / "url.mov", _url_entry(folder)),
        _referring(folder / "alias.mov", _alias_entry(folder)),
        _with_subtitles(folder / "subtitles.avi", port),
        _with_attachment(folder / "attachment.mkv", port),
    ):
        traps.append(Trap(path, is_video=True))
    return traps


def _referring(path: Path, entry: bytes) -> Path:
    """A movie whose sound says that its samples lie in another file."""
    make_clip(path, sound_seconds=0.4, faststart=False)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"dref") - 4
    old = struct.unpack_from(">I", data, at)[0]
    new = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    # The index is the file's last box, so only the boxes around this one grow.
    for box in _around(data, at):
        struct.pack_into(">I", data, box, struct.unpack_from(">I", data, box)[0] + len(new) - old)
    data[at : at + old] = new
    path.write_bytes(bytes(data))
    return path


def _around(data: bytearray, at: int) -> list[int]:
    """Where the boxes begin that hold the one at `at`."""
    found, start, end = [], 0, len(data)
    while start < at:
        size, kind = struct.unpack_from(">I4s", data, start)
        if start + size <= at:
            start += size
            continue
        found.append(start)
        start, end = start + 8, start + size
        assert kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"), kind
    assert start < end
    return found


def _url_entry(folder: Path) -> bytes:
    address = f"file://{folder / SECRET}".encode() + b"\0"
    return struct.pack(">I4sI", 12 + len(address), b"url ", 0) + address


def _alias_entry(folder: Path) -> bytes:
    """A Macintosh alias with its absolute path."""
    name, whole = SECRET.encode(), str(folder / SECRET).encode()
    whole += b"\0" * (len(whole) % 2)
    body = bytes(10) + bytes([4]) + b"disk".ljust(27, b"\0") + bytes(12)
    body += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    body += struct.pack(">HH", 2, len(whole)) + whole + struct.pack(">hH", -1, 0)
    return struct.pack(">I4sI", 12 + len(body), b"alis", 0) + body


def _with_subtitles(path: Path, port: int) -> Path:
    """An AVI whose second track is subtitles, and these a playlist."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("rawvideo", rate=RATE), out.add_stream("pcm_s16le", rate=8000, layout="mono")
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "bgr24"
        for index in range(5):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture(index)), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(video.encode(frame.reformat(format="bgr24")))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.int16), format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 8000, index * 1000, Fraction(1, 8000)
            out.mux(audio.encode(sound))
        out.mux(video.encode(None))
    playlist = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n".encode()
    payload = b"GAB2\0" + struct.pack("<HI", 2, 2) + b"\0\0" + struct.pack("<HI", 4, len(playlist)) + playlist
    data = path.read_bytes().replace(b"auds", b"txts", 1)
    at = data.index(b"01wb", data.index(b"movi")) + 8
    path.write_bytes(data[:at] + payload + data[at + len(payload) :])
    return path


def _with_attachment(path: Path, port: int) -> Path:
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "bgr0"
        playlist = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n".encode()
        out.add_attachment("list.m3u8", "application/vnd.apple.mpegurl", playlist)
        for index in range(5):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture(index)), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(video.encode(frame.reformat(format="bgr0")))
        out.mux(video.encode(None))
    return path
