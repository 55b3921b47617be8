"""One ALP result judged: its limit, whether it is low, and why it may not count."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from cds_service import words
from cds_service.assessment.exposure import Window
from cds_service.assessment.limits import Limit, NoLimit, limit_as_printed, limit_for
from cds_service.assessment.once import once
from cds_service.assessment.pregnancy import Pregnancy
from cds_service.assessment.spans import Spans
from cds_service.assessment.specimen import Contamination, Suspicion, contamination, suspicion
from cds_service.policy import Policy
from cds_service.quantity import Quantity
from cds_service.record import LabResult, PatientRecord, RecordedDate, age_at

Exclusion = Literal["acute illness", "suspect specimen", "asfotase alfa"]
# Laboratories in a zone ahead of ours may date a sample tomorrow.
_CLOCK_TOLERANCE = timedelta(days=1)
_DAY = timedelta(days=1)


class AlpValue(msgspec.Struct, frozen=True, gc=False):
    """One ALP result, judged. It counts when it has a verdict and no exclusion."""

    result: LabResult
    day: RecordedDate
    limit: Limit | None = None
    low: bool | None = None
    """None: cannot be judged (a comparator that leaves it open, or a problem)."""
    exclusion: Exclusion | None = None
    suspicion: Suspicion | None = None
    problem: str | None = None

    @property
    def counts(self) -> bool:
        """Usable, judged, and taken in a context that says something."""
        return self.low is not None and self.exclusion is None

    @property
    def u_per_l(self) -> Decimal:
        """The number that tiers compare: U/L, or the printed number where it came without unit."""
        quantity = self.result.quantity
        assert quantity is not None  # noqa: S101  (judged values have one)
        canonical = quantity.canonical
        return quantity.value if canonical is None else canonical

    @property
    def shown(self) -> str:
        """The value with its date, for giving reasons."""
        quantity = self.result.quantity
        return f"{words.alp(quantity)} {words.at(self.day)}" if quantity else words.dated(self.day)


class Judge:
    """Judges the ALP results of one record."""

    def __init__(
        self,
        record: PatientRecord,
        pregnant: Sequence[Pregnancy],
        asfotase: Sequence[Window],
        policy: Policy,
        as_of: date,
    ) -> None:
        self._record = record
        self._pregnant = pregnant
        self._asfotase = Spans((w.start, w.end) for w in asfotase) if asfotase else None
        self._policy = policy
        self._as_of = as_of

    @once
    def _acute(self) -> Spans | None:
        if not (self._record.stays or self._record.procedures):
            return None
        periods = acute_periods(self._record, self._policy, self._as_of)
        return Spans((begun - _DAY, ended) for begun, ended in periods)

    @once
    def _acute_encounters(self) -> frozenset[str]:
        return frozenset(s.reference for s in self._record.stays if s.reference)

    @once
    def _signs(self) -> Contamination | None:
        return contamination(self._record.results, self._policy)

    def value(self, result: LabResult, day: RecordedDate) -> AlpValue:
        """One result with its limit, its verdict and the reason why it may not count."""
        problem = result.problem
        if problem is None and day.first > self._as_of + _CLOCK_TOLERANCE:
            problem = "it is dated in the future"
        if problem is not None or result.quantity is None:
            return AlpValue(result, day, problem=problem or "it has no value")
        try:
            limit = self._limit(result, result.quantity, day)
        except NoLimit as error:
            return AlpValue(result, day, problem=str(error))
        low = _is_low(result.quantity, limit)
        suspect = suspicion(result, self._signs) if low else None
        return AlpValue(
            result=result,
            day=day,
            limit=limit,
            low=low,
            exclusion=self._exclusion(result, day, suspect),
            suspicion=suspect,
            problem=None if low is not None else "its comparator leaves open whether it is low",
        )

    def _limit(self, result: LabResult, quantity: Quantity, day: RecordedDate) -> Limit:
        patient = self._record.patient
        age = age_at(patient.born, day.first)
        pregnancy = self._pregnancy(day.first) if self._pregnant else None
        if quantity.canonical is None:
            return limit_as_printed(result.low, age, pregnancy, self._policy)
        return limit_for(
            result.low,
            day=day.first,
            age=age,
            sex=patient.sex,
            pregnancy=pregnancy,
            policy=self._policy,
        )

    def _pregnancy(self, day: date) -> Pregnancy | None:
        return next((p for p in self._pregnant if p.holds(day)), None)

    def _exclusion(
        self, result: LabResult, day: RecordedDate, suspect: Suspicion | None
    ) -> Exclusion | None:
        if self._asfotase and self._asfotase.holds(day):
            return "asfotase alfa"
        if suspect is not None:
            return "suspect specimen"
        if self._acute is not None and (
            result.encounter in self._acute_encounters or self._acute.holds(day)
        ):
            return "acute illness"
        return None


def _is_low(quantity: Quantity, limit: Limit) -> bool | None:
    canonical = quantity.canonical
    value = quantity.value if canonical is None else canonical
    match quantity.comparator:
        case "<":
            return True if value <= limit.value else None
        case "<=":
            return True if value < limit.value else None
        case ">" | ">=":
            return False if value >= limit.value else None
        case _:
            return value < limit.value


def acute_periods(record: PatientRecord, policy: Policy, as_of: date) -> list[tuple[date, date]]:
    """Stays and procedures with the days after them, in which ALP is low for a time."""
    acute = policy.acute
    after_stay = timedelta(days=acute.days_after_stay)
    unclosed = timedelta(days=acute.open_stay_days)
    after_procedure = timedelta(days=acute.days_after_procedure)
    periods = [
        (s.start.first, _ended(s.end, s.start.last + unclosed, as_of) + after_stay)
        for s in record.stays
        if s.start is not None
    ]
    periods += [
        (p.performed.first, _ended(p.ended, p.performed.last, as_of) + after_procedure)
        for p in record.procedures
        if p.concept == "major-surgery-or-transfusion" and p.performed is not None
    ]
    return periods


def _ended(end: RecordedDate | None, otherwise: date, as_of: date) -> date:
    """A recorded end; one that lies in the future is none."""
    return end.last if end is not None and end.last <= as_of else otherwise
