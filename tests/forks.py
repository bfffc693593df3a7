"""Real processes that share a database: forked from the test's, each with connections of its own."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, connections

from apps.errors import AppError

REFUSED, BROKEN = 77, 99


def in_processes(calls: Sequence[Callable[[], Any]]) -> list[int]:
    """Run each call in a process of its own, all let go at the same moment.

    The exit statuses: 0, REFUSED for a refusal, BROKEN for an exception,
    minus the number of the signal that ended it.
    """
    hang_up()
    wait_here, gate = os.pipe()
    children = [_fork(call, wait_here, gate) for call in calls]
    os.close(gate)
    os.close(wait_here)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def hang_up() -> None:
    """No connection may be shared over a fork."""
    connections.close_all()
    if hasattr(connection, "close_pool"):
        connection.close_pool()


def _fork(call: Callable[[], Any], wait_here: int, gate: int) -> int:
    with warnings.catch_warnings():
        # From Python 3.12 on a fork beside threads warns; the children touch nothing that those hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        if child := os.fork():
            return child
    status = BROKEN
    try:
        os.close(gate)
        os.read(wait_here, 1)  # returns when the last one who could write has closed the pipe
        call()
        status = 0
    except AppError:
        status = REFUSED
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def killed_at(call: Callable[[], Any], statement: int) -> bool:
    """Run the call in a process that is killed before its `statement`th query is sent; False if it got through."""
    count = 0

    def strike(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(*arguments)

    def run() -> None:
        with connection.execute_wrapper(strike):
            call()

    (status,) = in_processes([run])
    assert status in (0, -signal.SIGKILL), status
    return status != 0
