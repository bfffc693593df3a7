"""A site that also takes the weights-free keyer as a model: for trials that ask what the house costs, not its networks.

Such a site runs under `trials.keyer_settings`; no variable and no request opens this door.
"""

from __future__ import annotations

from django.apps import AppConfig

KEYER = "chroma"
RATE = 600
"""1/100 credits a minute."""


class KeyerDoor(AppConfig):
    name = "trials.keyer"
    label = "keyer"

    def ready(self) -> None:
        from apps.jobs import options

        options.MODELS = (*options.MODELS, KEYER)  # type: ignore[assignment, attr-defined]
