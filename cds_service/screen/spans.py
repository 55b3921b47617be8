"""Cards by month and by year: what is hidden of the one cannot be worked out from the other."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from cds_service.screen.plan import Plan
from cds_service.screen.suppression import together, within
from cds_service.screen.tally import CardKey, PolicyTally

_MOST_MONTHS = 24
_YEAR = len("2026")

Cards = dict[tuple[str, CardKey], int | None]
"""Cards in a span, written as `2026` or `2026-11`, by key; None where they are not shown."""


def by_span(policy: PolicyTally, totals: Mapping[CardKey, int | None], below: int) -> Cards:
    """Every month and every year with cards; `totals` are the cards of each key as they are shown."""
    months: dict[tuple[str, CardKey], Counter[str]] = defaultdict(Counter)
    for (month, key), cards in policy.by_month.items():
        months[month[:_YEAR], key][month] = cards
    found: Cards = {}
    for key, total in totals.items():
        years = {year: inside.total() for (year, of), inside in sorted(months.items()) if of == key}
        found |= _parts(key, total, years, below)
        for year in years:
            found |= _parts(key, found[year, key], months[year, key], below)
    return found


def by_indicator(cards: Cards, span: str, indicator: str) -> int | None:
    """The cards of one indicator in a month or year."""
    return together([n for (of, key), n in cards.items() if of == span and key[2] == indicator])


def spans(plan: Plan) -> tuple[str, list[str]]:
    """Month or year, whichever gives a readable number of bars, and all of them in the period."""
    first, last = plan.period
    months = 12 * (last.year - first.year) + last.month - first.month + 1
    if months > _MOST_MONTHS:
        return "year", [str(year) for year in range(first.year, last.year + 1)]
    starts = (first.month - 1 + n for n in range(months))
    return "month", [f"{first.year + n // 12:04d}-{n % 12 + 1:02d}" for n in starts]


def is_month(span: str) -> bool:
    """Whether a span is a month, and not a year."""
    return len(span) > _YEAR


def _parts(
    key: CardKey, total: int | None, counts: Mapping[str, int], below: int
) -> Iterable[tuple[tuple[str, CardKey], int | None]]:
    names = sorted(counts)
    numbers = within(total, [counts[name] for name in names], below)
    return [((name, key), n) for name, n in zip(names, numbers, strict=True)]
