"""What the web server's connections are told, beyond headers."""

from __future__ import annotations

import socket

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from apps.ops import wire
from apps.ops.wire import SilentSenderMiddleware


def test_a_sender_that_falls_silent_is_left_and_a_slow_reader_is_not(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SILENT_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    request = rf.post("/v1/jobs", **{"gunicorn.socket": ours})

    def view(_: object) -> HttpResponse:
        with pytest.raises(TimeoutError):
            ours.recv(1)
        return HttpResponse()

    with ours, theirs:
        assert SilentSenderMiddleware(view)(request).status_code == 200

        assert ours.gettimeout() is None
