"""Dates, numbers and lists as clinicians read them."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from cds_service.quantity import Quantity, number
from cds_service.record import LabResult, RecordedDate

# Spelt here because strftime follows the locale of the machine.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PRINTED = {
    "U/L": "U/L",
    "mmol/L": "mmol/L",
    "ukat/L": "µkat/L",
    "ug/L": "µg/L",
    "ug/dL": "µg/dL",
    "umol/L": "µmol/L",
    "umol/g{creat}": "µmol/g creatinine",
}
_UNIT = re.compile(r"(?:\[[Ii]U\]|10\*|[A-Za-z0-9%µμ/.^{} ()-]){1,20}")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~])")


@lru_cache(maxsize=4096)
def on(day: date) -> str:
    """`12 Aug 2026`"""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def dated(day: RecordedDate | None) -> str:
    """The day, month or year on record; `date not recorded` when there is none."""
    if day is None:
        return "date not recorded"
    if day.exact:
        return on(day.first)
    if day.first.month == day.last.month:
        return f"{_MONTHS[day.first.month - 1]} {day.first.year}"
    return str(day.first.year)


def amount(quantity: Quantity) -> str:
    """A value with its unit as reported; `no unit` is said, not left to be overlooked."""
    value = f"{quantity.comparator or ''}{number(quantity.value)}"
    return f"{value} {unit(quantity.unit)}" if quantity.unit else f"{value} (no unit)"


def unit(spelling: str) -> str:
    """A unit as people write it. Text that no unit is made of is not shown: it may be markup."""
    printed = _PRINTED.get(spelling)
    if printed is not None:
        return printed
    return spelling if _UNIT.fullmatch(spelling) else "(unit not shown)"


def at(day: RecordedDate | None) -> str:
    """`on 12 Aug 2026`, `in Aug 2026`, `in 2026`, `on a date not recorded`."""
    if day is None:
        return "on a date not recorded"
    return f"{'on' if day.exact else 'in'} {dated(day)}"


def alp(quantity: Quantity) -> str:
    """An ALP value as reported, with U/L beside it when it was reported in another unit."""
    shown = amount(quantity)
    canonical = quantity.canonical
    if canonical is None or quantity.factor == 1:
        return shown
    return f"{shown} ({quantity.comparator or ''}{tenth(canonical)} U/L)"


@lru_cache(maxsize=4096)
def tenth(value: Decimal) -> str:
    """A number to one decimal at most: more would claim a precision that no laboratory has."""
    return number(value.quantize(Decimal("0.1")))


def result(found: LabResult) -> str:
    """A result with unit and date."""
    return f"{amount(found.quantity)} ({dated(found.taken)})" if found.quantity else "no value"


def listed(items: Iterable[str], joint: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    found: Sequence[str] = list(items)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} {joint} {found[-1]}"


def escaped(text: str) -> str:
    """Text from the record made harmless in markdown and HTML."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))


def counted(count: int, noun: str) -> str:
    """`1 value`, `2 values`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
