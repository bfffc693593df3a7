#!/usr/bin/env python
"""The door for people at a terminal."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        from apps.ops import advice  # needs the settings, which could not be read above

        if "--traceback" in sys.argv or not (words := advice.about(error)):
            raise
        sys.exit(f"error: {words}")
