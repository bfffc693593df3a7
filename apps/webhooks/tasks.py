"""The workers' door: send what is due."""

from __future__ import annotations

from apps.webhooks import sending


def send_due() -> None:
    sending.send_due()
