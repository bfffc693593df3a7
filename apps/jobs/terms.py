"""What an estimate rests on beside the clip: prices, credits, and how fast the model is here."""

from __future__ import annotations

from dataclasses import dataclass

from apps.accounts.models import User
from apps.credits import prices
from apps.credits.models import PriceList
from apps.credits.services import open_wallet
from apps.jobs import waiting


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for every clip of one bill, so that it is read once."""

    prices: PriceList
    available: int
    frames_a_second: float | None


def terms_for(user: User, model: str) -> Terms:
    return Terms(prices.current(), open_wallet(user).available, waiting.frames_a_second(model))
