"""The world beside the site: a server whose clips are fetched and which receives events."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trials.api import Quiet


@dataclass
class Outside:
    address: str
    place: str
    """host:port"""
    heard: list[tuple[str, str, str]] = field(default_factory=list)
    """(delivery, event, job)"""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    outside: Outside


class Handler(Quiet):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        subject = body.get("data", body)
        told = (self.headers["webhook-id"], self.headers["X-Webhook-Event"], str(subject.get("id", "")))
        self.server.outside.heard.append(told)
        self.send_response(204)
        self.end_headers()


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """The folder's clips on loopback, and an ear for whatever is posted."""
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        place = f"127.0.0.1:{server.server_port}"
        server.outside = Outside(f"http://{place}", place)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.outside
        finally:
            server.shutdown()
