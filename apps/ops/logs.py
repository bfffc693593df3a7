"""The last look at a log line before it is written: what has the shape of a secret is blotted out.

Nobody here logs secrets on purpose; libraries put addresses and headers into their exceptions.
"""

from __future__ import annotations

import logging
import re

BLOT = "•••"
SHAPES = tuple(
    re.compile(shape)
    for shape in (
        r"(\bcm_)[\w-]{12,}",  # our keys; the pages show 10 characters
        r"(\bwhsec_)[\w+/=-]+",
        r"(\b[srp]k_(?:live|test)_)\w+",
        r"(\b(?:Bearer|Basic) )[\w.~+/=-]{8,}",
        r"(\w://[^\s:/@]*:)[^\s@/]+(?=@)",  # passwords of databases, queues, mail servers
        r"(?i)([?&;](?:[\w-]*(?:signature|token|credential|secret|password|key)[\w-]*)=)[^\s&'\"]+",
        r"(?i)(\b(?:x-api-key|authorization|cookie|set-cookie|stripe-signature)['\"]?\s*[:=]\s*)[^\r\n]+",
        r"(?i)(\b(?:session_?id|csrftoken|secret_?key|password)['\"]?\s*[:=]\s*)[^\s,;]+",
        r"(/password/reset/key/|/confirm-email/)[^\s/]+",
    )
)


class Formatter(logging.Formatter):
    """Blots in the finished line, so tracebacks are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return blotted(super().format(record))


def blotted(text: str) -> str:
    for shape in SHAPES:
        text = shape.sub(rf"\1{BLOT}", text)
    return text
