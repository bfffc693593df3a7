import doctest
from decimal import Decimal

import pytest

from apps.credits import amounts
from apps.credits.amounts import from_credits, to_credits
from apps.errors import AppError


def test_the_docstrings_examples_hold():
    assert doctest.testmod(amounts).failed == 0


@pytest.mark.parametrize(
    ("hundredths", "credits"),
    [(0, 0), (1, 0.01), (750, 7.5), (6000, 60), (-1999, -19.99), (10**11 - 1, 999_999_999.99)],
)
def test_to_credits_and_back_changes_nothing(hundredths, credits):
    assert to_credits(hundredths) == credits
    assert from_credits(credits) == hundredths


def test_to_credits_of_whole_amounts_is_an_integer():
    assert repr(to_credits(6000)) == "60"


@pytest.mark.parametrize("amount", [Decimal("7.50"), 7.5, "7.5", " 7.5 "])
def test_from_credits_takes_every_spelling(amount):
    assert from_credits(amount) == 750


@pytest.mark.parametrize("amount", ["7.505", "abc", "", "NaN", "Infinity", "1e30", 0.001])
def test_from_credits_refuses_what_it_cannot_keep_exactly(amount):
    with pytest.raises(AppError) as refusal:
        from_credits(amount, param="amount")

    assert (refusal.value.code, refusal.value.param) == ("invalid_request", "amount")
