"""What the house leaves alone for minutes, so that nobody still at work is disturbed, a trial waits for less long.

All of it stays longer than any freeze of the trial lasts.
"""

from __future__ import annotations

from datetime import timedelta

from django.apps import AppConfig

CLEARED_AFTER = timedelta(seconds=45)
"""Instead of ten minutes after an attempt's end."""
ASKED_AFTER = timedelta(seconds=30)
"""Instead of two minutes after a purchase was begun."""

STORED_AFTER = timedelta(minutes=3)
"""Instead of fifteen minutes after a file that was sent in one request began to be stored."""


class FastClocks(AppConfig):
    name = "trials.chaos.clocks"
    label = "chaos_clocks"

    def ready(self) -> None:
        from apps.jobs import reconcile, remains
        from apps.projects import services

        remains.SETTLED_AFTER = CLEARED_AFTER
        reconcile.LOOK_AT_STRIPE_AFTER = ASKED_AFTER
        services.ON_ITS_WAY = STORED_AFTER
