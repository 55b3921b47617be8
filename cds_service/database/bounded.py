"""Work on the database in threads of its own, so that nobody waits for it longer than is said."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

_T = TypeVar("_T")


class Busy(RuntimeError):
    """Earlier work still hangs in every thread; nothing was started."""


class Bounded:
    """A few threads. They start with the first work, so that a server may fork before."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._free = BoundedSemaphore(threads)

    def run(self, work: Callable[[], _T], within_seconds: float) -> _T:
        """What `work` returns or raises.

        Raises TimeoutError when it takes longer: it goes on, and may still succeed. Raises Busy at
        once when no thread is free.
        """
        if not self._free.acquire(blocking=False):
            raise Busy
        future = self._executor.submit(work)
        future.add_done_callback(lambda _: self._free.release())
        return future.result(within_seconds)

    def settle(self, within_seconds: float) -> None:
        """Wait until no work is under way, but no longer than that."""
        until = time.monotonic() + within_seconds
        idle = 0
        while idle < self._threads and self._free.acquire(timeout=max(0, until - time.monotonic())):
            idle += 1
        if idle:
            self._free.release(idle)
