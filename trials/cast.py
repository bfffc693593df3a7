"""`python -m trials.cast N`: so many accounts with credits on the site that the environment names, their keys as JSON.

One process for all of them, because starting one for each takes a minute.
"""

from __future__ import annotations

import json
import sys

import django

CREDITS = 1_000_00


def price_keyer() -> None:
    """A price list that has the keyer too."""
    from django.utils import timezone

    from apps.credits import prices
    from apps.credits.models import PriceList
    from trials.keyer import KEYER, RATE

    now = prices.current()
    PriceList.objects.create(
        version=now.version + 1,
        starts_at=timezone.now(),
        rates={**now.rates, KEYER: RATE},
        packs=now.packs,
        free_grant=now.free_grant,
        preview_allowance=now.preview_allowance,
    )


def main(argv: list[str]) -> int:
    django.setup()
    from apps.accounts.models import User
    from apps.accounts.services import issue_key
    from apps.credits import services as credits

    price_keyer()
    keys = []
    for number in range(int(argv[0])):
        user = User.objects.create_user(f"trial-{number}@example.org")
        credits.grant(user, CREDITS, key=f"trial:{user.pk}", note="for a trial")
        keys.append(issue_key(user, name="trial")[1])
    print(json.dumps(keys))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
