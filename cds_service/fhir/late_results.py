"""Laboratory results that are read when a rule asks for them, and not before."""

from collections.abc import Callable, Iterator
from datetime import date

from cds_service.fhir import resources as r
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.measured import Measured
from cds_service.record import LabResult, RecordedDate, Results

Found = tuple[r.Observation, Measured]
"""A result and where its value stands."""


class LateResults(Results):
    """Most charts hold many more results than any rule looks at."""

    def __init__(self, read: Callable[[Found, str], LabResult | None]) -> None:
        self._read = read
        self._found: dict[str, list[Found]] = {}
        self._known: dict[int, object] = {}

    def add(self, concept: str, found: Found) -> None:
        """Keep a result for later."""
        self._found.setdefault(concept, []).append(found)

    def newest_first(self, concept: str) -> Iterator[LabResult]:
        """The results of one kind, each read as the rule comes to it."""
        for found in sorted(self._found.get(concept, ()), key=_recency, reverse=True):
            known = self._known.get(id(found), _UNREAD)
            if known is _UNREAD:
                known = self._known[id(found)] = self._read(found, concept)
            if isinstance(known, LabResult):
                yield known


_UNREAD = object()


def _recency(found: Found) -> tuple[date, str, bytes, str]:
    """Results of one moment keep one order, whatever the order and the ids with which they came."""
    taken, text = taken_on(found[0])
    measured = found[1]
    value = bytes(measured.valueQuantity) + (measured.valueString or "").encode()
    value += bytes(measured.referenceRange)
    return (taken.last if taken else date.min, text or "", value, found[0].id or "")


def taken_on(observation: r.Observation) -> tuple[RecordedDate | None, str | None]:
    """Day of sampling, and the date-time as written."""
    period = observation.effectivePeriod
    texts = (
        observation.effectiveDateTime,
        observation.effectiveInstant,
        period.start if period else None,
        observation.issued,
    )
    for text in texts:
        day = recorded_date(text)
        if day is not None:
            return day, text
    return None, None
