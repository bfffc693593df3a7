from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.credits import prices
from apps.credits.models import PriceList

pytestmark = pytest.mark.django_db

PACK = {"id": "one", "name": "One", "credits": 100, "amount": 100, "currency": "usd"}
RATES = {"original": 1, "light": 1, "human": 1, "pro": 1}


def make_prices(version: int, *, days: int) -> PriceList:
    starts_at = timezone.now() + timedelta(days=days)
    return PriceList.objects.create(version=version, starts_at=starts_at, rates=RATES, packs=[PACK], free_grant=0)


def test_the_first_list_comes_with_the_migrations():
    assert prices.current().version == 1
    assert prices.current().rates == {"original": 6000, "light": 4500, "human": 4500, "pro": 18000}


def test_a_list_counts_from_its_start(settings):
    make_prices(2, days=-1)
    make_prices(3, days=1)

    assert prices.current().version == 2


def test_public_is_in_credits():
    body = prices.public()

    assert body["model_pricing_credits_per_minute"] == {"original": 60, "light": 45, "human": 45, "pro": 180}
    assert body["packages"][0] == {"id": "starter", "name": "Starter", "credits": 100, "amount": 900, "currency": "usd"}
    assert body["free_grant"] == 20
    assert body["limits"]["max_seconds"] == 600
    assert [body["limits"][f"{name}_per_minute"] for name in ("writes", "reads")] == [60, 600]
    assert body["limits"]["jobs_at_once"] == 3
    assert (body["limits"]["result_days"], body["limits"]["matte_days"], body["limits"]["source_hours"]) == (7, 7, 24)
    assert body["limits"]["formats"]["gif"] == {"max_seconds": 20, "max_short_side": 720}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rates", {"original": 1}),
        ("rates", {**RATES, "pro": 1.5}),
        ("rates", {**RATES, "pro": 0}),
        ("rates", []),
        ("packs", {"id": "one"}),
        ("packs", [{**PACK, "credits": "100"}]),
        ("packs", [{**PACK, "amount": 0}]),
        ("packs", [{**PACK, "currency": "dollars"}]),
        ("packs", [PACK, PACK]),
    ],
)
def test_an_incomplete_list_is_refused(field, value):
    fields = {"rates": RATES, "packs": [PACK], field: value}

    with pytest.raises(ValidationError) as refusal:
        PriceList(version=2, starts_at=timezone.now(), free_grant=0, **fields).full_clean()

    assert list(refusal.value.message_dict) == [field]


def test_a_complete_list_is_accepted():
    PriceList(version=2, starts_at=timezone.now(), rates=RATES, packs=[PACK], free_grant=0).full_clean()


def test_the_list_that_started_last_counts_whatever_its_number():
    make_prices(2, days=-1)
    make_prices(3, days=-2)

    assert prices.current().version == 2
