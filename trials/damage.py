"""Damage that files suffer, and some that only malice does: always the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable

STRUCTURE_BYTES = 4096
"""At both ends, where containers keep what everything else hangs on: half of all damage falls there."""

MIN_BYTES = 16

EXTREMES = (
    b"\0\0\0\0", b"\0\0\0\1", b"\1\0\0\0",
    b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\0", b"\xff\xff",
)  # fmt: skip
"""As sizes, counts, rates and times, in either byte order."""

Blow = Callable[[bytearray, random.Random], None]


def damaged(data: bytes, seed: str) -> bytes:
    """A copy with one to forty wounds, or one that is merely cut off."""
    chance = random.Random(seed)
    copy = bytearray(data)
    if chance.random() < 0.1:
        _truncate(copy, chance)
        return bytes(copy)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        if len(copy) > MIN_BYTES:
            chance.choice(BLOWS)(copy, chance)
    return bytes(copy)


def _somewhere(copy: bytearray, chance: random.Random) -> int:
    ends = min(STRUCTURE_BYTES, len(copy))
    return chance.choice(
        (chance.randrange(ends), len(copy) - 1 - chance.randrange(ends), *(chance.randrange(len(copy)),) * 2)
    )


def _flip(copy: bytearray, chance: random.Random) -> None:
    copy[_somewhere(copy, chance)] ^= 1 << chance.randrange(8)


def _edit(copy: bytearray, chance: random.Random) -> None:
    at, value = _somewhere(copy, chance), chance.choice(EXTREMES)
    copy[at : at + len(value)] = value


def _count(copy: bytearray, chance: random.Random) -> None:
    """One number a little off: sizes that point just beside the next box are worse than wild ones."""
    at = _somewhere(copy, chance)
    copy[at] = (copy[at] + chance.choice((-16, -2, -1, 1, 2, 16))) % 256


def _blank(copy: bytearray, chance: random.Random) -> None:
    at, length = _somewhere(copy, chance), chance.choice((4, 64, 1000))
    length = min(length, len(copy) - at)
    copy[at : at + length] = bytes(length)


def _remove(copy: bytearray, chance: random.Random) -> None:
    at = _somewhere(copy, chance)
    del copy[at : at + chance.choice((1, 7, 188, 2000))]


def _repeat(copy: bytearray, chance: random.Random) -> None:
    at, length = _somewhere(copy, chance), chance.choice((4, 64, 188, 2000))
    copy[at:at] = copy[at : at + length]


def _swap(copy: bytearray, chance: random.Random) -> None:
    length = chance.choice((8, 188, 1500))
    one, other = sorted((_somewhere(copy, chance), _somewhere(copy, chance)))
    length = min(length, other - one, len(copy) - other)
    first, second = copy[one : one + length], copy[other : other + length]
    copy[one : one + length], copy[other : other + length] = second, first


def _truncate(copy: bytearray, chance: random.Random) -> None:
    del copy[max(MIN_BYTES, _somewhere(copy, chance)) :]


BLOWS: tuple[Blow, ...] = (_flip, _flip, _edit, _edit, _count, _blank, _remove, _repeat, _swap)
