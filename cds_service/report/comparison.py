"""A forecast beside what happened, situation by situation. Pure.

Memory holds the cards that went out and for whom; how many patients and encounters there were, the
site knows. What is not known stays open: it is never taken for zero.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import msgspec

from cds_service.database.history import History
from cds_service.hooks.request import PATIENT_VIEW
from cds_service.html_report import Cell
from cds_service.report import Plot, Report, Section
from cds_service.report.forecast import Forecast, Key
from cds_service.report.reasons import title_of
from cds_service.rulebook import Rulebook
from cds_service.words import counted, on

_WEEK_DAYS, _YEAR_DAYS = 7, 365.25
_CAUTION = (
    "A forecast replays the record as it stands today, at the start of encounters or at results; live,"
    " a chart is opened more often, cards that were set aside stay quiet, and a card that went out may not"
    " have been displayed. Situations in shadow leave no card on record and are not compared. No clinician"
    " has signed the model off."
)


class Site(msgspec.Struct, frozen=True):
    """What the site counted in the measured period; None is not known."""

    patients: int | None = None
    encounters: int | None = None


class _Measured(msgspec.Struct, frozen=True):
    days: int
    cards: Mapping[Key, int]
    patients_with_card: int


def comparison(
    found: History, forecast: Forecast, book: Rulebook, first: date, last: date, site: Site
) -> Report:
    """Forecast and measurement of the cards, with what each is counted in."""
    measured = _Measured(
        days=(last - first).days + 1,
        cards=Counter((c.situation, c.hook) for c in found.cards),
        # A patient of two clients has two pseudonyms, and counts twice.
        patients_with_card=len({(c.client, c.patient) for c in found.cards}),
    )
    return Report(
        title="Low ALP cards: forecast and measured",
        period=(
            f"Forecast for {on(forecast.first)} to {on(forecast.last)}, measured {on(first)} to"
            f" {on(last)}, days in UTC"
        ),
        summary=_summary(forecast, measured),
        sections=list(_sections(found, forecast, measured, book, site)),
        caution=_CAUTION,
    )


def _summary(forecast: Forecast, measured: _Measured) -> str:
    total = sum(measured.cards.values())
    live = f"{counted(total, 'card')} went out, {_weekly(total, measured.days)} a week"
    if forecast.total is None:
        return f"{live}. The forecast hides counts below {forecast.hidden_below}."
    expected = _weekly(forecast.total, forecast.days)
    return f"{live}; {expected} a week were forecast."


def _sections(
    found: History, forecast: Forecast, measured: _Measured, book: Rulebook, site: Site
) -> Iterator[Section]:
    keys = sorted(
        {*forecast.cards, *measured.cards},
        key=lambda k: (-(forecast.expected(k) or 0), -measured.cards.get(k, 0), k),
    )
    yield _by_week(keys, forecast, measured, book)
    yield _per_thousand(keys, forecast, measured, book, site)
    yield _shares(keys, forecast, measured, book)
    yield _counted_in(forecast, measured, site)
    yield _versions(found, forecast)


def _by_week(
    keys: Sequence[Key], forecast: Forecast, measured: _Measured, book: Rulebook
) -> Section:
    rates = [
        (
            _weekly(forecast.expected(k), forecast.days),
            _weekly(measured.cards.get(k, 0), measured.days),
        )
        for k in keys
    ]
    labels = [f"{title_of(slug, book)} ({hook})" for slug, hook in keys]
    plot = Plot(
        labels,
        [("Forecast", [e for e, _ in rates]), ("Measured", [m for _, m in rates])],
        counts="cards a week",
        stacked=False,
    )
    return _section(
        "cardsPerWeek",
        "Cards a week",
        "A forecast does not ask at order-select, and hides small counts when it was told to: –.",
        ("Forecast", "Measured", "Forecast a week", "Measured a week"),
        ("forecastCards", "measuredCards", "forecastPerWeek", "measuredPerWeek"),
        keys,
        [
            (forecast.expected(k), measured.cards.get(k, 0), *rate)
            for k, rate in zip(keys, rates, strict=True)
        ],
        book,
        plot if keys else None,
    )


def _per_thousand(
    keys: Sequence[Key], forecast: Forecast, measured: _Measured, book: Rulebook, site: Site
) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        cards, seen = forecast.expected(key), measured.cards.get(key, 0)
        at_encounters = key[1] == PATIENT_VIEW
        rows.append(
            (
                _of(_yearly(cards, forecast.days), forecast.patients),
                _of(_yearly(seen, measured.days), site.patients),
                _of(cards, forecast.encounters) if at_encounters else None,
                _of(seen, site.encounters) if at_encounters else None,
            )
        )
    return _section(
        "per1000",
        "Cards per 1,000",
        "Per 1,000 patients and year, and at patient-view per 1,000 encounters. Measured rates need the"
        " numbers that only the site has (--patients, --encounters); –: not known.",
        (
            *("Forecast, patients", "Measured, patients"),
            *("Forecast, encounters", "Measured, encounters"),
        ),
        (
            *("forecastPer1000PatientYears", "measuredPer1000PatientYears"),
            *("forecastPer1000Encounters", "measuredPer1000Encounters"),
        ),
        keys,
        rows,
        book,
    )


def _shares(
    keys: Sequence[Key], forecast: Forecast, measured: _Measured, book: Rulebook
) -> Section:
    total = sum(measured.cards.values())
    rows = [
        (
            _percent(forecast.expected(k), forecast.total),
            _percent(measured.cards.get(k, 0), total),
        )
        for k in keys
    ]
    return _section(
        "shares",
        "Share of all cards",
        "In percent. Shares compare without knowing how many patients or encounters there were.",
        ("Forecast, %", "Measured, %"),
        ("forecastPercent", "measuredPercent"),
        keys,
        rows,
        book,
    )


def _counted_in(forecast: Forecast, measured: _Measured, site: Site) -> Section:
    total, with_card = sum(measured.cards.values()), measured.patients_with_card
    rows: list[tuple[str, str, Cell, Cell]] = [
        ("days", "Days", forecast.days, measured.days),
        ("cards", "Cards", forecast.total, total),
        ("patientsWithCard", "Patients with a card", forecast.patients_with_card, with_card),
        (
            "cardsPerPatientWithCard",
            "Cards for each patient with a card",
            _ratio(forecast.total, forecast.patients_with_card),
            _ratio(total, with_card),
        ),
        ("patients", "Patients", forecast.patients, site.patients),
        ("encounters", "Encounters", forecast.encounters, site.encounters),
        ("orders", "Signings of antiresorptive orders", forecast.orders, None),
    ]
    return Section(
        "countedIn",
        "What the numbers are counted in",
        "The service keeps cards and, as pseudonyms, patients with a card; it keeps no count of calls,"
        " patients, encounters or orders. –: not known.",
        ("Number", "Forecast", "Measured"),
        [tuple(row[1:]) for row in rows],
        machine_rows=[{"id": r[0], "forecast": r[2], "measured": r[3]} for r in rows],
    )


def _versions(found: History, forecast: Forecast) -> Section:
    cards = sorted(Counter(c.knowledge_version for c in found.cards).items())
    rows: list[tuple[Cell, ...]] = [
        (f"forecast, policy {forecast.policy}", forecast.knowledge, forecast.total)
    ]
    rows += [("measured", version, count) for version, count in cards]
    return Section(
        "knowledge",
        "By which rules",
        "Rules of two versions are better not compared."
        + (
            f" The forecast leaves out cards shown again within {forecast.snooze_days} days."
            if forecast.snooze_days
            else " The forecast counts every repeat: nothing stays quiet in it."
        ),
        ("Cards", "Version of the knowledge", "Number"),
        rows,
    )


def _section(
    key: str,
    title: str,
    text: str,
    head: tuple[str, ...],
    names: tuple[str, ...],
    keys: Sequence[Key],
    rows: Sequence[tuple[Cell, ...]],
    book: Rulebook,
    plot: Plot | None = None,
) -> Section:
    """A row for each situation and hook; machines get the slug."""
    return Section(
        key,
        title,
        text,
        ("Situation", "Hook", *head),
        [(title_of(k[0], book), k[1], *row) for k, row in zip(keys, rows, strict=True)],
        plot,
        machine_rows=[
            {"situation": k[0], "hook": k[1], **dict(zip(names, row, strict=True))}
            for k, row in zip(keys, rows, strict=True)
        ],
    )


def _weekly(cards: int | None, days: int) -> float | None:
    return None if cards is None else round(cards * _WEEK_DAYS / days, 2)


def _yearly(cards: int | None, days: int) -> float | None:
    return None if cards is None else cards * _YEAR_DAYS / days


def _of(cards: float | None, number: int | None) -> float | None:
    return round(1000 * cards / number, 2) if cards is not None and number else None


def _ratio(part: int | None, whole: int | None) -> float | None:
    return round(part / whole, 2) if part is not None and whole else None


def _percent(part: int | None, whole: int | None) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None
