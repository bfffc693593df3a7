"""What a job costs; pure. Amounts are integers of 1/100 credit."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal


def price(rate_per_minute: int, seconds: float) -> int:
    """Seconds × rate, rounded up once to 1/100 credit.

    >>> price(4500, 10.0)
    750

    Decimal, because in binary 0.1 s × 6000 a minute is a hair more than 10
    and would round up to 11. Microseconds are finer than any timestamp here.
    """
    exact = Decimal(rate_per_minute) * round(Decimal(seconds), 6) / 60
    # The division may leave ...0001 or ...9999 in the 28th digit: not somebody's hundredth.
    return int(round(exact, 9).to_integral_value(rounding=ROUND_CEILING))
