"""Laboratory results that are read when a rule asks for them, and not before."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date

from cds_service.fhir import resources as r
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.measured import Measured
from cds_service.record import LabResult, RecordedDate, Results

Found = tuple[r.Observation, Measured]
"""A result and where its value stands."""
_Read = Callable[[Found, str], LabResult | None]


class LateResults(Results):
    """Most charts hold many more results than any rule looks at."""

    def __init__(self, read: _Read) -> None:
        self._read = read
        self._found: dict[str, list[Found]] = defaultdict(list)
        self._series: dict[str, _Series] = {}

    def add(self, concept: str, found: Iterable[Found]) -> None:
        """Keep results of one kind for later."""
        self._found[concept].extend(found)

    def newest_first(self, concept: str) -> Iterator[LabResult]:
        """The results of one kind, each read as the rule comes to it."""
        if concept not in self._found:
            return iter(())
        series = self._series.get(concept)
        if series is None:
            found = _newest_first(self._found[concept])
            series = self._series[concept] = _Series(found, concept, self._read)
        return iter(series)


class _Series:
    """Results of one kind: those read so far, and those that nobody has come to yet."""

    def __init__(self, found: Sequence[Found], concept: str, read: _Read) -> None:
        self._unread = iter(found)
        self._concept = concept
        self._read = read
        self._known: list[LabResult] = []

    def __iter__(self) -> Iterator[LabResult]:
        place = 0
        while True:
            while place < len(self._known):
                yield self._known[place]
                place += 1
            found = next(self._unread, None)
            if found is None:
                return
            result = self._read(found, self._concept)
            if result is not None:
                self._known.append(result)


def taken_on(observation: r.Observation) -> tuple[RecordedDate | None, str | None]:
    """Day of sampling, and the date-time as written."""
    day = recorded_date(observation.effectiveDateTime)
    if day is not None:
        return day, observation.effectiveDateTime
    period = observation.effectivePeriod
    for text in (
        observation.effectiveInstant,
        period.start if period else None,
        observation.issued,
    ):
        day = recorded_date(text)
        if day is not None:
            return day, text
    return None, None


def _newest_first(found: Sequence[Found]) -> list[Found]:
    by_moment = {_moment(f): f for f in found}
    if len(by_moment) < len(found):
        return sorted(found, key=_moment_and_content, reverse=True)
    return [by_moment[moment] for moment in sorted(by_moment, reverse=True)]


def _moment(found: Found) -> tuple[date, str]:
    observation = found[0]
    text = observation.effectiveDateTime
    taken = recorded_date(text)
    if taken is None:  # seldom: most results have that one
        taken, text = taken_on(observation)
    return (taken.last if taken else date.min, text or "")


def _moment_and_content(found: Found) -> tuple[date, str, bytes, str]:
    """Results of one moment keep one order, whatever the order and the ids with which they came."""
    observation, place = found
    value = bytes(place.valueQuantity) + (place.valueString or "").encode()
    value += bytes(place.referenceRange)
    return (*_moment(found), value, observation.id or "")
