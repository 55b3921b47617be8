"""Work on the database in threads of its own, so that nobody waits for it longer than is said."""

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
