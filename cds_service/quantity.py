"""Numbers with units, exact in the unit they were written in.

A unit is accepted only when the table of that analyte lists its spelling: UCUM alone would read
`u/L` as atomic mass units and refuses `IU/L`, both of which laboratories send. Nothing is ever
inferred from the size of a number.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

import msgspec

_NUMBER = re.compile(
    r"\s*(?P<comparator><=|>=|<|>)?\s*(?P<value>\d{1,9}(?:\.\d{1,15})?)\s*(?P<unit>%|[^\s\d,;:/]\S{0,15}/\S{1,15})?\s*"
)
_LONGEST_NUMBER = 64
COMPARATORS = frozenset({"<", "<=", ">", ">="})
_LARGEST_EXPONENT = 9


class Quantity(msgspec.Struct, frozen=True, gc=False):
    """A measured number as the laboratory wrote it."""

    value: Decimal
    unit: str | None = None
    """The spelling that was recognised, or the printed one when none was; None when none came."""
    comparator: str | None = None
    """`<`, `<=`, `>` or `>=`: the true value lies on that side. None when measured exactly."""
    factor: Decimal | None = None
    """Multiplier to the analyte's canonical unit; None when the unit is missing or unknown."""

    @property
    def canonical(self) -> Decimal | None:
        """The value in the analyte's canonical unit, or None when that cannot be known."""
        return None if self.factor is None else self.value * self.factor

    def __str__(self) -> str:
        return f"{self.comparator or ''}{number(self.value)}{' ' + self.unit if self.unit else ''}"


class Units(msgspec.Struct, frozen=True):
    """The unit spellings that are accepted for one analyte."""

    canonical: str
    factors: Mapping[str, Decimal]
    """Accepted spelling → multiplier to the canonical unit."""
    not_below: Decimal = Decimal(0)
    """A canonical value at or below this cannot be real."""
    not_above: Decimal = Decimal(10) ** _LARGEST_EXPONENT

    def plausible(self, canonical: Decimal) -> bool:
        """Whether a value in the canonical unit can be a real measurement at all."""
        return self.not_below < canonical <= self.not_above


class UnitConflict(ValueError):
    """`unit` and `code` of one Quantity name units of different size."""


def unit_factor(
    units: Units | None, unit: str | None, code: str | None
) -> tuple[str | None, Decimal | None]:
    """The printed unit and its factor, from Quantity.unit and Quantity.code.

    Raises UnitConflict when both are known and disagree.
    """
    if units is None:
        return unit or code, None
    by_code = units.factors.get(code) if code else None
    by_unit = units.factors.get(unit.strip()) if unit else None
    if by_code is not None and by_unit is not None and by_code != by_unit:
        raise UnitConflict(f"unit {unit!r} and code {code!r} are not the same unit")
    if by_unit is None and by_code is not None:
        return code, by_code  # what is printed beside a known code is not known to mean anything
    return unit or code, by_unit


def read_number(text: str) -> tuple[Decimal, str | None, str | None] | None:
    """Value, comparator and unit of a result sent as text such as `<20 U/L`.

    None when the text is anything more than one plain number.
    """
    if len(text) > _LONGEST_NUMBER:
        return None
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    unit = found["unit"]
    return Decimal(found["value"]), found["comparator"], unit.strip() if unit else None


def writable(value: Decimal) -> bool:
    """Whether a number is of a size that any measurement can have (guards 1E+999999)."""
    return value.is_finite() and -_LARGEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT


@lru_cache(maxsize=4096)
def number(value: Decimal) -> str:
    """A number for people: at most two decimals (three below 1), no trailing zeros, no exponent."""
    places = Decimal("0.001") if abs(value) < 1 else Decimal("0.01")
    if value.as_tuple().exponent < places.as_tuple().exponent:  # type: ignore[operator]
        value = value.quantize(places)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
