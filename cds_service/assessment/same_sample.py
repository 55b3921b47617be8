"""Results of one and the same sample: by specimen where both name one, else by time of sampling."""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cds_service.record import LabResult


class SameSample:
    """Finds, among results of one kind, one of the same sample as another result."""

    def __init__(self, results: Iterable[LabResult], within_minutes: int) -> None:
        found = list(results)
        within = timedelta(minutes=within_minutes)
        self._by_specimen = {r.specimen: r for r in found if r.specimen}
        self._any = _ByTime(found, within)
        self._unnamed = _ByTime([r for r in found if not r.specimen], within)

    def find(self, result: LabResult) -> LabResult | None:
        """A result of the same sample, or None."""
        if not result.specimen:
            return self._any.find(result)
        return self._by_specimen.get(result.specimen) or self._unnamed.find(result)


class _ByTime:
    """Results by the time at which they were taken.

    Two times with a zone are compared as moments; as soon as one has none, both are read off the
    wall. Days without a time match only when they are written alike.
    """

    def __init__(self, results: Iterable[LabResult], within: timedelta) -> None:
        self._within = within
        self._by_text: dict[str, LabResult] = {}
        moments: list[tuple[datetime, LabResult]] = []
        for result in results:
            if result.taken_at:
                self._by_text[result.taken_at] = result
                moment = _moment(result.taken_at)
                if moment is not None:
                    moments.append((moment, result))
        self._with_zone = _sorted((m.astimezone(UTC), r) for m, r in moments if m.tzinfo)
        self._without_zone = _sorted((m, r) for m, r in moments if not m.tzinfo)
        self._by_the_wall = _sorted((m.replace(tzinfo=None), r) for m, r in moments)

    def find(self, result: LabResult) -> LabResult | None:
        """A result taken at the same time, or None."""
        text = result.taken_at
        if not text:
            return None
        alike = self._by_text.get(text)
        if alike is not None:
            return alike
        moment = _moment(text)
        if moment is None:
            return None
        wall = moment.replace(tzinfo=None)
        if moment.tzinfo is None:
            return self._near(self._by_the_wall, wall)
        utc = moment.astimezone(UTC)
        return self._near(self._with_zone, utc) or self._near(self._without_zone, wall)

    def _near(
        self, sorted_: list[tuple[datetime, LabResult]], moment: datetime
    ) -> LabResult | None:
        place = bisect_left(sorted_, moment, key=_when)
        for taken, result in sorted_[max(place - 1, 0) : place + 1]:
            if abs(taken - moment) <= self._within:
                return result
        return None


def _when(item: tuple[datetime, LabResult]) -> datetime:
    return item[0]


def _sorted(items: Iterable[tuple[datetime, LabResult]]) -> list[tuple[datetime, LabResult]]:
    return sorted(items, key=_when)


def _moment(text: str) -> datetime | None:
    if "T" not in text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if 1800 <= found.year <= 2200 else None
