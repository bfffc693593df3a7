"""Stand-ins for what is outside the house: a webhook receiver and a file server, both over real HTTP on loopback."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is part of these tests."""


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yield host:port of a running server."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Receiver:
    """Takes webhooks; answers 200, or the statuses queued in `answers` first."""

    target: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds before answering
    hold: threading.Event | None = None  # what it waits for before answering
    drip: bool = False  # after its status it says a letter now and then, for ever

    @property
    def url(self) -> str:
        return f"http://{self.target}/hook"

    def wait_for(self, count: int, *, seconds: float = 20.0) -> list[Received]:
        ends_at = time.monotonic() + seconds
        while len(self.requests) < count and time.monotonic() < ends_at:
            time.sleep(0.02)
        assert len(self.requests) >= count, f"{len(self.requests)} of {count} webhooks came in {seconds} s"
        return self.requests


@contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            time.sleep(receiver.pause)
            if receiver.hold:
                receiver.hold.wait(30)
            receiver.requests.append(Received(self.path, headers, body))
            self.send_response(receiver.answers.popleft() if receiver.answers else 200)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            while receiver.drip:
                self.wfile.write(b".")
                time.sleep(0.05)
            self.wfile.write(b"thank you")

        def log_message(self, *_: object) -> None: ...

    with _serving(Handler) as target:
        receiver.target = target
        yield receiver


@dataclass(frozen=True)
class Page:
    """What one path answers. `promise` overrides Content-Length; `pause` is slept between single bytes."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    promise: int | None = None
    pause: float = 0.0
    endless: bool = False
    slow_headers: bool = False


@dataclass
class FileServer:
    target: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)  # the Host header of each request

    def add(self, path: str, page: Page) -> str:
        self.pages[path] = page
        return f"http://{self.target}{path}"


def _answer(handler: BaseHTTPRequestHandler, page: Page) -> None:
    if page.slow_headers:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        while True:
            handler.wfile.write(b".")
            time.sleep(page.pause)
    handler.send_response(page.status)
    for name, value in page.headers.items():
        handler.send_header(name, value)
    if not page.endless:
        handler.send_header("Content-Length", str(len(page.body) if page.promise is None else page.promise))
    handler.end_headers()
    while page.endless:
        handler.wfile.write(bytes(65536))
    if not page.pause:
        handler.wfile.write(page.body)
        return
    for byte in page.body:
        handler.wfile.write(bytes([byte]))
        time.sleep(page.pause)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serves its `pages`: whole, slow, cut short, endless or somewhere else."""
    server = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            server.hosts.append(self.headers["Host"])
            _answer(self, server.pages.get(self.path, Page(b"no such page", status=404)))

        def log_message(self, *_: object) -> None: ...

    with _serving(Handler) as target:
        server.target = target
        yield server
