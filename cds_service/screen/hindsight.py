"""A record as it stood at an earlier moment: what came later is hidden, what ended later had not ended.

What cannot be told from today's record stays as it is today: a status without the date on which it
was set, an entry without any date, a correction of an earlier value. A date without its day counts
from the first day that it may mean.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any, cast

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.statuses import normal


class Moment(msgspec.Struct, frozen=True):
    """A day, and the instant where it is known."""

    day: date
    instant: datetime | None = None

    @classmethod
    def of(cls, text: str | None) -> "Moment | None":
        """The moment that a FHIR date or dateTime writes; None when it names no single day."""
        day = recorded_date(text)
        return cls(day.first, _instant(text)) if day is not None and day.exact else None


def as_then(entries: Iterable[r.Entry], moment: Moment) -> Iterator[r.Entry]:
    """The entries that were on record, as they stood."""
    for entry in entries:
        resource = entry.resource
        known_from = _KNOWN_FROM.get(type(resource))
        if known_from is not None and is_later(known_from(cast("Any", resource)), moment):
            continue
        reopened = _REOPENED.get(type(resource))
        if reopened is None:
            yield entry
            continue
        then = reopened(cast("Any", resource), moment)
        yield entry if then is resource else msgspec.structs.replace(entry, resource=then)


def patient_then(patient: r.Patient, moment: Moment) -> r.Patient:
    """The patient, who may have died since."""
    if is_later(patient.deceasedDateTime, moment):
        return msgspec.structs.replace(patient, deceasedDateTime=None, deceasedBoolean=None)
    return patient


def is_later(text: str | None, moment: Moment) -> bool:
    """Whether a date as written lies after the moment. What is of the same day counts as before."""
    day = recorded_date(text)
    if day is None:
        return False
    if day.first != moment.day or moment.instant is None:
        return day.first > moment.day
    instant = _instant(text)
    return instant is not None and instant > moment.instant


def _instant(text: str | None) -> datetime | None:
    """The instant of a dateTime with time and zone."""
    if text is None or len(text) <= len("2026-11-01"):
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _start(*periods: r.Period | None) -> str | None:
    return next((p.start for p in periods if p and p.start), None)


def _result_came(result: r.Observation) -> str | None:
    taken = result.effectiveDateTime or result.effectiveInstant or _start(result.effectivePeriod)
    # A corrected result was issued again; that something had come was known before.
    again = normal(result.status) in ("amended", "corrected")
    return (taken or result.issued) if again else (result.issued or taken)


_KNOWN_FROM: dict[type, Callable[[Any], str | None]] = {
    r.Observation: _result_came,
    r.MedicationStatement: lambda m: (
        m.dateAsserted or m.effectiveDateTime or _start(m.effectivePeriod)
    ),
    r.MedicationRequest: lambda m: m.authoredOn,
    r.MedicationAdministration: lambda m: (
        m.effectiveDateTime or m.occurenceDateTime or _start(m.effectivePeriod, m.occurencePeriod)
    ),
    r.MedicationDispense: lambda m: m.whenHandedOver or m.whenPrepared,
    r.Condition: lambda c: (
        c.recordedDate or c.assertedDate or c.onsetDateTime or _start(c.onsetPeriod)
    ),
    r.Procedure: lambda p: (
        p.performedDateTime or p.occurrenceDateTime or _start(p.performedPeriod, p.occurrencePeriod)
    ),
    r.Encounter: lambda e: _start(e.period, e.actualPeriod),
    r.ServiceRequest: lambda s: s.authoredOn,
}
"""From when on an entry could be seen: when it was recorded, else when what it says took place."""


def _statement(use: r.MedicationStatement, moment: Moment) -> r.MedicationStatement:
    period = use.effectivePeriod
    if period is None or not is_later(period.end, moment):
        return use
    return msgspec.structs.replace(use, status="active", effectivePeriod=r.Period(period.start))


def _condition(condition: r.Condition, moment: Moment) -> r.Condition:
    period = condition.abatementPeriod
    ended = condition.abatementDateTime or (period.end or period.start if period else None)
    if not is_later(ended, moment):
        return condition
    return msgspec.structs.replace(
        condition, clinicalStatus=None, abatementDateTime=None, abatementPeriod=None
    )


def _encounter(encounter: r.Encounter, moment: Moment) -> r.Encounter:
    period = encounter.period or encounter.actualPeriod
    if period is None or not is_later(period.end, moment):
        return encounter
    return msgspec.structs.replace(
        encounter, status="in-progress", period=r.Period(period.start), actualPeriod=None
    )


_REOPENED: dict[type, Callable[[Any, Moment], Any]] = {
    r.MedicationStatement: _statement,
    r.Condition: _condition,
    r.Encounter: _encounter,
}
