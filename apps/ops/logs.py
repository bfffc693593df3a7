"""How a log line is written, and the last look at it: what has the shape of a secret or of a person is blotted out.

Nobody here logs secrets on purpose; libraries put addresses and headers into their exceptions.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict

BLOT = "•••"
SHAPES = tuple(
    re.compile(shape)
    for shape in (
        r"(\bcm_)[\w-]{12,}",  # our keys; the pages show 10 characters
        r"(\bwhsec_)[\w+/=-]+",
        r"(\b[srp]k_(?:live|test)_)\w+",
        r"(\b(?:Bearer|Basic) )[\w.~+/=-]{8,}",
        r"(\w://[^\s:/@]*:)[^\s@/]+(?=@)",  # passwords of databases, queues, mail servers
        r"((?:\w:/|/)[^\s?'\"<>]*\?)[^\s'\"<>]+",  # whatever stands behind an address's question mark
        r"(?i)([?&;](?:[\w-]*(?:signature|token|credential|secret|password|key)[\w-]*)=)[^\s&'\"]+",
        r"(?i)(\b(?:x-api-key|authorization|cookie|set-cookie|stripe-signature)['\"]?\s*[:=]\s*)[^\r\n]+",
        r"(?i)(\b(?:session_?id|csrftoken|secret_?key|password)['\"]?\s*[:=]\s*)[^\s,;]+",
        r"(/password/reset/key/|/confirm-email/)[^\s/]+",
        r"()\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # an e-mail address
    )
)
PAIR = re.compile(r"(?<!\S)([a-z][a-z_0-9]*)=([^\s,;]+)")


class Formatter(logging.Formatter):
    """For people. Blots in the finished line, so tracebacks are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return blotted(super().format(record))


class JsonFormatter(ProcessorFormatter):
    """For collectors: one JSON object a line. What a message says as `name=value` is a field of its own, too."""

    def __init__(self) -> None:
        super().__init__(
            foreign_pre_chain=[add_logger_name, add_log_level, TimeStamper(fmt="iso", utc=True, key="time"), _fields],
            processors=[ProcessorFormatter.remove_processors_meta, format_exc_info, _blot, JSONRenderer()],
        )


def _fields(logger: Any, name: str, line: EventDict) -> EventDict:
    # What the line says of itself never takes the place of what is known of it.
    said = {key: value for key, value in PAIR.findall(line["event"]) if key not in line}
    return {**said, **line, "request_id": getattr(line["_record"], "request_id", "-")}


def _blot(logger: Any, name: str, line: EventDict) -> EventDict:
    """Before it is written as JSON: blotted afterwards, a line might end in the middle."""
    return {key: blotted(value) if isinstance(value, str) else value for key, value in line.items()}


def blotted(text: str) -> str:
    for shape in SHAPES:
        text = shape.sub(rf"\1{BLOT}", text)
    return text
