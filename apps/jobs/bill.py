"""What the choices on the page as they stand would cost, clip by clip; nothing is spent here."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from apps.accounts.models import User
from apps.credits.amounts import from_credits
from apps.credits.templatetags.amounts import credits as in_words
from apps.engine.options import Options
from apps.errors import AppError
from apps.jobs import doorbell, services
from apps.jobs.terms import Terms, terms_for
from apps.projects.models import Asset


@dataclass(slots=True)
class Line:
    """One clip: its price in 1/100 credits, or why it cannot be made with these choices."""

    asset: Asset
    amount: int = 0
    seconds: float = 0
    eta: float | None = None
    bytes: tuple[int, int] = (0, 0)
    refusal: AppError | None = None
    is_covered: bool = False
    """The credits reach for it, after the clips above it."""


@dataclass(slots=True)
class Bill:
    """`these` are the clips that the Start button is about: all that can be made and paid."""

    available: int
    lines: list[Line] = field(default_factory=list)

    @property
    def possible(self) -> list[Line]:
        return [line for line in self.lines if line.refusal is None]

    @property
    def wanted(self) -> int:
        """1/100 credits for everything that can be made."""
        return sum(line.amount for line in self.possible)

    @property
    def is_covered(self) -> bool:
        return self.wanted <= self.available

    @property
    def these(self) -> list[Line]:
        return [line for line in self.possible if line.is_covered]

    @property
    def amount(self) -> int:
        return sum(line.amount for line in self.these)

    @property
    def label(self) -> str:
        """What the Start button says, so that pressing it is a yes to these clips at this price."""
        here, all_ = len(self.these), len(self.lines)
        which = "" if all_ == 1 else f" all {all_}" if here == all_ else f" {here} of {all_}"
        return f"Start{which} for {in_words(self.amount)} credits"

    @property
    def seconds(self) -> float:
        return sum(line.seconds for line in self.possible)

    @property
    def bytes(self) -> tuple[int, int]:
        """How large the files will be together, at least and at most."""
        return sum(line.bytes[0] for line in self.possible), sum(line.bytes[1] for line in self.possible)

    @property
    def balance_after(self) -> int:
        """When everything that can be made is: below zero, as far as credits lack."""
        return self.available - self.wanted

    @property
    def eta(self) -> float | None:
        """Until the last of them is done, if nobody else comes; None while the model's speed here is not known."""
        times = [line.eta for line in self.these or self.possible]
        known = [time for time in times if time is not None]
        if not known or len(known) < len(times):
            return None
        if len(known) == 1:
            return known[0]
        at_once = max(1, min(doorbell.workers(), settings.MAX_JOBS_AT_ONCE))
        ends = [0.0] * at_once
        for time in known:
            heapq.heapreplace(ends, ends[0] + time)
        return max(ends)


def make_bill(user: User, assets: list[Asset], options: Options, *, available: int) -> Bill:
    bill = Bill(available)
    left, at = available, terms_for(user, options.model) if assets else None
    for asset in assets:
        line = _line(user, asset, options, at)
        line.is_covered = line.refusal is None and line.amount <= left
        left -= line.amount if line.is_covered else 0
        bill.lines.append(line)
    return bill


def _line(user: User, asset: Asset, options: Options, at: Terms | None) -> Line:
    try:
        quote: dict[str, Any] = services.estimate(user, asset.facts, options, at)
    except AppError as refusal:
        return Line(asset, refusal=refusal)
    low, high = quote["output_bytes"]["low"], quote["output_bytes"]["high"]
    return Line(asset, from_credits(quote["credits"]), quote["billed_seconds"], quote["eta_seconds"], (low, high))
