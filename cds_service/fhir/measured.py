"""One measured value: its number and unit, its laboratory's limits, and why it may not be used."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.statuses import normal
from cds_service.quantity import (
    COMPARATORS,
    Quantity,
    UnitConflict,
    Units,
    read_number,
    unit_factor,
    writable,
)
from cds_service.record import RecordedDate, age_at

FINAL = frozenset({"final", "amended", "corrected"})
_LONGEST_UNIT = 16
_given = msgspec.json.Decoder(r.Quantity | None)
_ranges = msgspec.json.Decoder(tuple[r.ReferenceRange, ...] | None)

Measured = r.Observation | r.Component
"""Where a value stands: in the Observation itself or in one of its components."""
Limits = tuple[Quantity | None, Quantity | None]
"""The lowest and the highest value that is normal."""


def read_quantity(measured: Measured, units: Units | None) -> Quantity | None:
    """The number with its unit; None when there is no single number.

    Raises UnitConflict, and a decoding error when the value is not what FHIR says.
    """
    given = _given.decode(measured.valueQuantity)
    if given is not None and given.value is not None:
        if not writable(given.value):
            return None
        unit, factor = unit_factor(units, given.unit, given.code)
        return Quantity(given.value, unit, given.comparator or None, factor)
    if measured.valueString:
        read = read_number(measured.valueString)
        if read is not None:
            value, comparator, text = read
            unit, factor = unit_factor(units, text, None)
            return Quantity(value, unit, comparator, factor)
    if isinstance(measured, r.Observation) and measured.valueInteger is not None:
        return Quantity(Decimal(measured.valueInteger))
    return None


def read_ranges(measured: Measured) -> tuple[r.ReferenceRange, ...]:
    """The laboratory's reference ranges. Raises a decoding error when they are not what FHIR says."""
    return _ranges.decode(measured.referenceRange) or ()


def limits(
    ranges: Iterable[r.ReferenceRange],
    quantity: Quantity | None,
    units: Units | None,
    born: RecordedDate | None,
    taken: RecordedDate | None,
) -> Limits:
    """The laboratory's limits for this sample: of several that fit, the lowest low and highest high."""
    low: Quantity | None = None
    high: Quantity | None = None
    for given in ranges:
        if _is_normal(given.type) and _fits_age(given.age, born, taken):
            lower = _limit(given.low, quantity, units)
            upper = _limit(given.high, quantity, units)
            if lower and (low is None or _comparable(lower) < _comparable(low)):
                low = lower
            if upper and (high is None or _comparable(upper) > _comparable(high)):
                high = upper
    return low, high


def _comparable(limit: Quantity) -> Decimal:
    canonical = limit.canonical
    return limit.value if canonical is None else canonical


def _limit(
    given: r.Quantity | None, quantity: Quantity | None, units: Units | None
) -> Quantity | None:
    if given is None or given.value is None or not writable(given.value):
        return None
    try:
        unit, factor = unit_factor(units, given.unit, given.code)
    except UnitConflict:
        return None
    if unit is None and quantity is not None:
        # A range without a unit is printed in the unit of its result.
        unit, factor = quantity.unit, quantity.factor
    return Quantity(given.value, unit, None, factor)


def _is_normal(kind: r.CodeableConcept | None) -> bool:
    codings = kind.coding if kind else None
    return not codings or any(c.code == "normal" for c in codings)


def _fits_age(given: r.Range | None, born: RecordedDate | None, taken: RecordedDate | None) -> bool:
    age = age_at(born, taken.first) if given and taken else None
    if given is None or age is None:
        return True
    low, high = given.low, given.high
    if any(q and q.value is not None and not writable(q.value) for q in (low, high)):
        return True
    if any(q and (q.code or q.unit) not in ("a", "year", "years", None) for q in (low, high)):
        return True
    return not (
        (low and low.value is not None and age.years < low.value)
        or (high and high.value is not None and age.years > high.value)
    )


def problem(
    observation: r.Observation,
    quantity: Quantity | None,
    taken: RecordedDate | None,
    units: Units | None,
    low: Quantity | None,
    high: Quantity | None = None,
) -> str | None:
    """Why this result may not be used; None when it may."""
    if observation.status not in FINAL and normal(observation.status) not in FINAL:
        return f"its status is not final ({observation.status or 'none given'})"[:60]
    if quantity is None:
        return "it has no value that could be read as one number"
    if quantity.comparator is not None and quantity.comparator not in COMPARATORS:
        return "its comparator is not known"
    if taken is None:
        return "it has no date"
    if units is None:
        return None
    canonical = quantity.canonical
    if canonical is None:
        if quantity.unit is not None:
            return f"its unit ({quantity.unit[:_LONGEST_UNIT]}) is not one that we accept"
        if all(limit is None or limit.unit is not None for limit in (low, high)):
            return "it has no unit"
        return None
    return None if units.plausible(canonical) else "its value is not plausible"
