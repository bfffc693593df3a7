"""One account under chaos: it brings clips, has them worked on, changes its mind and pays, as a careful client does.

Careful: a request that got no answer, or was told that a part is away, is sent again with its Idempotency-Key until
it is known what became of it. Everything it was told is kept, to be held against the records.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from trials.keyer import KEYER
from trials.site import ANSWER_SECONDS, FINAL

PAUSE_SECONDS = (0.5, 3.0)
MOST_UNFINISHED = 2
WAIT_SECONDS = 10
MOST_TRIES = 60
ABANDONED, DRAFTS, BY_ADDRESS = 0.2, 0.1, 0.15
FORMATS = (
    {"output_format": "mp4", "bg_type": "green"},
    {"output_format": "mp4", "bg_type": "color", "bg_color": "#102030"},
    {"output_format": "webm"},
    {"output_format": "mov"},
    {"output_format": "gif"},
)
PAY_PAGE = re.compile(r'href="(http[^"]+/pay/cs_[^"]+)"')
ACTIONS = {
    "bring": 2, "bring_in_parts": 2, "submit": 8, "ask": 14, "wait": 4, "look_around": 2, "cancel": 2, "delete": 2,
    "retry": 2, "download": 3, "pay": 2,
}  # fmt: skip
"""What it does next, and how gladly."""


@dataclass(frozen=True, slots=True)
class Answer:
    what: str
    began: float
    ended: float
    status: int
    """0: no answer at all."""
    code: str = ""
    """Of a refusal; `no envelope` for one without."""


@dataclass
class Patron:
    number: int
    url: str
    key: str
    session_key: str
    """Of a browser that is signed in."""
    clips: Sequence[Path]
    """The last one is large."""
    outside: str
    """Where the same clips are served, and events are received."""
    seed: str
    stop: threading.Event
    answers: list[Answer] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    """Its jobs, and what was last heard of each."""
    sources: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    unsure: int = 0
    """Requests of which it was never known what became of them."""
    downloads: int = 0
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/{self.number}")

    def live(self) -> None:
        try:
            self._live()
        except Exception as error:
            self.complaints.append(f"patron {self.number} did not understand an answer: {error!r}")
            raise

    def _live(self) -> None:
        self.bring()
        names, weights = list(ACTIONS), list(ACTIONS.values())
        while not self.stop.wait(self.chance.uniform(*PAUSE_SECONDS)):
            getattr(self, self.chance.choices(names, weights)[0])()
        # Of what is still to do it leaves one job, so that rest comes within reach.
        for job_id in self._unfinished()[1:]:
            self._keep_job(self.surely("POST", f"/v1/jobs/{job_id}/cancel", json={}))

    # -- bringing ---------------------------------------------------------------------------

    def bring(self) -> None:
        clip = self.chance.choice(self.clips[:-1])
        status, made = self.surely("POST", "/v1/uploads", clip=clip)
        self._keep_source(status, made)

    def bring_in_parts(self) -> None:
        clip = self.chance.choice(self.clips)
        whole = clip.read_bytes()
        asked = {"filename": clip.name, "size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
        status, begun = self.surely("POST", "/v1/uploads", json=asked)
        if status != 201:
            return
        upload, size = begun["upload_id"], begun["part_size"]
        for part in begun["parts"]:
            if not self._send(upload, part, whole[(part["number"] - 1) * size :][:size]):
                self.unsure += 1
                return
        if self.chance.random() < ABANDONED:
            self.surely("DELETE", f"/v1/uploads/{upload}")
            return
        for _ in range(MOST_TRIES):
            status, made = self.surely("POST", f"/v1/uploads/{upload}/complete", json={})
            # Another request is said to be at it: one of ours, whose end the database never heard of.
            if status != 409:
                break
            time.sleep(5)
        self._keep_source(status, made)

    def _send(self, upload: str, part: dict[str, Any], content: bytes) -> bool:
        """To the store itself, with fresh addresses where it would not have it."""
        for _ in range(MOST_TRIES):
            try:
                if requests.put(part["url"], data=content, timeout=ANSWER_SECONDS).status_code == 200:
                    return True
            except requests.RequestException:
                pass
            time.sleep(1)
            status, fresh = self.surely("POST", f"/v1/uploads/{upload}/parts", json={"numbers": [part["number"]]})
            part = fresh["parts"][0] if status == 200 else part
        return False

    def _keep_source(self, status: int, made: dict[str, Any]) -> None:
        if status == 201:
            self.sources.append(made["video_url"])
        elif status:
            self.complaints.append(f"a good clip was answered {status} {made}")

    # -- jobs -------------------------------------------------------------------------------

    def submit(self) -> None:
        if len(self._unfinished()) >= MOST_UNFINISHED or not self.sources:
            return
        source = self.chance.choice(self.sources[-3:])
        if self.chance.random() < BY_ADDRESS:
            source = f"{self.outside}/{self.chance.choice(self.clips[:-1]).name}"
        asked: dict[str, Any] = {"video_url": source, "model": KEYER, "webhook_url": f"{self.outside}/hook"}
        is_draft = self.chance.random() < DRAFTS
        asked |= {**self.chance.choice(FORMATS), "auto_start": not is_draft}
        status, made = self.surely("POST", "/v1/jobs", json=asked)
        if status == 201:
            self._hear(made)
            if is_draft:
                self._keep_job(self.surely("POST", f"/v1/jobs/{made['id']}/start", json={}))
        elif status == 402:
            self.pay()

    def ask(self) -> None:
        if job_id := self._some(self._unfinished() or list(self.jobs)):
            self._keep_job(self.call("GET", f"/v1/jobs/{job_id}"))

    def wait(self) -> None:
        if job_id := self._some(self._unfinished()):
            self._keep_job(self.call("GET", f"/v1/jobs/{job_id}?wait={WAIT_SECONDS}"))

    def look_around(self) -> None:
        for path in ("/v1/jobs?limit=50", "/v1/credits", "/v1/usage/summary?days=7"):
            self.call("GET", path)

    def cancel(self) -> None:
        if job_id := self._some(self._unfinished()):
            self._keep_job(self.surely("POST", f"/v1/jobs/{job_id}/cancel", json={}))

    def delete(self) -> None:
        """Finished or not."""
        if job_id := self._some(list(self.jobs)[-3:]):
            self._keep_job(self.surely("DELETE", f"/v1/jobs/{job_id}"))

    def retry(self) -> None:
        ended = [job_id for job_id, status in self.jobs.items() if status in ("failed", "canceled")]
        if (job_id := self._some(ended)) and len(self._unfinished()) < MOST_UNFINISHED:
            status, made = self.surely("POST", f"/v1/jobs/{job_id}/retry", json={})
            if status == 201:
                self._hear(made)

    def download(self) -> None:
        """What is delivered is what was proved, or, where it was deleted meanwhile, nothing."""
        job_id = self._some([job_id for job_id, status in self.jobs.items() if status == "completed"][-3:])
        job = self.call("GET", f"/v1/jobs/{job_id}")[1] if job_id else {}
        for output in job.get("outputs", ()):
            try:
                found = requests.get(output["url"], timeout=ANSWER_SECONDS) if output["url"] else None
            except requests.RequestException:
                continue
            if found is not None and found.status_code == 200:
                self.downloads += 1
                if hashlib.sha256(found.content).hexdigest() != output["sha256"]:
                    self.complaints.append(f"{output['kind']} of job {job_id} is not the file that was proved")

    def _keep_job(self, told: tuple[int, dict[str, Any]]) -> None:
        if told[0] in (200, 201):
            self._hear(told[1])

    def _hear(self, job: dict[str, Any]) -> None:
        before, now = self.jobs.get(job["id"]), job["status"]
        if before in FINAL and now != before:
            self.complaints.append(f"job {job['id']} was {before} and is {now}")
        self.jobs[job["id"]] = now

    def _unfinished(self) -> list[str]:
        return [job_id for job_id, status in self.jobs.items() if status not in FINAL]

    def _some(self, job_ids: Sequence[str]) -> str | None:
        return self.chance.choice(job_ids) if job_ids else None

    # -- paying -----------------------------------------------------------------------------

    def pay(self) -> None:
        """In the browser: to the payment page, however often that takes, and there to one of its ends."""
        fields = {"pack": "starter", "number": str(uuid.UUID(int=self.chance.getrandbits(128)))}
        action = self.chance.choices(("pay", "decline", "cancel", "expire"), (7, 1, 1, 1))[0]
        for _ in range(MOST_TRIES):
            if found := PAY_PAGE.search(self._browse("/credits/buy", fields)):
                break
            time.sleep(1)
        else:
            self.unsure += 1
            return
        for _ in range(MOST_TRIES):
            try:
                answer = requests.post(found[1], data={"action": action}, timeout=ANSWER_SECONDS, allow_redirects=False)
            except requests.RequestException:
                time.sleep(1)
                continue
            # Refused where the try before got through and only its answer was lost.
            if answer.status_code < 500:
                return

    def _browse(self, path: str, fields: dict[str, str]) -> str:
        token = "0123456789abcdef" * 2
        began = time.monotonic()
        try:
            answer = requests.post(
                f"{self.url}{path}", data=fields, headers={"X-CSRFToken": token}, timeout=ANSWER_SECONDS,
                cookies={"sessionid": self.session_key, "csrftoken": token}, allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            self._note(f"POST {path}: {type(error).__name__}", began, 0)
            return ""
        # Pages have no envelope to miss.
        self._note(f"POST {path}", began, answer.status_code, "service_unavailable")
        return answer.text if answer.status_code == 200 else ""

    # -- the wire ---------------------------------------------------------------------------

    def surely(
        self, method: str, path: str, *, clip: Path | None = None, json: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Until it is known what came of it. (0, {}) when that never became known."""
        headers = {"Idempotency-Key": str(uuid.UUID(int=self.chance.getrandbits(128)))} if method == "POST" else {}
        for _ in range(MOST_TRIES):
            status, body = self.call(method, path, clip=clip, json=json, headers=headers)
            code = code_of(status, body)
            if 0 < status < 500 and status != 429 and code != "idempotency_in_progress":
                return status, body
            time.sleep(1)
        self.unsure += 1
        return 0, {}

    def call(
        self,
        method: str,
        path: str,
        *,
        clip: Path | None = None,
        json: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        what, began = f"{method} {re.sub(r'[0-9a-f-]{36}', '…', path.partition('?')[0])}", time.monotonic()
        try:
            answer = self.session.request(
                method, f"{self.url}{path}", json=json, timeout=ANSWER_SECONDS,
                files={"file": (clip.name, clip.read_bytes(), "video/mp4")} if clip else None,
                headers={"X-Api-Key": self.key, **(headers or {})},
            )  # fmt: skip
            body: dict[str, Any] = answer.json()
        except requests.JSONDecodeError:
            self._note(what, began, answer.status_code, "no envelope")
            return answer.status_code, {}
        except requests.RequestException as error:
            self._note(f"{what}: {type(error).__name__}", began, 0)
            return 0, {}
        self._note(what, began, answer.status_code, code_of(answer.status_code, body))
        return answer.status_code, body

    def _note(self, what: str, began: float, status: int, code: str = "") -> None:
        self.answers.append(Answer(what, began, time.monotonic(), status, code))


def code_of(status: int, body: dict[str, Any]) -> str:
    """Of a refusal. What went well may well have an `error`, a job for one."""
    if status < 400:
        return ""
    error = body.get("error")
    return str(error["code"]) if isinstance(error, dict) and "code" in error else "no envelope"
