"""Threads that do not hold up the exit, unlike those of a `ThreadPoolExecutor`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any


class DaemonThreads(Executor):
    """At most `most` threads, started as they are needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._threads = self._wanted = 0  # `_wanted`: calls that wait or run
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._wanted += 1
            if self._threads < min(self._wanted, self._most):
                self._threads += 1
                Thread(target=self._work, name=f"wsgi-{self._threads}", daemon=True).start()
        self._calls.put((future, partial(call, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            del item
            try:
                if future.set_running_or_notify_cancel():
                    future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                future.set_exception(error)
            with self._lock:
                self._wanted -= 1
            del future, call  # which would keep the last request until the next one
