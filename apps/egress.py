"""The one way out to URLs users gave us: address, size and time limits.

A name is resolved once, every address it has must be public, and the checked address is the one that is dialled. Only
the exact host:port pairs in EGRESS_ALLOW are exempt. Not for addresses the operator configured (Stripe, S3).
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from AntiSSRF import AntiSSRFError, AntiSSRFPolicy, PolicyConfigOptions

# Private, but the only place where the library pins the address; the lock file pins the library.
from AntiSSRF._antissrf_agent import _AntiSSRFAdapter
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from apps.errors import AppError

MAX_REDIRECTS = 3
CHUNK_BYTES = 1 << 16
CONNECT_SECONDS = 10.0
EXCERPT_BYTES = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}

IPV4_IN_IPV6 = ("::/96", "::ffff:0:0:0/96")
"""IPv4-compatible and IPv4-translated addresses: both name an IPv4 host, and the library's list lacks them."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What was fetched; `final_url` is the address after redirects."""

    final_url: str
    content_type: str
    bytes: int
    sha256: str


class Deadline:
    """Ends an exchange at a moment on the clock, wherever it is.

    A read timeout alone is no limit: a server that sends one byte now and then never trips it. So the sockets
    themselves are shut down. A socket is held by a duplicate, because TLS takes the original object's descriptor away.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    @property
    def left(self) -> float:
        return self.ends_at - time.monotonic()

    @property
    def passed(self) -> bool:
        return self.left <= 0

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.append(sock.dup())
        if self.passed:
            self._shut()

    def _shut(self) -> None:
        with self._lock:
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # already closed by the other side

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()


_deadline: ContextVar[Deadline] = ContextVar("deadline")


class _WatchedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _deadline.get().watch(sock)
        return sock


class _WatchedTLSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _deadline.get().watch(sock)
        return sock


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLSConnection


class _PinnedAdapter(_AntiSSRFAdapter):
    """Dials only the address that was checked."""

    def build_connection_pool_key_attributes(self, request: requests.PreparedRequest, *args: Any) -> Any:
        attributes = super().build_connection_pool_key_attributes(request, *args)
        # The library writes the bare name here; without the port, signed URLs of S3-like stores do not verify.
        request.headers["Host"] = urlsplit(str(request.url)).netloc
        return attributes


class _Session(requests.Session):
    """Reads no answer by itself: of a redirect `requests` reads all, into memory, even where it follows none."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        return iter(())


def check(url: str) -> None:
    """Refuse, without dialling, a URL that no honest caller writes."""
    _sound(url)


def fetch(url: str, target: Path, *, max_bytes: int, seconds: float) -> FetchResult:
    """Save what `url` answers as `target`; on any refusal nothing is left there."""
    with _exchange(seconds) as deadline:
        for _ in range(MAX_REDIRECTS + 1):
            with _send("GET", url, deadline, headers={"Accept-Encoding": "identity"}) as response:
                location = response.headers.get("Location")
                if not response.is_redirect or location is None:
                    try:
                        size, digest = _save(response, target, max_bytes)
                    except BaseException:
                        target.unlink(missing_ok=True)
                        raise
                    return FetchResult(url, response.headers.get("Content-Type", ""), size, digest)
            url = urljoin(url, location)
    raise _refusal(f"The URL redirects more than {MAX_REDIRECTS} times: give the final address.")


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float = 15) -> tuple[int, str]:
    """(status, first part of the answer). A redirect is an answer like any other: it is not followed."""
    with _exchange(seconds) as deadline, _send("POST", url, deadline, headers=headers, body=body) as response:
        return response.status_code, _excerpt(response)


def _refusal(message: str) -> AppError:
    return AppError("fetch_failed", message)


@contextmanager
def _exchange(seconds: float) -> Iterator[Deadline]:
    """The clock around one exchange, and the network's failures put into words; our own disk's stay faults."""
    with Deadline(seconds) as deadline:
        token = _deadline.set(deadline)
        try:
            yield deadline
        except AntiSSRFError as error:
            raise _refusal("The URL points to an address that is not on the public internet.") from error
        except (requests.RequestException, HTTPError, socket.gaierror, UnicodeError) as error:
            raise _refusal(_why(error, deadline)) from error
        finally:
            _deadline.reset(token)


def _why(error: Exception, deadline: Deadline) -> str:
    if deadline.passed or isinstance(error, requests.ReadTimeout):
        return f"The server at that URL did not finish within {deadline.seconds:g} seconds."
    if isinstance(error, requests.exceptions.SSLError):
        return "The server at that URL has no valid TLS certificate."
    if isinstance(error, socket.gaierror | UnicodeError | requests.exceptions.InvalidURL):
        return "The host name in the URL cannot be found: check its spelling."
    if isinstance(error, requests.ConnectTimeout):
        return "The server at that URL does not answer."
    if isinstance(error, requests.ConnectionError):
        return "The server at that URL cannot be reached."
    return "The server at that URL broke the connection before the answer was complete."


def _sound(url: str) -> SplitResult:
    """The URL's parts, refusing what no honest caller writes."""
    if any(ord(char) <= 0x20 or char in "\\\x7f" for char in url):
        raise _refusal("The URL contains a space, a backslash or a control character: percent-encode it.")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where the port is no number
    except ValueError:
        raise _refusal("The URL cannot be read: check its host and port.") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise _refusal("The URL must start with https:// or http://.")
    if not parts.hostname:
        raise _refusal("The URL has no host.")
    if "@" in parts.netloc:
        raise _refusal("The URL contains a user name or password: use a signed URL instead.")
    return parts


def _is_exempt(parts: SplitResult) -> bool:
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}" in settings.EGRESS_ALLOW


def _adapter(parts: SplitResult) -> HTTPAdapter:
    adapter: HTTPAdapter
    if _is_exempt(parts):
        adapter = HTTPAdapter()
    else:
        policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
        policy.add_denied_addresses(list(IPV4_IN_IPV6))
        policy.allow_plain_text_http = True
        adapter = _PinnedAdapter(policy)
    adapter.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTLSPool}
    return adapter


@contextmanager
def _send(
    method: str, url: str, deadline: Deadline, *, headers: Mapping[str, str], body: bytes | None = None
) -> Iterator[requests.Response]:
    """One request, one connection, no redirect followed; each hop of a chain comes through here and is checked."""
    _sound(url)
    sent = {"User-Agent": f"Clearmatte/{settings.VERSION}", **headers}
    with _Session() as session:
        # A proxy from the environment would resolve the name by itself, past the check.
        session.trust_env = False
        prepared = session.prepare_request(requests.Request(method, url, headers=sent, data=body))
        # Judged by the URL as it will be dialled, so that no second reading of it can differ.
        parts = _sound(str(prepared.url))
        session.mount(f"{parts.scheme}://", _adapter(parts))
        left = max(deadline.left, 0.001)
        timeout = (min(CONNECT_SECONDS, left), left)
        with session.send(prepared, timeout=timeout, stream=True, allow_redirects=False) as response:
            # Headers that the deadline cut off read as if they had ended there.
            if deadline.passed:
                raise requests.ConnectionError("cut off")
            yield response


def _save(response: requests.Response, target: Path, max_bytes: int) -> tuple[int, str]:
    """(bytes, sha256) of the body, which must be complete, uncompressed and within the limit."""
    if response.status_code != 200:
        raise _refusal(f"The server at that URL answered {response.status_code} instead of 200.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _refusal("The server at that URL sends a compressed answer: serve the file itself.")
    promised = response.headers.get("Content-Length", "")
    expected = int(promised) if promised.isascii() and promised.isdigit() else None
    too_large = AppError("file_too_large", f"The file at that URL is larger than {max_bytes / 1e6:g} MB.")
    if expected is not None and expected > max_bytes:
        raise too_large
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            digest.update(chunk)
            file.write(chunk)
    if _deadline.get().passed or (expected is not None and size != expected):
        raise HTTPError("short body")
    if size == 0:
        raise _refusal("The file at that URL is empty.")
    return size, digest.hexdigest()


def _excerpt(response: requests.Response) -> str:
    """What the receiver said, for its owner to read; the status alone decides, so a broken body is no failure."""
    text = b""
    try:
        while len(text) < EXCERPT_BYTES and (chunk := response.raw.read1(EXCERPT_BYTES, decode_content=False)):
            text += chunk
    except HTTPError:
        pass
    # PostgreSQL refuses NUL in text.
    return text[:EXCERPT_BYTES].decode("utf-8", "replace").replace("\0", "")
