"""Files through the API of a running site: uploads of all of them, jobs for a few, and what is kept and charged."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trials import look
from trials.index import Entry
from trials.judge import Outcome
from trials.site import Site

FACTS = ("width", "height", "fps", "duration", "has_audio", "rotation")
MODEL = "light"
CENT = 0.005


def upload(site: Site, entry: Entry) -> tuple[Outcome, dict[str, Any], list[str]]:
    """The outcome, the answer, and complaints about what a refusal left behind."""
    before, balance = site.kept(), site.balance()
    began = time.monotonic()
    status, body = site.upload(entry.path)
    seconds = time.monotonic() - began
    complaints = []
    if site.balance() != balance:
        complaints.append("an upload changed the balance")
    if status == 201:
        return Outcome(facts={name: body[name] for name in FACTS}, seconds=seconds), body, complaints
    if status != 422:
        complaints.append(f"status {status} instead of 422")
    if left := site.kept() - before:
        complaints.append(f"kept after a refusal: {', '.join(sorted(left))}")
    error = body.get("error", {})
    return Outcome(code=str(error.get("code")), message=str(error.get("message")), seconds=seconds), body, complaints


def job(site: Site, entry: Entry, video_url: str, folder: Path) -> Iterator[str]:
    """A whole job on an uploaded file, its price and its download."""
    balance, held = site.balance()
    status, made = site.submit(video_url=video_url, model=MODEL)
    if status != 201:
        yield f"job: {status} {made.get('error')}"
        return
    done = site.finished(made["id"])
    if done["status"] != "completed":
        yield f"job: {done['status']} {done['error_code']}: {done['error']}"
        return
    charged = done["credits"]["charged"]
    if not 0 < charged <= made["credits"]["held"]:
        yield f"job: charged {charged} of {made['credits']['held']} held"
    after = site.balance()
    if abs(balance - charged - after[0]) > CENT or abs(after[1] - held) > CENT:
        yield f"job: the balance is {after[0]} with {after[1]} held, expected {balance - charged} with {held}"
    target = folder / "download"
    site.download(done["output_url"], target)
    shown = look.output_times(target)
    target.unlink()
    if entry.frames is not None and len(shown.frames) != entry.frames:
        yield f"job: {len(shown.frames)} frames delivered, expected {entry.frames}"
    if away := look.strayed(shown, look.source_times(entry.path)):
        yield f"job: a frame is {float(away):.4f} s away from every time of the source"


def refused_job(site: Site, entry: Entry, address: str) -> Iterator[str]:
    """A job on an address that serves a file which must be refused: failed, free, and nothing of it kept."""
    before, balance = site.kept(), site.balance()
    status, made = site.submit(video_url=f"{address}/{quote(entry.name)}", model=MODEL)
    if status != 201:
        yield f"job by address: {status} {made.get('error')}"
        return
    done = site.finished(made["id"])
    if (done["status"], done["error_code"]) != ("failed", "unsupported_media"):
        yield f"job by address: {done['status']} {done['error_code']}"
    if site.balance() != balance:
        yield f"job by address: the balance went from {balance} to {site.balance()}"
    if left := site.kept() - before:
        yield f"job by address: kept {', '.join(sorted(left))}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *told: Any) -> None:
        """Not on the terminal."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """A folder as a web server on loopback: its address and port."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        try:
            yield f"http://127.0.0.1:{port}", port
        finally:
            server.shutdown()
