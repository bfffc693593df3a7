"""The workers' door: send one mail."""

from __future__ import annotations

from uuid import UUID

from apps.accounts import mail


def send_mail(mail_id: str) -> None:
    mail.send(UUID(mail_id))
