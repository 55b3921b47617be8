"""The parts of the report: each a sentence, a plot and the plain table of the same numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cds_service.html_report import Part
from cds_service.rulebook import Rulebook
from cds_service.screen.comparisons import changes, naive, silences
from cds_service.screen.numbers import figure, said
from cds_service.screen.plan import Plan
from cds_service.screen.run_record import card_rows, cards_by_span
from cds_service.screen.spans import by_indicator, spans
from cds_service.screen.suppression import alone, per_thousand, shown
from cds_service.screen.tally import PolicyTally, Tally, age_bands

INDICATORS = ("critical", "warning", "info")


def sections(plan: Plan, books: Sequence[Rulebook], counts: Tally) -> Iterator[Part]:
    """The parts in the order in which they are read."""
    for number, (book, policy) in enumerate(zip(books, counts.policies, strict=True)):
        name = _policy_name(number, books)
        yield _cards(plan, book, policy, counts, name)
        if plan.replay is not None:
            yield _months(plan, policy, name)
            yield _repeats(plan, policy, name)
        yield _groups(plan, policy, counts, name)
    yield naive(plan, books, counts)
    if len(books) == 2:
        yield changes(plan, counts)
    for number, policy in enumerate(counts.policies):
        yield silences(plan, books[number], policy, _policy_name(number, books))


def _policy_name(number: int, books: Sequence[Rulebook]) -> str:
    if len(books) == 1:
        return ""
    return f", policy {'AB'[number]} ({books[number].policy.version})"


def _cards(plan: Plan, book: Rulebook, policy: PolicyTally, counts: Tally, name: str) -> Part:
    rows = card_rows(policy, counts, plan)
    heads = {
        "per1000Encounters": "Per 1,000 encounters",
        "per1000AlpMoments": "Per 1,000 ALP results",
        "per1000Orders": "Per 1,000 orders",
    }
    rates = [r for r in heads if any(r in row for row in rows)]
    table = tuple(
        (
            book.situations[row["situation"]].title,
            row["hook"],
            row["indicator"],
            row["cards"],
            row["patients"],
            row["per1000Patients"],
            *(row.get(r, "") for r in rates),
        )
        for row in rows
    )
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": indicator,
            "y": [_label(r) for r in rows if r["indicator"] == indicator],
            "x": [r["cards"] for r in rows if r["indicator"] == indicator],
            "meta": indicator,
        }
        for indicator in INDICATORS
        if any(r["indicator"] == indicator for r in rows)
    ]
    labels = list(dict.fromkeys(map(_label, rows)))[::-1]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "cards"}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels, "automargin": True},
        "height": 140 + 30 * len(labels),
    }
    total = alone(policy.patients_with_card, plan.suppress_below)
    rate = per_thousand(total, counts.patients)
    share = "" if rate is None else f" ({rate:,} per 1,000)"
    text = f"{said(total, plan)} of {counts.patients:,} patients{share} would have had a card."
    return Part(
        f"Cards by situation and indicator{name}",
        text,
        (
            *("Situation", "Hook", "Indicator", "Cards", "Patients", "Patients per 1,000"),
            *(heads[r] for r in rates),
        ),
        table,
        figure(bars, layout),
    )


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['situation']} (order)" if row["hook"] == "order-sign" else row["situation"]


def _months(plan: Plan, policy: PolicyTally, name: str) -> Part:
    unit, months = spans(plan)
    cards = cards_by_span(policy, plan)
    series = {i: [by_indicator(cards, month, i) for month in months] for i in INDICATORS}
    bars = [
        {"type": "bar", "name": i, "x": months, "y": values, "meta": i}
        for i, values in series.items()
    ]
    layout = {
        "barmode": "stack",
        "yaxis": {"title": {"text": "cards"}},
        "xaxis": {"type": "category", "title": {"text": unit}},
    }
    return Part(
        f"Cards by {unit}{name}",
        f"A first {unit} stands out when nothing was shown before: old findings all come at once.",
        (unit.capitalize(), *INDICATORS),
        tuple((m, *(series[i][n] for i in INDICATORS)) for n, m in enumerate(months)),
        figure(bars, layout),
    )


def _repeats(plan: Plan, policy: PolicyTally, name: str) -> Part:
    numbers = sorted(n for n in policy.cards_a_patient if n)
    # Three, because two sums are known: of the patients, and of the cards that they saw.
    patients = shown([policy.cards_a_patient[n] for n in numbers], plan.suppress_below, fewest=3)
    labels = [f"{n} or more" if n == 5 else str(n) for n in numbers]
    again, snoozed = (alone(n, plan.suppress_below) for n in (policy.again, policy.snoozed))
    snooze = (
        f" Not shown, because the same situation's card had been shown in the {plan.snooze_days}"
        f" days before: {said(snoozed, plan).lower()}."
        if plan.snooze_days
        else " Nothing was snoozed: every card is counted each time."
    )
    bar = {"type": "bar", "x": labels, "y": patients, "name": "patients"}
    layout = {
        "xaxis": {"type": "category", "title": {"text": "times that a card was shown"}},
        "yaxis": {"title": {"text": "patients"}},
    }
    return Part(
        f"How often again{name}",
        f"Cards for a situation already shown for the same patient: {said(again, plan).lower()}.{snooze}",
        ("Times shown", "Patients"),
        tuple(zip(labels, patients, strict=True)),
        figure([bar], layout),
    )


def _groups(plan: Plan, policy: PolicyTally, counts: Tally, name: str) -> Part:
    bands = [b for b in age_bands() if any(key[1] == b for key in counts.by_group)]
    sexes = sorted({sex for sex, _ in counts.by_group})
    keys = [(sex, band) for sex in sexes for band in bands if counts.by_group[sex, band]]
    with_card = dict(
        zip(
            keys,
            shown([policy.patients_by_group[k] for k in keys], plan.suppress_below),
            strict=True,
        )
    )
    of = dict(
        zip(keys, shown([counts.by_group[k] for k in keys], plan.suppress_below), strict=True)
    )
    rates = {k: per_thousand(with_card[k], n) if (n := of[k]) else None for k in keys}
    bars = [
        {"type": "bar", "name": sex, "x": bands, "y": [rates.get((sex, b)) for b in bands]}
        for sex in sexes
    ]
    layout = {
        "barmode": "group",
        "xaxis": {"type": "category", "title": {"text": "age in years"}},
        "yaxis": {"title": {"text": "patients with a card, per 1,000"}},
    }
    return Part(
        f"By age and sex{name}",
        "Sex is the administrative gender on record. Few patients in a group make its rate uncertain.",
        ("Sex", "Age", "Patients", "With a card", "Per 1,000"),
        tuple(
            (sex, band, of[sex, band], with_card[sex, band], rates[sex, band]) for sex, band in keys
        ),
        figure(bars, layout),
    )
