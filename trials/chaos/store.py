"""`python -m trials.chaos.store FOLDER PORT`: an S3-compatible store that fails as the file FOLDER/mode says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

REFUSES, HANGS, CUTS = "refuses", "hangs", "cuts"
TICK = 0.1
REFUSAL = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Quiet(MotoRequestHandler):
    def log(self, *_: object) -> None: ...


class Cut(Exception):
    """Raised while an answer is sent, which breaks the connection."""


def failing(app: Wsgi, mode: Path) -> Wsgi:
    """The store behind its faults; without the file `mode` it has none."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        while (now := read(mode)) == HANGS:
            time.sleep(TICK)
        if now == REFUSES:
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [REFUSAL]
        whole = app(environ, start)
        return half(whole) if now == CUTS else whole

    return answer


def half(whole: Iterable[bytes]) -> Iterator[bytes]:
    """What was asked is done, and the answer to it is lost on its way."""
    for chunk in whole:
        yield chunk[: len(chunk) // 2]
        break
    raise Cut


def read(mode: Path) -> str:
    try:
        return mode.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def main(argv: list[str]) -> int:
    folder, port = Path(argv[0]), int(argv[1])
    app = failing(DomainDispatcherApplication(create_backend_app), folder / "mode")
    make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
