"""Whether a low ALP may come from the tube: EDTA binds the zinc and magnesium that ALP needs."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from cds_service.assessment.same_sample import SameSample
from cds_service.policy import Policy
from cds_service.record import LabResult, Results


class Suspicion(msgspec.Struct, frozen=True):
    """Why a specimen is suspect: the named tube, or potassium and calcium of the same sample."""

    tube: str | None = None
    potassium: LabResult | None = None
    calcium: LabResult | None = None


class Contamination(msgspec.Struct, frozen=True):
    """Every high potassium and low calcium on record, to be looked up for one sample after another."""

    potassium: SameSample
    calcium: SameSample


def contamination(results: Results, policy: Policy) -> Contamination | None:
    """What could speak for contaminated samples. Without a high potassium nothing does."""
    potassium = [r for r in results.newest_first("potassium") if high_potassium(r, policy)]
    if not potassium:
        return None
    calcium = [r for r in results.newest_first("calcium-total") if low_calcium(r, policy)]
    minutes = policy.specimen.same_sample_minutes
    return Contamination(SameSample(potassium, minutes), SameSample(calcium, minutes))


def suspicion(alp: LabResult, signs: Contamination | None) -> Suspicion | None:
    """The reason to distrust this sample, or None.

    Potassium or calcium alone is no reason: both can be truly abnormal.
    """
    if alp.tube is not None:
        return Suspicion(tube=alp.tube)
    if signs is None:
        return None
    potassium = signs.potassium.find(alp)
    calcium = signs.calcium.find(alp) if potassium else None
    return Suspicion(potassium=potassium, calcium=calcium) if potassium and calcium else None


def repeated_normal(alp: LabResult, results: Results, policy: Policy) -> bool:
    """Whether potassium and calcium were both measured again later, and were normal."""
    potassium = _later(alp, results.newest_first("potassium"))
    calcium = _later(alp, results.newest_first("calcium-total"))
    return (
        bool(potassium and calcium)
        and not any(high_potassium(r, policy) for r in potassium)
        and not any(low_calcium(r, policy) for r in calcium)
    )


def high_potassium(result: LabResult, policy: Policy) -> bool:
    """Potassium so high that EDTA may be in the tube, or that it is urgent."""
    value = _value(result)
    return value is not None and value > policy.specimen.potassium_above


def low_calcium(result: LabResult, policy: Policy) -> bool:
    """Total calcium so low that EDTA may be in the tube, or that it is urgent."""
    value = _value(result)
    # To two decimals, as laboratories report it: 8.0 mg/dL is 1.996 mmol/L and means 2.00.
    return value is not None and round(value, 2) < policy.specimen.calcium_below


def _later(alp: LabResult, results: Iterable[LabResult]) -> list[LabResult]:
    return [
        r
        for r in results
        if _value(r) is not None and r.taken and alp.taken and r.taken.first > alp.taken.last
    ]


def _value(result: LabResult) -> Decimal | None:
    if result.problem is not None or result.quantity is None:
        return None
    return result.quantity.canonical
