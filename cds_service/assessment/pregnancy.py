"""Pregnancies on record, as the days over which trimester limits hold."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

import msgspec

from cds_service.policy import Policy, PregnancyRules
from cds_service.record import PatientRecord, age_at

Trimester = Literal["first", "second", "third"]


class Pregnancy(msgspec.Struct, frozen=True):
    """One pregnancy. Without a due date its length is unknown."""

    start: date
    end: date
    due: date | None

    def holds(self, day: date) -> bool:
        """Whether the patient was pregnant on that day."""
        return self.start <= day <= self.end

    def trimester(self, day: date, rules: PregnancyRules) -> Trimester | None:
        """None when no due date is on record: the trimester cannot be known."""
        if self.due is None:
            return None
        weeks = (rules.gestation_days - (self.due - day).days) // 7
        if weeks >= rules.third_trimester_from_weeks:
            return "third"
        return "second" if weeks >= rules.second_trimester_from_weeks else "first"


def pregnancies(record: PatientRecord, policy: Policy, as_of: date) -> tuple[Pregnancy, ...]:
    """Every pregnancy on record; those with a due date first."""
    rules = policy.pregnancy
    age = age_at(record.patient.born, as_of)
    if record.patient.sex == "male" or (
        age is not None and not rules.possible_from_years <= age.years < rules.possible_below_years
    ):
        return ()  # an entry that nobody took off the problem list
    dated = tuple(_dated(record, rules, as_of))
    stated = _stated(record, rules, as_of)
    if stated is None or any(p.holds(as_of) for p in dated):
        return dated
    return (*dated, stated)


def _dated(record: PatientRecord, rules: PregnancyRules, as_of: date) -> Iterator[Pregnancy]:
    """A due date that was corrected later replaces the earlier one of the same pregnancy."""
    found: list[date] = []
    known = [d for d in record.due_dates if d.recorded is None or d.recorded.first <= as_of]
    for estimate in sorted(known, key=lambda d: (_recorded(d.recorded), d.due), reverse=True):
        if all(abs((estimate.due - due).days) > rules.gestation_days // 2 for due in found):
            found.append(estimate.due)
    over = _not_pregnant_since(record)
    for due in found:
        start = due - timedelta(days=rules.gestation_days)
        end = due + timedelta(days=rules.overdue_days)
        if over is not None and start < over <= end:
            end = over - timedelta(days=1)
        yield Pregnancy(start, end, due)


def _stated(record: PatientRecord, rules: PregnancyRules, as_of: date) -> Pregnancy | None:
    """A pregnancy recorded as a status or condition, still possible today."""
    longest = timedelta(days=rules.gestation_days + rules.overdue_days)
    days = [s.recorded.last for s in record.pregnancies if s.pregnant and s.recorded]
    days += [
        d.onset.last if d.onset else as_of
        for d in record.diagnoses
        if d.concept == "pregnancy" and d.active
    ]
    over = _not_pregnant_since(record)
    current = [d for d in days if as_of - longest <= d <= as_of and (over is None or d > over)]
    if not current:
        return None
    first = min(current)
    start = first - timedelta(days=rules.undated_recorded_after_days)
    return Pregnancy(start, min(as_of, first + longest), None)


def _not_pregnant_since(record: PatientRecord) -> date | None:
    days = [s.recorded.first for s in record.pregnancies if not s.pregnant and s.recorded]
    return max(days, default=None)


def _recorded(recorded: object) -> date:
    return getattr(recorded, "last", date.min)
