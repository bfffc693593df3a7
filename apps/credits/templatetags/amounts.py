"""Credits and money as people read them."""

from __future__ import annotations

from django import template

from apps.credits.amounts import to_credits
from apps.credits.models import Purchase
from apps.credits.money import from_minor

register = template.Library()

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}


@register.filter
def credits(hundredths: int) -> str:
    """1/100 credits with thousands marked; cents only where there are any: 20, 7.50, 1,234."""
    whole, rest = divmod(abs(hundredths), 100)
    sign = "−" if hundredths < 0 else ""
    return f"{sign}{whole:,}.{rest:02}" if rest else f"{sign}{whole:,}"


@register.filter
def plain(hundredths: int) -> str:
    """For a number field: no marks between thousands."""
    return str(to_credits(hundredths))


@register.filter
def exact(hundredths: int) -> str:
    """For columns, where the points must stand below each other: 20.00."""
    text = credits(hundredths)
    return text if "." in text else f"{text}.00"


@register.filter
def change(hundredths: int) -> str:
    """`exact` with its sign always there."""
    return f"+{exact(hundredths)}" if hundredths > 0 else exact(hundredths)


@register.filter
def money(pack: dict[str, object]) -> str:
    """A pack's price: `amount` in minor units of `currency`."""
    code = str(pack["currency"])
    amount = from_minor(int(str(pack["amount"])), code)
    figure = f"{amount:,.2f}".removesuffix(".00")
    return f"{SYMBOLS[code]}{figure}" if code in SYMBOLS else f"{figure} {code.upper()}"


@register.filter
def paid_price(purchase: Purchase) -> str:
    """What a purchase cost, before tax."""
    return money({"amount": purchase.amount, "currency": purchase.currency})
