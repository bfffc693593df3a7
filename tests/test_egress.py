"""The way out: what it refuses to dial, and what it does with servers that misbehave.

Nothing here connects anywhere but to loopback: names are answered by a table, and a dial to any other address is
refused by the stub before a packet leaves.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps import egress
from apps.errors import AppError
from tests.fakes import FileServer, Page, Receiver, file_server, webhook_receiver
from tests.tricks import MORE_TRICKS, NOT_FOUND, NOT_PUBLIC, SCHEME, TRICKS

PUBLIC = "93.184.215.14"

NAMES = {
    "localhost": ["127.0.0.1"],
    "inside.example": ["10.0.0.5"],
    "half.example": [PUBLIC, "192.168.1.1"],
    "outside.example": [PUBLIC],
    "metadata.example": ["169.254.169.254"],
    "six.example": ["fd00:ec2::254"],
}


class Network:
    """Answers names from a table and notes what is dialled; only loopback ports named in `open` are let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.open: set[int] = set()
        self.names = {name: list(addresses) for name, addresses in NAMES.items()}
        self.really_resolve = socket.getaddrinfo
        self.really_connect = socket.socket.connect
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)
        connect: Callable[[socket.socket, Any], None] = lambda sock, address: self.connect(sock, address)  # noqa: E731
        monkeypatch.setattr(socket.socket, "connect", connect)

    def resolve(self, host: str, port: int | None, *args: Any, **kwargs: Any) -> list[Any]:
        if (name := host.lower().rstrip(".")) in self.names:
            found = []
            for address in self.names[name]:
                found += self.really_resolve(address, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
            return found
        # Numbers in every spelling the C library knows; a name that is not in the table asks nobody.
        return self.really_resolve(host, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)

    def connect(self, sock: socket.socket, address: Any) -> None:
        self.dialled.append(address[:2])
        if address[0] == "127.0.0.1" and address[1] in self.open:
            return self.really_connect(sock, address)
        raise ConnectionRefusedError("the test's network goes nowhere")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.fixture
def server(network: Network, settings: Settings) -> Iterator[FileServer]:
    with file_server() as running:
        network.open.add(int(running.target.split(":")[1]))
        settings.EGRESS_ALLOW = [running.target]
        yield running


@pytest.fixture
def receiver(network: Network, settings: Settings) -> Iterator[Receiver]:
    with webhook_receiver() as running:
        network.open.add(int(running.target.split(":")[1]))
        settings.EGRESS_ALLOW = [running.target]
        yield running


def refusal(url: str, target: Path, *, max_bytes: int = 1000, seconds: float = 5) -> str:
    with pytest.raises(AppError) as caught:
        egress.fetch(url, target, max_bytes=max_bytes, seconds=seconds)
    assert caught.value.code == "fetch_failed"
    assert not target.exists()
    return caught.value.message


@pytest.mark.parametrize("url", [*TRICKS, *MORE_TRICKS])
def test_a_trick_is_refused_before_anything_is_dialled(url: str, network: Network, tmp_path: Path) -> None:
    expected = {**TRICKS, **MORE_TRICKS}[url]
    assert refusal(url, tmp_path / "got") == expected
    with pytest.raises(AppError) as caught:
        egress.post(url, b"{}", {})
    assert caught.value.message == expected
    assert network.dialled == []


def test_a_redirect_is_no_way_around_the_table(server: FileServer, network: Network, tmp_path: Path) -> None:
    """Only the server that redirects is dialled, once for each trick."""
    everything = {**TRICKS, **MORE_TRICKS}
    # Without a host a Location is relative: it stays on the server that was asked.
    tricks = {url: everything[url] for url in everything if url.isascii() and re.match(r"\w+://[^/]", url)}
    for number, (url, message) in enumerate(tricks.items()):
        hop = server.add(f"/{number}", Page(status=302, headers={"Location": url}))
        assert refusal(hop, tmp_path / "got") == message, url

    assert len(tricks) > 60
    assert network.dialled == [("127.0.0.1", int(server.target.split(":")[1]))] * len(tricks)


def test_there_are_28_tricks() -> None:
    assert len(TRICKS) == 28


def test_a_name_that_changes_its_answer_is_dialled_at_the_checked_address(network: Network, tmp_path: Path) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    resolve = network.resolve

    def rebinding(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        if host == "rebind.example":
            network.names[host] = next(answers)
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = rebinding  # type: ignore[assignment]  # put back by the network fixture

    message = refusal("http://rebind.example/", tmp_path / "got")

    assert message == "The server at that URL cannot be reached."
    assert network.dialled == [(PUBLIC, 80)]


def test_a_proxy_in_the_environment_is_not_asked(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")

    refusal("http://outside.example/", tmp_path / "got")

    assert network.dialled == [(PUBLIC, 80)]


def test_the_host_header_keeps_name_and_port_while_the_address_is_dialled(
    server: FileServer, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The pinned path with a real answer: loopback counts as public for this one test."""
    port = int(server.target.split(":")[1])
    server.add("/clip", Page(b"abc"))
    network.names["outside.example"] = ["127.0.0.1"]
    monkeypatch.setattr(egress.AntiSSRFPolicy, "_is_network_connection_allowed", lambda *_: True)

    result = egress.fetch(f"http://outside.example:{port}/clip", tmp_path / "got", max_bytes=10, seconds=5)

    assert result.bytes == 3
    assert server.hosts == [f"outside.example:{port}"]
    assert network.dialled == [("127.0.0.1", port)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://nowhere.example/", NOT_FOUND),
        ("http://outside.example:port/", "The URL cannot be read: check its host and port."),
        ("http:///clip.mp4", "The URL has no host."),
        ("ftp://outside.example/clip.mp4", SCHEME),
        ("clip.mp4", SCHEME),
        (
            "http://outside.example\\@127.0.0.1/",
            "The URL contains a space, a backslash or a control character: percent-encode it.",
        ),
        (
            "http://outside.example/a\r\nHost: x",
            "The URL contains a space, a backslash or a control character: percent-encode it.",
        ),
    ],
)
def test_a_url_that_is_no_address_is_explained(url: str, message: str, network: Network, tmp_path: Path) -> None:
    assert refusal(url, tmp_path / "got") == message
    assert network.dialled == []


def test_an_exempt_target_is_fetched(server: FileServer, tmp_path: Path) -> None:
    body = bytes(range(256)) * 3
    url = server.add("/clip.mp4?a=1", Page(body, headers={"Content-Type": "video/mp4"}))

    result = egress.fetch(url, tmp_path / "got", max_bytes=768, seconds=5)

    assert (tmp_path / "got").read_bytes() == body
    assert result == egress.FetchResult(url, "video/mp4", 768, hashlib.sha256(body).hexdigest())


def test_only_the_exact_host_and_port_are_exempt(
    server: FileServer, network: Network, settings: Settings, tmp_path: Path
) -> None:
    host, port = server.target.split(":")
    server.add("/clip", Page(b"abc"))

    assert refusal(f"http://localhost:{port}/clip", tmp_path / "got") == NOT_PUBLIC
    settings.EGRESS_ALLOW = [f"{host}:{int(port) + 1}", host, "127.0.0.1:*"]
    assert refusal(f"http://{server.target}/clip", tmp_path / "got") == NOT_PUBLIC
    assert network.dialled == []


def test_redirects_are_followed_to_a_public_or_exempt_address_only(
    server: FileServer, network: Network, tmp_path: Path
) -> None:
    server.add("/clip", Page(b"abc"))
    server.add("/hop", Page(status=302, headers={"Location": "/clip"}))
    away = server.add("/away", Page(status=307, headers={"Location": "http://169.254.169.254/secret"}))
    other_port = server.add("/port", Page(status=302, headers={"Location": "http://127.0.0.1:1/"}))
    a_file = server.add("/file", Page(status=302, headers={"Location": "file:///etc/passwd"}))

    result = egress.fetch(f"http://{server.target}/hop", tmp_path / "got", max_bytes=10, seconds=5)
    (tmp_path / "got").unlink()

    assert result.final_url == f"http://{server.target}/clip"
    assert refusal(away, tmp_path / "got") == NOT_PUBLIC
    assert refusal(other_port, tmp_path / "got") == NOT_PUBLIC
    assert refusal(a_file, tmp_path / "got") == SCHEME
    assert {address for address, _ in network.dialled} == {"127.0.0.1"}


def test_three_redirects_are_followed_and_a_fourth_is_not(server: FileServer, tmp_path: Path) -> None:
    server.add("/0", Page(b"abc"))
    for number in range(1, 5):
        server.add(f"/{number}", Page(status=301, headers={"Location": f"/{number - 1}"}))

    assert egress.fetch(f"http://{server.target}/3", tmp_path / "got", max_bytes=10, seconds=5).bytes == 3
    (tmp_path / "got").unlink()
    message = refusal(f"http://{server.target}/4", tmp_path / "got")
    assert message == "The URL redirects more than 3 times: give the final address."
    assert server.asked == ["/3", "/2", "/1", "/0", "/4", "/3", "/2", "/1"]


def test_what_a_redirect_says_is_not_read(server: FileServer, tmp_path: Path) -> None:
    """It may never end, and would be kept in memory until the time is up."""
    server.add("/clip", Page(b"abc"))
    hop = server.add("/hop", Page(status=302, headers={"Location": "/clip"}, endless=True))

    assert egress.fetch(hop, tmp_path / "got", max_bytes=10, seconds=1).bytes == 3


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page(b"no", status=404), "The server at that URL answered 404 instead of 200."),
        (Page(b""), "The file at that URL is empty."),
        (
            Page(b"abc", promise=900),
            "The server at that URL broke the connection before the answer was complete.",
        ),
        (
            Page(b"abc", headers={"Content-Encoding": "gzip"}),
            "The server at that URL sends a compressed answer: serve the file itself.",
        ),
    ],
    ids=["missing", "empty", "cut", "compressed"],
)
def test_a_bad_answer_is_explained(page: Page, message: str, server: FileServer, tmp_path: Path) -> None:
    assert refusal(server.add("/clip", page), tmp_path / "got") == message


@pytest.mark.parametrize("page", [Page(b"a" * 1_000_001), Page(endless=True)], ids=["large", "endless"])
def test_a_file_over_the_limit_is_a_matter_of_size_not_of_fetching(
    page: Page, server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(AppError) as caught:
        egress.fetch(server.add("/clip", page), tmp_path / "got", max_bytes=1_000_000, seconds=5)

    assert (caught.value.code, caught.value.message) == (
        "file_too_large",
        "The file at that URL is larger than 1 MB.",
    )
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    "page",
    [Page(b"x" * 500, pause=0.05), Page(pause=0.05, slow_headers=True)],
    ids=["slow body", "slow headers"],
)
def test_a_dribbling_server_is_left_when_the_time_is_up(page: Page, server: FileServer, tmp_path: Path) -> None:
    """Each byte arrives well inside any read timeout; only the clock over all of it ends this."""
    started = time.monotonic()

    message = refusal(server.add("/slow", page), tmp_path / "got", seconds=0.6)

    assert message == "The server at that URL did not finish within 0.6 seconds."
    assert time.monotonic() - started < 2


def test_a_full_disk_is_a_fault_and_not_blamed_on_the_url(server: FileServer, tmp_path: Path) -> None:
    url = server.add("/clip", Page(b"abc"))

    with pytest.raises(FileNotFoundError):
        egress.fetch(url, tmp_path / "no such folder" / "got", max_bytes=10, seconds=5)


def test_post_sends_the_body_and_tells_the_answer(receiver: Receiver) -> None:
    receiver.answers.append(503)

    status, excerpt = egress.post(receiver.url, b'{"a": 1}', {"X-Test": "yes"})

    assert (status, excerpt) == (503, "thank you")
    assert [r.body for r in receiver.requests] == [b'{"a": 1}']
    assert receiver.requests[0].headers["x-test"] == "yes"


def test_post_follows_no_redirect(receiver: Receiver, network: Network) -> None:
    receiver.answers.append(302)
    receiver.headers["Location"] = "/elsewhere"

    status, excerpt = egress.post(receiver.url, b"{}", {})

    assert (status, excerpt) == (302, "thank you")
    assert [r.path for r in receiver.requests] == ["/hook"]


def test_post_gives_up_when_the_time_is_up(receiver: Receiver) -> None:
    receiver.pause = 1.0

    with pytest.raises(AppError) as caught:
        egress.post(receiver.url, b"{}", {}, seconds=0.3)

    assert caught.value.message == "The server at that URL did not finish within 0.3 seconds."
