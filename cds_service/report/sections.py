"""What a history adds up to, section by section. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

from cds_service.database.history import Became, Comment, History, PastCard
from cds_service.html_report import Cell
from cds_service.report import Plot, Report, Section
from cds_service.report.in_shadow import in_shadow
from cds_service.report.reasons import by_reason, by_situation_and_reason, percent, title_of
from cds_service.rulebook import Rulebook
from cds_service.words import counted, on

_BECAME: tuple[Became, ...] = ("accepted", "overridden", "ignored")
_NAMES = {"accepted": "Taken", "overridden": "Set aside", "ignored": "No answer"}
_HEAD = ("Cards", "Taken", "Set aside", "No answer", "Taken, %", "Set aside, %")


def report(
    found: History, book: Rulebook, first: date, last: date, *, comments: bool = False
) -> Report:
    """Everything that the report says of these days."""
    return Report(
        title="What clinicians made of the low ALP cards",
        period=f"{on(first)} to {on(last)}, days and weeks in UTC",
        summary=_summary(found),
        sections=[
            *_sections(found, book),
            *in_shadow(found.findings, book, (last - first).days + 1),
            *([_comments(found.comments, book)] if comments else []),
        ],
        without_cards=not found.cards,
    )


def _summary(found: History) -> str:
    total = len(found.cards)
    unknown = (
        f" {counted(found.unknown_entries, 'answer')} came about a card that is not on record."
        if found.unknown_entries
        else ""
    )
    shadow = len(found.findings)
    would = f" In shadow {counted(shadow, 'card')} would have gone out." if shadow else ""
    if not total and shadow:
        return f"No card went out.{would}{unknown}"
    if not total:
        return f"Nothing to report yet: no card is on record for these days.{unknown}"
    became = Counter(c.became for c in found.cards)
    told = ("were taken", "were set aside", "had no answer")
    shares = ", ".join(
        f"{became[b]} ({percent(became[b], total)} %) {words}"
        for b, words in zip(_BECAME, told, strict=True)
    )
    return f"{counted(total, 'card')} went out: {shares}.{would}{unknown}"


def _sections(found: History, book: Rulebook) -> Iterator[Section]:
    yield _by(
        found,
        "weeks",
        "Week by week",
        "Weeks begin on Monday. Cards of the last days may still be answered.",
        "Week from",
        lambda c: _monday(c).isoformat(),
        in_order=_weeks(found.cards),
    )
    yield _by(
        found,
        "situations",
        "By situation",
        "Which cards they were.",
        "Situation",
        lambda c: c.situation,
        label=lambda slug: title_of(slug, book),
    )
    yield by_reason(found, book)
    yield by_situation_and_reason(found, book)
    yield _orders(found, book)
    yield _by(found, "hooks", "By moment", "When the card was shown.", "Hook", lambda c: c.hook)
    yield _by(
        found, "clients", "By client", "Who asked for the card.", "Client", lambda c: c.client
    )
    versions = Counter(c.knowledge_version for c in found.cards)
    yield Section(
        "knowledge",
        "By version of the knowledge",
        "Numbers before and after a change of the rules are better read apart.",
        ("Version", "Cards"),
        sorted(versions.items()),
    )


def _by(
    found: History,
    key: str,
    title: str,
    text: str,
    named: str,
    group: Callable[[PastCard], str],
    in_order: Sequence[str] = (),
    label: Callable[[str], str] = str,
) -> Section:
    """How many cards of each group became what; the largest group first unless an order is given."""
    sizes = Counter(group(c) for c in found.cards)
    became = Counter((group(c), c.became) for c in found.cards)
    ids = in_order or [name for name, _ in sorted(sizes.items(), key=lambda i: (-i[1], i[0]))]
    rows = [(label(i), *_counts([became[i, b] for b in _BECAME])) for i in ids]
    series = [(_NAMES[b], [became[i, b] for i in ids]) for b in _BECAME]
    plot = Plot([label(i) for i in ids], series, upright=bool(in_order)) if ids else None
    return Section(key, title, text, (named, *_HEAD), rows, plot, ids)


def _counts(became: Sequence[int]) -> tuple[Cell, ...]:
    total = sum(became)
    return (total, *became, percent(became[0], total), percent(became[1], total))


def _orders(found: History, book: Rulebook) -> Section:
    offers = [o for c in found.cards for o in c.offers]
    offered = Counter(o.order_code for o in offers)
    taken = Counter(o.order_code for o in offers if o.taken)
    codes = sorted(offered, key=lambda code: (-offered[code], code))
    labels = [book.orders[c].label if c in book.orders else c for c in codes]
    plot = Plot(
        labels,
        [("Taken", [taken[c] for c in codes]), ("Left", [offered[c] - taken[c] for c in codes])],
        counts="orders offered",
    )
    return Section(
        "orders",
        "Draft orders offered and taken",
        "One card may offer several orders. Orders that clinicians wrote themselves are not seen here.",
        ("Order", "Offered", "Taken", "Taken, %"),
        [
            (label, offered[c], taken[c], percent(taken[c], offered[c]))
            for label, c in zip(labels, codes, strict=True)
        ],
        plot if codes else None,
        codes,
    )


def _comments(comments: Sequence[Comment], book: Rulebook) -> Section:
    return Section(
        "comments",
        "Comments",
        "As they were written: they may hold patients' details. Do not pass this list on.",
        ("Day", "Situation", "Reason", "Comment"),
        [
            (c.said_at.date().isoformat(), _of(c, book), c.reason_code or "none", c.text)
            for c in comments
        ],
    )


def _of(comment: Comment, book: Rulebook) -> str:
    if comment.situation is None:
        return "a card that is not on record"
    return title_of(comment.situation, book)


def _monday(card: PastCard) -> date:
    day = card.issued_at.date()
    return day - timedelta(days=day.weekday())


def _weeks(cards: Sequence[PastCard]) -> list[str]:
    """Every week from the first card to the last, those without one among them."""
    if not cards:
        return []
    first, last = min(map(_monday, cards)), max(map(_monday, cards))
    count = (last - first).days // 7 + 1
    return [(first + timedelta(days=7 * n)).isoformat() for n in range(count)]
