"""What a card rests on, item by item, so that it can be told what is new since it was shown. Pure.

An item is remembered by a keyed mark alone: a later call can see whether it was there, and nobody
can read from memory what it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from cds_service import words
from cds_service.assessment.alp import AlpSeries
from cds_service.assessment.context import Features
from cds_service.assessment.exposure import Exposure
from cds_service.assessment.judging import AlpValue
from cds_service.assessment.workup import WorkUp
from cds_service.drugs import Drug
from cds_service.policy import EvidenceKind, Policy
from cds_service.pseudonym import mark
from cds_service.record import Diagnosis, DrugUse

_EACH_DOSE = frozenset({"denosumab", "zoledronate", "pamidronate"})


class Evidence(msgspec.Struct, frozen=True):
    """One thing on record that a card may rest on."""

    kind: EvidenceKind
    key: str
    """What tells it from any other of this patient. Never remembered: only its mark is."""
    said: str
    """What it is, in a clinician's words."""


class Marks(msgspec.Struct, frozen=True):
    """What was on record when a card was made."""

    key: bytes
    """Made for this patient alone; with another key no item is known."""
    known: frozenset[str]

    def hold(self, item: Evidence) -> bool:
        """Whether it was on record then."""
        return mark(self.key, item.key) in self.known


def evidence(
    series: AlpSeries,
    features: Features,
    exposed: Exposure,
    workup: WorkUp,
    drugs: Mapping[str, Drug],
    policy: Policy,
) -> Iterator[Evidence]:
    """Everything on record today, those items that may wake a snooze first."""
    yield from _lowest(series)
    yield from _features(features)
    yield from _exposure(exposed, drugs, policy)
    if series.latest is not None:
        yield Evidence(
            "alp", f"latest {_amount(series.latest)}", f"latest ALP {series.latest.shown}"
        )
    yield from _workup(workup)


def _lowest(series: AlpSeries) -> Iterator[Evidence]:
    """The lowest low value, whatever its day. Suspect specimens count while nothing else is low."""
    lows = series.lows or series.excluded_lows("suspect specimen")
    if not lows:
        return
    lowest = min(lows, key=lambda v: (v.u_per_l, not _below(v)))
    yield Evidence(
        "lower-alp",
        f"lowest {lowest.u_per_l.normalize():f} {_below(lowest)}",
        f"lowest ALP {lowest.shown}",
    )


def _features(features: Features) -> Iterator[Evidence]:
    """Fractures are counted; of teeth and rickets it matters that they are on record at all."""
    found = (
        (features.femur, len(features.femur)),
        (features.metatarsal, features.metatarsal_count),
        (features.teeth, min(len(features.teeth), 1)),
        (features.rickets, min(len(features.rickets), 1)),
    )
    for entries, count in found:
        for number in range(1, count + 1):
            yield _feature(entries, number)


def _feature(entries: Sequence[Diagnosis], number: int) -> Evidence:
    entry = entries[min(number, len(entries)) - 1]
    which = f" ({number} on record)" if number > 1 else ""
    return Evidence(
        "feature", f"{entry.concept} {number}", f"{entry.name[:1].lower()}{entry.name[1:]}{which}"
    )


def _exposure(exposed: Exposure, drugs: Mapping[str, Drug], policy: Policy) -> Iterator[Evidence]:
    """Courses of a tablet, in which a renewal is nothing new, and every dose or order of an injection."""
    for drug in dict.fromkeys(u.drug for u in exposed.uses):
        uses = [u for u in exposed.uses if u.drug == drug]
        injected = drugs[drug].action in _EACH_DOSE or any(u.injected for u in uses)
        begun = _days(uses) if injected else _courses(uses, policy)
        for number, day in enumerate(begun, start=1):
            when = "start not recorded" if day == date.min else words.on(day)
            yield Evidence("exposure", f"{drug} {number}", f"{drugs[drug].label}, {when}")


def _days(uses: Sequence[DrugUse]) -> list[date]:
    return sorted({_start(u) for u in uses})


def _courses(uses: Sequence[DrugUse], policy: Policy) -> Iterator[date]:
    """The first day of each course."""
    gap = timedelta(days=policy.residual.course_gap_days)
    ended: date | None = None
    for use in sorted(uses, key=_start):
        start = _start(use)
        if ended is None or start - ended > gap:
            yield start
        ended = max(ended or date.min, _end(use))


def _start(use: DrugUse) -> date:
    return use.start.first if use.start else date.min


def _end(use: DrugUse) -> date:
    if use.ongoing:
        return date.max
    return use.end.last if use.end else _start(use)


def _workup(workup: WorkUp) -> Iterator[Evidence]:
    for name, found in (("PLP", workup.plp), ("urine PEA", workup.pea)):
        if found is not None and found.result.quantity is not None:
            amount = words.amount(found.result.quantity)
            day = words.dated(found.day)
            yield Evidence(
                "work-up", f"{name} {found.day.first} {amount}", f"{name} {amount}, {day}"
            )
    alpl = workup.alpl
    if alpl is not None:
        yield Evidence(
            "work-up",
            f"ALPL {alpl.classification} {alpl.reported.first if alpl.reported else ''}",
            f"ALPL {alpl.classification}, {words.dated(alpl.reported)}",
        )


def _amount(found: AlpValue) -> str:
    return f"{found.day.first} {found.u_per_l.normalize():f} {_below(found)}"


def _below(found: AlpValue) -> str:
    """The comparator that says: lower still than the number."""
    quantity = found.result.quantity
    return "below" if quantity and quantity.comparator in ("<", "<=") else ""
