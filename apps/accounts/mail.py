"""The sandbox's letter box: every mail the site would have sent, read from the folder it was written to."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

NEWEST = 50


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    to: str
    date: str
    text: str


def letters(folder: Path) -> list[Letter]:
    """The newest first. Each file is one sending, and holds its messages with a rule of dashes after each."""
    files = sorted(folder.glob("*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return [read(path) for path in files[:NEWEST]]


def read(path: Path) -> Letter:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain",))
    text = body.get_content() if body else ""
    return Letter(
        subject=str(message["Subject"]),
        to=str(message["To"]),
        date=str(message["Date"]),
        text=text.rsplit("\n---", 1)[0].strip(),
    )
