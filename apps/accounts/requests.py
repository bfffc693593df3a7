"""The type of a request behind `login_required`, and who sent a request, as far as it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from apps.accounts.models import User

AGENT_CHARACTERS = 300


class SignedInRequest(HttpRequest):
    """For annotations only; nothing ever makes one."""

    user: User


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from: personal, so it goes with the account."""

    address: str | None = None
    agent: str = ""

    def fields(self) -> dict[str, Any]:
        """As a job keeps them."""
        return {"client_address": self.address, "client_agent": self.agent}


def caller_of(request: HttpRequest) -> Caller:
    """Behind our own proxy the address is the one that it saw (ClientAddressMiddleware)."""
    agent = request.headers.get("User-Agent", "").replace("\x00", "")
    return Caller(request.META.get("REMOTE_ADDR") or None, agent[:AGENT_CHARACTERS])
