"""Stretches of time put together, so that one lookup tells whether a sample lies in any of them."""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date

from cds_service.record import RecordedDate


class Spans:
    """The union of stretches that each begin after `start` and end with `end`.

    None as start means since ever, None as end for ever.
    """

    def __init__(self, spans: Iterable[tuple[date | None, date | None]]) -> None:
        self._starts: list[date] = []
        self._ends: list[date] = []
        for begun, ended in sorted((start or date.min, end or date.max) for start, end in spans):
            if self._ends and begun <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], ended)
            else:
                self._starts.append(begun)
                self._ends.append(ended)

    def holds(self, day: RecordedDate) -> bool:
        """Whether a sample of that day may lie in one of the stretches."""
        before = bisect_left(self._starts, day.last)
        return before > 0 and self._ends[before - 1] >= day.first
