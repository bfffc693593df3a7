"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, note (worth knowing) or bad (must be mended)."""

    level: str
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def note(subject: str, text: str) -> Finding:
    return Finding("note", subject, text)


def bad(subject: str, text: str) -> Finding:
    return Finding("bad", subject, text)
