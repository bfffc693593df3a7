"""A site of its own for a trial: empty, on a free port, in a folder that goes with it; and a caller of its API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]

START_SECONDS = 600
STOP_SECONDS = 60
ANSWER_SECONDS = 120
JOB_SECONDS = 900
CREDITS = "10000"
FINAL = ("completed", "failed", "canceled")


class SiteFailed(Exception):
    """The site did not start, or answered what no caller can use."""


@dataclass
class Site:
    """A running site with one account, and what it keeps. `environment` is what its processes are told."""

    url: str
    data_dir: Path
    session: requests.Session
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    """Of the process that keeps all others."""

    def upload(self, path: Path) -> tuple[int, dict[str, Any]]:
        """Status and body of POST /v1/uploads, under the file's own name."""
        with path.open("rb") as file:
            return self._call("POST", "/v1/uploads", files={"file": (path.name, file, "application/octet-stream")})

    def submit(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        return self._call("POST", "/v1/jobs", json=fields)

    def finished(self, job_id: str) -> dict[str, Any]:
        ends_at = time.monotonic() + JOB_SECONDS
        while time.monotonic() < ends_at:
            job = self.get(f"/v1/jobs/{job_id}?wait=30")
            if job["status"] in FINAL:
                return job
        raise SiteFailed(f"job {job_id} did not end within {JOB_SECONDS} s")

    def get(self, path: str) -> dict[str, Any]:
        status, body = self._call("GET", path)
        if status != 200:
            raise SiteFailed(f"GET {path}: {status} {body}")
        return body

    def download(self, url: str, target: Path) -> None:
        answer = requests.get(url, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        target.write_bytes(answer.content)

    def balance(self) -> tuple[float, float]:
        """(balance, held), in credits."""
        told = self.get("/v1/credits")
        return told["balance"], told["held"]

    def kept(self) -> set[str]:
        """Every file among the media, and what work in progress left behind."""
        folders = (self.data_dir / "media", self.data_dir / "scratch")
        return {str(path) for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()}

    def _call(self, method: str, path: str, **how: Any) -> tuple[int, dict[str, Any]]:
        answer = self.session.request(method, f"{self.url}{path}", timeout=ANSWER_SECONDS, **how)
        try:
            body: dict[str, Any] = answer.json()
        except ValueError:
            raise SiteFailed(f"{method} {path}: {answer.status_code} and no JSON") from None
        return answer.status_code, body


@contextmanager
def running_site(*, models_dir: Path, egress_allow: str = "", **told: str) -> Iterator[Site]:
    """Start it, with some settings of its own, make an account, and stop it again."""
    with tempfile.TemporaryDirectory(prefix="trial-site-") as name:
        data_dir = Path(name)
        if models_dir.is_dir():
            (data_dir / "models").symlink_to(models_dir.resolve())
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {**_environment(data_dir, url, port, egress_allow), **told}
        log = data_dir / "site.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "manage.py", "run", "--no-models", "--with-parent"],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            _wait_until_ready(server, url, log)
            with requests.Session() as session:
                session.headers["X-Api-Key"] = _account(environment)
                yield Site(url, data_dir, session, environment, server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _environment(data_dir: Path, url: str, port: int, egress_allow: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "DATA_DIR": str(data_dir),
        "PORT": str(port),
        "SITE_URL": url,
        "SANDBOX": "1",
        # A .env file configures the real site; these win over it.
        "DATABASE_URL": f"sqlite:///{data_dir}/db.sqlite3",
        "REDIS_URL": "",
        "S3_BUCKET": "",
        "EGRESS_ALLOW": egress_allow,
        "API_WRITES_PER_MINUTE": "6000",
        "API_READS_PER_MINUTE": "6000",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and server.poll() is None:
        try:
            if requests.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise SiteFailed(f"the site did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _account(environment: dict[str, str]) -> str:
    command = ["manage.py", "create_account", "trial@example.org", "--credits", CREDITS, "--json"]
    made = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SiteFailed(f"no account could be made: {made.stderr[-1000:]}")
    return str(json.loads(made.stdout.splitlines()[-1])["api_key"])
