"""Money in minor units, as Stripe counts it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

WHOLE = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
"""Currencies whose smallest unit Stripe counts is the whole one."""
THOUSANDTHS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
"""Those it counts in thousandths. It wants them to end in 0, as they do where a price has two decimals."""


def units(currency: str) -> int:
    """How many minor units are one whole."""
    return 1 if currency in WHOLE else 1000 if currency in THOUSANDTHS else 100


def to_minor(amount: Decimal, currency: str) -> int:
    """
    >>> to_minor(Decimal("9.50"), "usd"), to_minor(Decimal(900), "jpy"), to_minor(Decimal("9.5"), "kwd")
    (950, 900, 9500)
    """
    return int((amount * units(currency)).quantize(Decimal(1), ROUND_HALF_UP))


def from_minor(amount: int, currency: str) -> Decimal:
    """
    >>> from_minor(950, "usd"), from_minor(900, "jpy")
    (Decimal('9.5'), Decimal('900'))
    """
    return Decimal(amount) / units(currency)
