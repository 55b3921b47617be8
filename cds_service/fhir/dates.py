"""FHIR date and dateTime text read as the days it may mean."""

import calendar
import re
from datetime import date
from functools import lru_cache

from cds_service.record import RecordedDate

# A space in place of the T is invalid and common.
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:$|[T ])", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_EARLIEST, _LATEST = 1800, 2200
_LONGEST = 40


def recorded_date(text: str | None) -> RecordedDate | None:
    """The day, month or year written; None when nothing was, or nothing that is a date.

    A time and its zone are left aside: the day that counts is the one the laboratory wrote. A
    dateTime without a zone is invalid FHIR and common; it is read the same way.
    """
    return _dated(text) if text and len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _dated(text: str) -> RecordedDate | None:
    found = _read(text)
    # 9999-12-31 and 0001-01-01 are how some systems write "open": no day that anyone lived on.
    return found if found and _EARLIEST <= found.first.year <= _LATEST else None


def _read(text: str) -> RecordedDate | None:
    try:
        if _DAY.match(text):
            day = date.fromisoformat(text[:10])
            return RecordedDate(day, day)
        if _MONTH.fullmatch(text):
            year, month = int(text[:4]), int(text[5:])
            return RecordedDate(
                date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
            )
        if _YEAR.fullmatch(text):
            return RecordedDate(date(int(text), 1, 1), date(int(text), 12, 31))
    except ValueError:
        return None
    return None
