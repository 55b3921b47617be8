"""What a history adds up to, section by section. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

from cds_service.database.history import Became, Comment, History, PastCard
from cds_service.report import Cell, Plot, Report, Section
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
            *([_comments(found.comments, book)] if comments else []),
        ],
    )


def _summary(found: History) -> str:
    total = len(found.cards)
    if not total:
        return "No card went out."
    became = Counter(c.became for c in found.cards)
    told = ("were taken", "were set aside", "had no answer")
    shares = ", ".join(
        f"{became[b]} ({_percent(became[b], total)} %) {words}"
        for b, words in zip(_BECAME, told, strict=True)
    )
    unknown = (
        f" {counted(found.unknown_entries, 'answer')} came about a card that is not on record."
        if found.unknown_entries
        else ""
    )
    return f"{counted(total, 'card')} went out: {shares}.{unknown}"


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
        label=lambda slug: _title(slug, book),
    )
    yield _reasons(found, book)
    yield _reasons_by_situation(found, book)
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
    return (total, *became, _percent(became[0], total), _percent(became[1], total))


def _reasons(found: History, book: Rulebook) -> Section:
    said = Counter(_reason(c, book) for c in found.cards if c.became == "overridden")
    ordered = sorted(said.items(), key=lambda i: (-i[1], i[0]))
    total = sum(said.values())
    labels = [words for (_, words), _ in ordered]
    return Section(
        "reasons",
        "Why cards were set aside",
        "The reason chosen last for each card. Reasons that a client added itself stand by their code.",
        ("Reason", "Cards", "Of those set aside, %"),
        [(words, count, _percent(count, total)) for (_, words), count in ordered],
        Plot(labels, [("Set aside", [n for _, n in ordered])]) if said else None,
        [code for (code, _), _ in ordered],
    )


def _reasons_by_situation(found: History, book: Rulebook) -> Section:
    said = Counter((c.situation, _reason(c, book)) for c in found.cards if c.became == "overridden")
    ordered = sorted(said.items(), key=lambda i: (-i[1], i[0][1]))
    situations = Counter(c.situation for c in found.cards if c.became == "overridden")
    slugs = sorted(situations, key=lambda slug: (-situations[slug], slug))
    reasons = [
        "; ".join(f"{words} {n}" for (of, (_, words)), n in ordered if of == slug) for slug in slugs
    ]
    return Section(
        "reasonsBySituation",
        "Reasons by situation",
        "A reason that stands out for one situation says where its rule or its words need work.",
        ("Situation", "Set aside", "Reasons"),
        [
            (_title(slug, book), situations[slug], said_why)
            for slug, said_why in zip(slugs, reasons, strict=True)
        ],
        machine_rows=[
            {"situation": slug, "reason": code, "cards": n} for (slug, (code, _)), n in ordered
        ],
    )


def _reason(card: PastCard, book: Rulebook) -> tuple[str, str]:
    """Code and words of why a card was set aside."""
    if card.reason_code is None:
        return ("comment", "A comment only") if card.commented else ("none", "No reason given")
    if card.reason_system != book.override_system:
        return (
            f"{card.reason_system or ''}|{card.reason_code}",
            f"{card.reason_code} (of the client)",
        )
    known = book.override_reasons.get(card.reason_code)
    return card.reason_code, known.display if known else card.reason_code


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
            (label, offered[c], taken[c], _percent(taken[c], offered[c]))
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
    return _title(comment.situation, book)


def _title(slug: str, book: Rulebook) -> str:
    """A situation that this version no longer has stands by its slug."""
    situation = book.situations.get(slug)
    return situation.title if situation else slug


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


def _percent(part: int, total: int) -> int | None:
    return round(100 * part / total) if total else None
