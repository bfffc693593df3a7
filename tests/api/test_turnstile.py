"""Few requests are worked on at once, and whoever only waits lets others in."""

from __future__ import annotations

import threading

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from apps.api import turnstile
from apps.api.turnstile import READS_AHEAD, Turnstile, TurnstileMiddleware, outside
from tests.live import wait_for


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "_turnstile", Turnstile(1))


def start(middleware: TurnstileMiddleware, request) -> threading.Thread:
    thread = threading.Thread(target=middleware, args=(request,))
    thread.start()
    return thread


def test_a_second_request_waits_for_the_first(one_place, rf: RequestFactory):
    inside, go_on, seen = threading.Semaphore(0), threading.Event(), []

    def view(request):
        seen.append(request.path)
        inside.release()
        assert go_on.wait(20)
        return HttpResponse()

    threads = [start(TurnstileMiddleware(view), rf.get(path)) for path in ("/a", "/b")]
    assert inside.acquire(timeout=20)
    assert not inside.acquire(timeout=0.2)
    assert len(seen) == 1

    go_on.set()

    for thread in threads:
        thread.join(20)
    assert sorted(seen) == ["/a", "/b"]


def test_who_waits_outside_lets_another_in(one_place, rf: RequestFactory):
    second_was_there = threading.Event()

    def view(request):
        if request.path == "/second":
            second_was_there.set()
            return HttpResponse()
        with outside():
            assert second_was_there.wait(20)
        return HttpResponse()

    first = start(TurnstileMiddleware(view), rf.get("/first"))
    start(TurnstileMiddleware(view), rf.get("/second")).join(20)
    first.join(20)

    assert second_was_there.is_set()
    assert turnstile._turnstile.free == 1


def test_a_large_body_does_not_take_a_place(one_place, rf: RequestFactory):
    turnstile._turnstile.enter(reads=True)

    answer = TurnstileMiddleware(lambda request: HttpResponse(b"ok"))(
        rf.post("/v1/uploads", b"x" * (turnstile.LARGE_BODY_BYTES + 1), content_type="video/mp4")
    )

    assert answer.content == b"ok"


def test_a_view_that_fails_gives_its_place_back(one_place, rf: RequestFactory):
    def view(request):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        TurnstileMiddleware(view)(rf.get("/"))

    assert turnstile._turnstile.free == 1


def test_outside_of_a_request_there_is_nothing_to_give_back(one_place):
    with outside():
        assert turnstile._turnstile.free == 1


def test_reads_go_before_writes_but_not_for_ever():
    gate, went = Turnstile(1), []
    gate.enter(reads=True)

    def visit(kind: str) -> None:
        gate.enter(reads=kind == "r")
        went.append(kind)
        gate.leave()

    threads = []
    for kind in "ww" + "r" * (READS_AHEAD + 2):
        threads.append(threading.Thread(target=visit, args=(kind,), daemon=True))
        threads[-1].start()
        wait_for(lambda: len(gate._reads) + len(gate._writes) == len(threads), seconds=20)
    gate.leave()
    for thread in threads:
        thread.join(20)

    assert "".join(went) == "r" * READS_AHEAD + "w" + "rr" + "w"
    assert gate.free == 1


class Sender:
    """A body on its way, as the web server hands it over."""

    def __init__(self, arrives: threading.Event, error: OSError | None = None) -> None:
        self.arrives, self.error, self.asked = arrives, error, threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.asked.set()
        assert self.arrives.wait(20)
        if self.error:
            raise self.error
        return b"x" * size

    readline = read


def test_a_body_that_does_not_come_keeps_nobody_out(one_place, rf: RequestFactory):
    """Eight silent strangers would otherwise stop the whole site."""
    arrives, seen = threading.Event(), []
    sender = Sender(arrives)
    silent = rf.post("/v1/jobs", **{"wsgi.input": sender, "CONTENT_LENGTH": "1000"})
    middleware = TurnstileMiddleware(lambda request: seen.append((request.path, len(request.body))) or HttpResponse())
    thread = start(middleware, silent)
    assert sender.asked.wait(20)

    start(middleware, rf.get("/other")).join(5)
    assert seen == [("/other", 0)]
    arrives.set()
    thread.join(20)

    assert seen == [("/other", 0), ("/v1/jobs", 1000)]


def test_a_body_that_breaks_off_is_a_400(one_place, rf: RequestFactory):
    arrives = threading.Event()
    arrives.set()
    broken = Sender(arrives, TimeoutError())
    request = rf.post("/v1/jobs", **{"wsgi.input": broken, "CONTENT_LENGTH": "1000"})

    answer = TurnstileMiddleware(lambda request: HttpResponse())(request)

    assert answer.status_code == 400
    assert turnstile._turnstile.free == 1
