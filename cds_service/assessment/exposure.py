"""Antiresorptive exposure over time: when ALP may be low because of a drug, and when it may not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from cds_service.assessment.calendar import months_after, months_between
from cds_service.assessment.spans import Spans
from cds_service.drugs import Drug
from cds_service.policy import Policy, Residual
from cds_service.record import DrugUse, RecordedDate

_YEAR = 365.25


class Window(msgspec.Struct, frozen=True):
    """Days over which one drug may lower ALP: from the day after its start to its residual end."""

    use: DrugUse
    start: date | None
    """None: not recorded, so any day before the end may be inside."""
    end: date | None
    """None: still taken, or nothing is known of when it ended."""

    def holds(self, day: RecordedDate) -> bool:
        """Whether a sample of that day may show the drug. A sample of the first day cannot."""
        began = self.start is None or day.last > self.start
        return began and (self.end is None or day.first <= self.end)


class Exposure(msgspec.Struct, frozen=True):
    """Every antiresorptive on record."""

    uses: Sequence[DrugUse] = ()
    windows: Sequence[Window] = ()
    first_dose: date | None = None
    """Earliest possible day of the first dose; None when never exposed or when any start is unknown."""
    denosumab_last: date | None = None
    """Last known denosumab dose; None when never given, undated, or said to be ongoing."""
    covered: Spans = Spans(())
    """All windows together."""

    def window(self, day: RecordedDate) -> Window | None:
        """The window that explains a sample of that day; the one begun last when several do."""
        if not self.covered.holds(day):
            return None
        found = [w for w in self.windows if w.holds(day)]
        return max(found, key=lambda w: w.start or date.min) if found else None

    def now(self, as_of: date) -> Window | None:
        """The window open today, a dose given today included."""
        tomorrow = as_of + timedelta(days=1)
        return self.window(RecordedDate(as_of, tomorrow))


def exposure(
    uses: Iterable[DrugUse], drugs: Mapping[str, Drug], policy: Policy, as_of: date
) -> Exposure:
    """The exposure timeline from doses and periods; those of the future are left out."""
    antiresorptive = [
        u
        for u in uses
        if drugs[u.drug].is_antiresorptive and not (u.start and u.start.first > as_of)
    ]
    if not antiresorptive:
        return Exposure()
    # The status code for long-term use is undated by nature: it speaks only where no drug does.
    named = [u for u in antiresorptive if u.source != "Condition"] or antiresorptive
    ordered = sorted(named, key=lambda u: (_first(u), _last(u) or date.max, u.drug, u.source))
    windows: list[Window] = []
    for drug in dict.fromkeys(u.drug for u in ordered):
        group = _given([u for u in ordered if u.drug == drug], drugs[drug])
        windows.extend(_WINDOWS[drugs[drug].action](group, policy.residual, as_of))
    starts = [u.start.first for u in ordered if u.start]
    complete = len(starts) == len(ordered)
    return Exposure(
        uses=tuple(ordered),
        windows=tuple(windows),
        covered=Spans((w.start, w.end) for w in windows),
        first_dose=min(starts) if complete else None,
        denosumab_last=_denosumab_last(ordered, drugs),
    )


def spans(
    uses: Iterable[DrugUse], drugs: Mapping[str, Drug], action: str, days_after: int
) -> tuple[Window, ...]:
    """Windows of a drug whose effect ends a fixed number of days after it was taken."""
    after = timedelta(days=days_after)
    found = []
    for use in uses:
        if drugs[use.drug].action == action:
            last = _last(use)
            start = use.start.first - timedelta(days=1) if use.start else None
            found.append(Window(use, start, last + after if last else None))
    return tuple(found)


def _given(group: list[DrugUse], drug: Drug) -> list[DrugUse]:
    """For an injected drug the recorded doses outweigh an order or statement that says ongoing."""
    if drug.given_as_doses and any(u.is_dose for u in group):
        return [u for u in group if not u.ongoing]
    return group


def _first(use: DrugUse) -> date:
    return use.start.first if use.start else date.min


def _last(use: DrugUse) -> date | None:
    """Last day on which the drug is known to have been taken; None while ongoing or undated."""
    if use.ongoing:
        return None
    if use.end is not None:
        return use.end.last
    return use.start.last if use.start else None


def _window(use: DrugUse, months: int) -> Window:
    last = _last(use)
    start = use.start.first if use.start else None
    return Window(use, start, months_after(last, months) if last else None)


def _bisphosphonate(group: list[DrugUse], residual: Residual, as_of: date) -> Iterator[Window]:
    by_injection = all(u.injected for u in group)
    months = (
        residual.bisphosphonate_long_months
        if not by_injection and _long_use(group, residual, as_of)
        else residual.bisphosphonate_months
    )
    return (_window(use, months) for use in group)


def _pamidronate(group: list[DrugUse], residual: Residual, _: date) -> Iterator[Window]:
    return (_window(use, residual.pamidronate_months) for use in group)


def _zoledronate(group: list[DrugUse], residual: Residual, as_of: date) -> Iterator[Window]:
    """Each dose has its window; from the third dose on it is longer."""
    given = 0
    days_counted: set[date] = set()
    for use in group:
        if use.is_dose and use.start is not None:
            days_counted.add(use.start.first)
            given = max(given, len(days_counted))
        else:
            given = max(given, _yearly_doses(use, as_of))
        long = given >= residual.zoledronate_long_doses
        yield _window(
            use, residual.zoledronate_long_months if long else residual.zoledronate_months
        )


def _yearly_doses(use: DrugUse, as_of: date) -> int:
    """Infusions that a period stands for, one a year; undated periods stand for one."""
    last = as_of if use.ongoing else _last(use)
    if use.start is None or last is None:
        return 1
    return months_between(use.start.first, last) // 12 + 1


def _denosumab(group: list[DrugUse], residual: Residual, _: date) -> Iterator[Window]:
    return (_window(use, residual.denosumab_months) for use in group)


_WINDOWS = {
    "bisphosphonate": _bisphosphonate,
    "pamidronate": _pamidronate,
    "zoledronate": _zoledronate,
    "denosumab": _denosumab,
}


def _long_use(group: list[DrugUse], residual: Residual, as_of: date) -> bool:
    """Whether a bisphosphonate was taken for years, or for a time that nobody recorded."""
    spans: list[tuple[date, date]] = []
    for use in group:
        unended = use.end is None and not use.ongoing
        if use.start is None or unended:
            return True
        last = as_of if use.end is None else use.end.last
        spans.append((use.start.first, max(last, use.start.first)))
    gap = timedelta(days=residual.course_gap_days)
    total = 0
    begun, ended = spans[0]
    for start, end in sorted(spans)[1:]:
        if start <= ended + gap:
            ended = max(ended, end)
        else:
            total += (ended - begun).days
            begun, ended = start, end
    total += (ended - begun).days
    return total >= int(residual.long_use_years * _YEAR)


def _denosumab_last(ordered: list[DrugUse], drugs: Mapping[str, Drug]) -> date | None:
    """The last dose, unless a period says that treatment goes on and no dose contradicts it."""
    group = [u for u in ordered if drugs[u.drug].action == "denosumab"]
    doses = [u.start.last for u in group if u.is_dose and u.start]
    if doses:
        return max(doses)
    lasts = [_last(u) for u in group]
    if not lasts or None in lasts:
        return None
    return max(d for d in lasts if d is not None)
