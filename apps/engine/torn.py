"""Where a file should end, as the outermost pieces of its container tell; without decoding anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from apps.engine.source import ISO_BOXES

TS_PACKET, TS_SYNC = 188, b"G"

HEAD_BYTES, TAIL_BYTES = 65_536, 131_072
"""An Ogg page is smaller than the tail; ASF says its size near the start."""

UNKNOWN_RIFF = 0xFFFF_FFFF

SEGMENT = b"\x18\x53\x80\x67"

ASF = bytes.fromhex("3026b2758e66cf11")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

OGG_HEAD, OGG_FLAGS = 27, 7

GIF_TRAILER = b";"


def is_torn(path: Path) -> bool:
    """Whether the file ends inside one of its pieces, where that can be seen from outside."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head[:1] == TS_SYNC and head[TS_PACKET : TS_PACKET + 1] == TS_SYNC:
            return size % TS_PACKET != 0
        ends = next((ends for matches, ends in _FAMILIES if matches(head)), None)
        return ends is not None and ends(file, head, size) > size


def bytes_present(path: Path) -> Fraction:
    """The share of its bytes that is there and makes sense, at most 1, where that tells more than its packets do.

    ASF says how many there were and not how long it is. Fragments say neither: a run of anything but boxes is missing.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(ASF):
            return min(Fraction(1), Fraction(size, _asf_size(head) or size))
        if head[4:8] in ISO_BOXES:
            boxes = list(_boxes(file, size))
            if _is_fragmented(boxes):
                return Fraction(min(size, boxes[-1][2]), size)
    return Fraction(1)


def _asf_size(head: bytes) -> int | None:
    at = head.find(ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:
        # While it is broadcast its size is not known yet.
        return None
    return int.from_bytes(head[at + 40 : at + 48], "little") or None


Box = tuple[bytes, int, int]


def _is_fragmented(boxes: list[Box]) -> bool:
    return any(kind == b"moof" for kind, _at, _end in boxes)


def _boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """(type, first byte, byte behind it) of the outermost ISO boxes, up to something that is none."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if not kind.strip(b"\0") or 0 < length < 8:
            return
        # No length at all means: to the end.
        end = at + length if length else size
        yield kind, at, end
        at = end


def _last_box_ends(file: BinaryIO, head: bytes, size: int) -> int:
    """Byte at which the last outermost ISO box should end; past the file where anything else follows fragments.

    Behind the boxes of a whole recording some cameras leave notes of their own.
    """
    boxes = list(_boxes(file, size))
    end = max((end for _kind, _at, end in boxes), default=size)
    return size + 1 if end < size and _is_fragmented(boxes) else max(end, size)


def _segment_ends(file: BinaryIO, head: bytes, size: int) -> int:
    """Matroska's; `size` for one that was written live."""
    header, length = _ebml_size(head, 4)
    at = header + length
    if head[at : at + 4] != SEGMENT:
        return size
    content, length = _ebml_size(head, at + 4)
    is_unknown = length == (1 << 7 * (content - at - 4)) - 1
    return size if is_unknown else content + length


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """(where the content begins, its size) by the variable-length number at this place."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return at, 0
    return at + width, int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)


def _riff_ends(file: BinaryIO, head: bytes, size: int) -> int:
    """AVI's first part, which an unbroken file has whole; `size` for one that was written live."""
    length = int.from_bytes(head[4:8], "little")
    return size if length == UNKNOWN_RIFF else 8 + length


def _last_page_ends(file: BinaryIO, head: bytes, size: int) -> int:
    """Ogg's; past the file also where not all of the page's head is there."""
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    tail = file.read(TAIL_BYTES)
    at = tail.rfind(b"OggS")
    while at >= 0 and len(tail) > at + 5 and (tail[at + 4] != 0 or tail[at + 5] > OGG_FLAGS):
        at = tail.rfind(b"OggS", 0, at)
    if at < 0:
        return size
    if len(tail) < at + OGG_HEAD:
        return size + 1
    count = tail[at + OGG_HEAD - 1]
    segments = tail[at + OGG_HEAD : at + OGG_HEAD + count]
    return start + at + OGG_HEAD + count + sum(segments)


def _asf_ends(file: BinaryIO, head: bytes, size: int) -> int:
    return _asf_size(head) or size


def _gif_ends(file: BinaryIO, head: bytes, size: int) -> int:
    file.seek(max(0, size - TAIL_BYTES))
    return size if file.read().rstrip(b"\0").endswith(GIF_TRAILER) else size + 1


_FAMILIES: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, bytes, int], int]], ...] = (
    (lambda head: head[4:8] in ISO_BOXES, _last_box_ends),
    (lambda head: head.startswith(b"\x1a\x45\xdf\xa3"), _segment_ends),
    (lambda head: head[:4] == b"RIFF" and head[8:11] == b"AVI", _riff_ends),
    (lambda head: head.startswith(b"OggS"), _last_page_ends),
    (lambda head: head.startswith(ASF), _asf_ends),
    (lambda head: head.startswith(b"GIF8"), _gif_ends),
)
