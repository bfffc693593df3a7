"""The site's own settings, with the keyer's door open and the slowest of the clean-up's clocks run faster."""

from trials.keyer_settings import *  # noqa: F403
from trials.keyer_settings import INSTALLED_APPS, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "trials.chaos.clocks.FastClocks"]
# Nobody looks at these pages, and to gather and compress what they show would take most of the start.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
