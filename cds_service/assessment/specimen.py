"""Whether a low ALP may come from the tube: EDTA binds the zinc and magnesium that ALP needs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from cds_service.policy import Policy
from cds_service.record import LabResult, Results


class Suspicion(msgspec.Struct, frozen=True):
    """Why a specimen is suspect: the named tube, or potassium and calcium of the same sample."""

    tube: str | None = None
    potassium: LabResult | None = None
    calcium: LabResult | None = None


class Contamination(msgspec.Struct, frozen=True):
    """Every high potassium and low calcium on record, to be looked up for one sample after another."""

    potassium: Sequence[LabResult] = ()
    calcium: Sequence[LabResult] = ()


def contamination(results: Results, policy: Policy) -> Contamination:
    """What could speak for contaminated samples. Without a high potassium nothing does."""
    potassium = [r for r in results.newest_first("potassium") if _high_potassium(r, policy)]
    if not potassium:
        return Contamination()
    calcium = [r for r in results.newest_first("calcium-total") if _low_calcium(r, policy)]
    return Contamination(potassium, calcium)


def suspicion(alp: LabResult, signs: Contamination, policy: Policy) -> Suspicion | None:
    """The reason to distrust this sample, or None.

    Potassium or calcium alone is no reason: both can be truly abnormal.
    """
    if alp.tube is not None:
        return Suspicion(tube=alp.tube)
    high = next((r for r in signs.potassium if same_sample(alp, r, policy)), None)
    low = next((r for r in signs.calcium if same_sample(alp, r, policy)), None)
    return Suspicion(potassium=high, calcium=low) if high and low else None


def repeated_normal(alp: LabResult, results: Results, policy: Policy) -> bool:
    """Whether potassium and calcium were both measured again later, and were normal."""
    potassium = _later(alp, results.newest_first("potassium"))
    calcium = _later(alp, results.newest_first("calcium-total"))
    return (
        bool(potassium and calcium)
        and not any(_high_potassium(r, policy) for r in potassium)
        and not any(_low_calcium(r, policy) for r in calcium)
    )


def _later(alp: LabResult, results: Iterable[LabResult]) -> list[LabResult]:
    return [
        r
        for r in results
        if _value(r) is not None and r.taken and alp.taken and r.taken.first > alp.taken.last
    ]


def same_sample(one: LabResult, other: LabResult, policy: Policy) -> bool:
    """By specimen where both name one, else by the time at which they were taken."""
    if one.specimen and other.specimen:
        return one.specimen == other.specimen
    if not one.taken_at or not other.taken_at:
        return False
    if one.taken_at == other.taken_at:
        return True
    first, second = _moment(one.taken_at), _moment(other.taken_at)
    if first is None or second is None:
        return False
    if (first.tzinfo is None) != (second.tzinfo is None):
        first, second = first.replace(tzinfo=None), second.replace(tzinfo=None)
    return abs(first - second) <= timedelta(minutes=policy.specimen.same_sample_minutes)


def _moment(text: str) -> datetime | None:
    if "T" not in text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _value(result: LabResult) -> Decimal | None:
    if result.problem is not None or result.quantity is None:
        return None
    return result.quantity.canonical


def _high_potassium(result: LabResult, policy: Policy) -> bool:
    value = _value(result)
    return value is not None and value > policy.specimen.potassium_above


def _low_calcium(result: LabResult, policy: Policy) -> bool:
    value = _value(result)
    return value is not None and value < policy.specimen.calcium_below
