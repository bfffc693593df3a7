"""The sandbox's letter box: every mail the site would have sent, read from the folder it was written to."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

NEWEST = 50
"""Files; almost always one mail each."""
RULE = b"\n" + b"-" * 79 + b"\n"
"""What Django's file backend writes after each message."""


@dataclass(frozen=True, slots=True)
class Letter:
    id: str
    subject: str
    to: str
    date: str
    text: str
    html: str


def letters(folder: Path) -> list[Letter]:
    """The newest first. Each message in a file ends with a rule; a file may hold several, the newest last."""
    files = sorted(folder.glob("*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return [
        read(raw, f"{path.stem}-{number}")
        for path in files[:NEWEST]
        for number, raw in reversed(list(enumerate(path.read_bytes().split(RULE))))
        if raw.strip()
    ]


def read(raw: bytes, letter_id: str) -> Letter:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return Letter(
        id=letter_id,
        subject=str(message["Subject"]),
        to=str(message["To"]),
        date=str(message["Date"]),
        text=text.get_content().strip() if text else "",
        html=html.get_content() if html else "",
    )
