"""Threads joined by bounded queues that cannot deadlock: the first error stops them all and is the one raised."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

WAIT_SECONDS = 0.1
"""How long a blocked thread sleeps before it looks whether the others still live."""


class Stopped(Exception):
    """Raised inside a stage when another one failed or the work was canceled; never leaves the flow."""


class Flow:
    """The threads of one piece of work."""

    def __init__(self, canceled: threading.Event) -> None:
        self._canceled = canceled
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    @property
    def is_stopping(self) -> bool:
        return self._failed.is_set() or self._canceled.is_set()

    def start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self.run, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def run(self, work: Callable[[], None]) -> None:
        """Do one stage in the calling thread, keeping its error for `join`."""
        try:
            work()
        except Stopped:
            return
        except BaseException as error:
            with self._lock:
                if self._error is None:
                    self._error = error
            self._failed.set()

    def join(self) -> None:
        """Wait for every stage; raises the first error."""
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error


class Lane(Generic[Item]):
    """A bounded queue between two stages, with an end."""

    def __init__(self, flow: Flow, depth: int) -> None:
        self._flow = flow
        self._queue: queue.Queue[Item | None] = queue.Queue(depth)

    def put(self, item: Item) -> None:
        self._put(item)

    def end(self) -> None:
        self._put(None)

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item = self._queue.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                if self._flow.is_stopping:
                    raise Stopped from None
                continue
            if item is None:
                return
            if self._flow.is_stopping:
                raise Stopped
            yield item

    def _put(self, item: Item | None) -> None:
        while True:
            if self._flow.is_stopping:
                raise Stopped
            try:
                self._queue.put(item, timeout=WAIT_SECONDS)
                return
            except queue.Full:
                continue
