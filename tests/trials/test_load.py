"""How a crowd's minute on a site is judged, and what one of the crowd does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from trials import crowd, load
from trials.crowd import READ, WAIT, WRITE, Account, Answer


def at(second: float | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def job(created: float, started: float | None = None, completed: float | None = None) -> dict[str, Any]:
    status = "completed" if completed is not None else "queued"
    return {"created_at": at(created), "started_at": at(started), "completed_at": at(completed), "status": status}


def answers(kind: str, *seconds: float, status: int = 200) -> list[Answer]:
    return [Answer(kind, each, status, f"{kind} it") for each in seconds]


def test_a_good_minute_has_no_complaints() -> None:
    told = [*answers(READ, *[0.1] * 99, 5.0), *answers(WRITE, 2.0), *answers(WAIT, 20.0)]

    report = load.judged(told, {0: [job(0, 1, 2), job(0, 3, 4)], 1: [job(0, 2, 3)]}, seconds=60)

    assert report.complaints == []
    assert (report.requests, report.waits, report.submitted, report.finished, report.first_started) == (102, 1, 3, 3, 2)
    assert (report.read_p50, report.read_p95, report.read_max, report.write_p95) == (0.1, 0.1, 5.0, 2.0)
    assert "FAIL" not in "\n".join(report.lines())


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (answers(READ, 0.1, status=503), "1 × read it 503"),
        (answers(READ, 0.1, status=0), "1 × read it no answer"),
        (answers(READ, 0.3), "reads: 95 of 100 within 300 ms, not 250"),
    ],
)
def test_a_bad_minute_is_told(bad: list[Answer], complaint: str) -> None:
    report = load.judged(bad, {0: [job(0, 1, 2)]}, seconds=60)

    assert report.complaints == [complaint]
    assert f"FAIL {complaint}" in list(report.lines())


def test_a_minute_in_which_nothing_was_done_is_a_bad_one() -> None:
    assert load.judged([], {0: [job(0)]}, seconds=60).complaints == ["no job was finished"]


def test_a_limit_is_no_fault() -> None:
    report = load.judged(answers(READ, 0.1, status=429), {0: [job(0, 1, 2)]}, seconds=60)

    assert (report.limited, report.complaints) == (1, [])


def test_turns_are_counted_while_another_account_waits() -> None:
    greedy = [job(0, second, second + 1) for second in range(1, 6)]

    assert load.most_turns({0: greedy, 1: [job(1.5, 6, 7)]}) == 4
    assert load.most_turns({0: greedy, 1: [job(1.5)]}) == 4
    assert load.most_turns({0: greedy, 1: [job(1.5, 2.5, 2.6)]}) == 1


def test_an_account_that_has_something_running_does_not_wait() -> None:
    """Its second job waits for the first, however long that takes."""
    greedy = [job(1.5, second, second + 1) for second in range(2, 6)]

    assert load.most_turns({0: greedy, 1: [job(0, 1, 6), job(0, 7, 8)]}) == 0


class Site:
    """Answers what the API would, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def request(self, method: str, url: str, **_: Any) -> Any:
        self.asked.append((method, url))
        answer = requests.Response()
        answer.status_code = 201 if method == "POST" else 200
        answer._content = b'{"id": "1", "status": "completed"}'
        return answer


def test_an_account_asks_after_its_job_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    account = Account(number=1, url="http://site", key="cm_x", session=site)  # type: ignore[arg-type]
    monkeypatch.setattr(crowd, "PAUSE_SECONDS", 0.001)
    stop = threading.Event()
    monkeypatch.setattr(Account, "ask", lambda self, turn, ask=Account.ask: (ask(self, turn), stop.set()))

    account.live(stop)

    assert site.asked == [("POST", "http://site/v1/jobs"), ("GET", "http://site/v1/jobs/1")]
    assert account.unfinished == []
    assert [(answer.kind, answer.status) for answer in account.answers] == [(WRITE, 201), (READ, 200)]


def test_no_answer_is_noted_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(number=1, url="http://127.0.0.1:9", key="cm_x")

    assert account.call(READ, "GET", "/v1/jobs") == {}

    assert [(answer.status, answer.what) for answer in account.answers] == [(0, "GET /v1/jobs: ConnectionError")]
