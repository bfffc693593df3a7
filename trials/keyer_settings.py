"""The site's own settings, with the keyer's door open (trials/keyer.py)."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "trials.keyer.KeyerDoor"]
