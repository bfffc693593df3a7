"""The border between 1/100 credits (inside) and credits (everywhere else)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from apps.errors import AppError

MAX_CREDITS = 1_000_000_000
"""Keeps sums far inside 64 bits, and a slip of the keyboard out of the ledger."""


def to_credits(hundredths: int) -> int | float:
    """What users see.

    >>> to_credits(750), to_credits(6000)
    (7.5, 60)
    """
    whole, rest = divmod(hundredths, 100)
    return hundredths / 100 if rest else whole


def from_credits(amount: Decimal | float | int | str, *, param: str = "credits") -> int:
    """The exact 1/100 credits of an amount with at most two decimals; anything else is refused.

    >>> from_credits("7.5")
    750
    """
    try:
        hundredths = Decimal(str(amount)) * 100
    except InvalidOperation:
        raise AppError("invalid_request", f"{amount!r} is not a number of credits.", param=param) from None
    # NaN and infinity fail the comparison too (NaN would raise in it).
    if not hundredths.is_finite() or abs(hundredths) > MAX_CREDITS * 100:
        raise AppError("invalid_request", f"{amount!r} credits is out of range.", param=param)
    if hundredths != int(hundredths):
        raise AppError("invalid_request", f"Credits have at most two decimals, {amount!r} has more.", param=param)
    return int(hundredths)
