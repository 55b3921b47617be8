"""How long and how much one hook may ask of a FHIR server, all its calls together."""

import threading
import time

import msgspec

from cds_service.fhir.transport import Call


class Limits(msgspec.Struct, frozen=True):
    """The bounds of every call and of all calls of one hook."""

    call_seconds: float = 3.0
    hook_seconds: float = 6.0
    pages: int = 40
    """Of one search."""
    entries: int = 8000
    """Of one search."""
    hook_bytes: int = 64 * 1024 * 1024
    """Of all answers together, unpacked."""


class FetchFailed(Exception):
    """Something cannot be had from the FHIR server. The text says why, in words fit for a log."""


class TokenRefused(FetchFailed):
    """The FHIR server does not accept the token, or not any more."""


class Budget:
    """What is left for one hook. Shared by the calls that it makes side by side."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._ends = time.monotonic() + limits.hook_seconds
        self._bytes = limits.hook_bytes
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._over = threading.Event()

    @property
    def left(self) -> float:
        """Seconds left; never less than none."""
        return 0.0 if self._over.is_set() else max(0.0, self._ends - time.monotonic())

    def for_one_call(self) -> float:
        """Seconds that a call begun now may take. Raises FetchFailed when there are none."""
        left = self.left
        if left <= 0:
            raise self.spent()
        return min(left, self.limits.call_seconds)

    def spent(self) -> FetchFailed:
        """The words for a hook whose time is over."""
        return FetchFailed(
            f"the {self.limits.hook_seconds:g} s that a hook may spend on fetching were over"
        )

    def took(self, size: int) -> None:
        """Note bytes received. Raises FetchFailed when they are too many."""
        with self._lock:
            self._bytes -= size
            if self._bytes < 0:
                raise FetchFailed(
                    f"the answers were larger than {self.limits.hook_bytes} bytes together"
                )

    def wait(self, seconds: float) -> bool:
        """Wait, unless the budget does not hold so much; whether it did."""
        if seconds >= self.left:
            return False
        return not self._over.wait(seconds)

    def begin(self) -> Call:
        """A call that `end` can cut short. Raises FetchFailed when the time is over."""
        call = Call()
        with self._lock:
            if self._over.is_set():
                raise self.spent()
            self._calls.add(call)
        return call

    def finish(self, call: Call) -> None:
        """The call is done, one way or the other."""
        call.leave()
        with self._lock:
            self._calls.discard(call)

    def end(self) -> None:
        """Cut short what is still under way: after the answer no work is done."""
        self._over.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.abort()
