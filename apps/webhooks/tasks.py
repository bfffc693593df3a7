"""The workers' door: send one delivery."""

from __future__ import annotations

from uuid import UUID

from apps.webhooks import services


def send_delivery(delivery_id: str) -> None:
    services.send(UUID(delivery_id))
