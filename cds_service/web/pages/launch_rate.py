"""How many launches one address may begin: each asks a record system and is kept for some minutes."""

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock

from cds_service.errors import TooManyCalls

A_MINUTE = 120
"""By one address, in one worker process: far above a ward behind one proxy, far below a flood."""
_HOUSEHOLD_BITS = 64
"""Of an IPv6 address: whoever has one has all that begin alike."""


class LaunchRate:
    """Counts the launches of this minute. In memory: a flood is not to be written down either.

    Our own, for the memory of the library `limits` starts a thread where the application is built.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute = 0
        self._begun: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, address: str | None) -> None:
        """One more launch. Raises TooManyCalls."""
        minute, second = divmod(int(self._clock()), 60)
        named = _household(address or "")
        with self._lock:
            if minute != self._minute:
                self._minute, self._begun = minute, Counter()
            self._begun[named] += 1
            if self._begun[named] <= A_MINUTE:
                return
        raise TooManyCalls(
            "Too many launches were begun from this address. Open the page again in a minute.",
            retry_seconds=60 - second,
        )


def _household(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return ""  # a socket of the file system has no address
    if isinstance(found, IPv6Address) and not found.ipv4_mapped:
        return str(ip_network((int(found), _HOUSEHOLD_BITS), strict=False))
    return address
