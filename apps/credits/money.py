"""Money in minor units, as Stripe counts it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

WHOLE = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
"""Currencies whose smallest unit Stripe counts is the whole one."""


def to_minor(amount: Decimal, currency: str) -> int:
    """
    >>> to_minor(Decimal("9.50"), "usd"), to_minor(Decimal(900), "jpy")
    (950, 900)
    """
    factor = 1 if currency in WHOLE else 100
    return int((amount * factor).quantize(Decimal(1), ROUND_HALF_UP))


def from_minor(amount: int, currency: str) -> Decimal:
    """
    >>> from_minor(950, "usd"), from_minor(900, "jpy")
    (Decimal('9.5'), Decimal('900'))
    """
    return Decimal(amount) / (1 if currency in WHOLE else 100)
