from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.jobs.pricing import price


@pytest.mark.parametrize(
    ("rate", "seconds", "amount"),
    [
        (45_00, 10.0, 7_50),
        (60_00, 0.1, 10),  # in binary 0.1 is a hair more than a tenth
        (60_00, 0.101, 11),
        (180_00, 60.0, 180_00),
        (60_00, 1 / 3, 34),
        (60_00, 0.0, 0),
        (60_00, 0.000001, 1),
        (45_00, 600.0, 450_00),
    ],
)
def test_price_rounds_up_once_to_a_hundredth(rate: int, seconds: float, amount: int) -> None:
    assert price(rate, seconds) == amount


@given(rate=st.integers(1, 1_000_000), seconds=st.floats(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_price_is_never_below_the_exact_one_nor_a_hundredth_above(rate: int, seconds: float) -> None:
    exact = rate * seconds / 60

    assert exact - 0.01 * (1 + rate / 1e4) <= price(rate, seconds) <= exact + 1.01
