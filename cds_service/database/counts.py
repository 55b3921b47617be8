"""How often memory did its work, and how often not: numbers for an operator to watch."""

from collections.abc import Mapping
from threading import Lock


class Counts:
    """How often memory did its work, and how often not, by operation and result."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted: dict[tuple[str, str], int] = {}

    def add(self, operation: str, result: str) -> None:
        """`operation`: recall, remember or feedback; `result`: done, or the kind of the failure."""
        with self._lock:
            key = (operation, result)
            self._counted[key] = self._counted.get(key, 0) + 1

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """The counts of this process so far."""
        with self._lock:
            return dict(self._counted)
