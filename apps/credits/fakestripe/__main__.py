"""`python -m apps.credits.fakestripe`: the sandbox's Stripe, by default exactly where the site looks for it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from django.conf import settings

from apps.credits.fakestripe.server import Server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m apps.credits.fakestripe", description=__doc__)
    parser.add_argument("--port", type=int, default=settings.STRIPE_FAKE_PORT)
    parser.add_argument("--webhook", metavar="URL", default=f"{settings.SITE_URL}/stripe/webhook")
    parser.add_argument("--state", metavar="FILE", type=Path, default=settings.DATA_DIR / "fakestripe" / "state.json")
    return parser.parse_args()


def main() -> int:
    if not settings.STRIPE_IS_FAKE:
        sys.stderr.write("fakestripe gives credits away: it only runs with SANDBOX=1 and without STRIPE_SECRET_KEY.\n")
        return 2
    given = arguments()
    try:
        server = Server(
            given.port,
            state=given.state,
            webhook=given.webhook,
            secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        )
    except OSError as error:
        sys.stderr.write(f"fakestripe cannot listen on port {given.port}: {error.strerror}\n")
        return 1
    # shutdown() waits for the loop that this signal interrupts, so it needs a thread of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever(poll_interval=0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
