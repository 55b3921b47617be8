"""A forecast beside what happened, situation by situation: as rates and shares. Pure."""

from collections.abc import Sequence

from cds_service.hooks.request import PATIENT_VIEW
from cds_service.html_report import Cell
from cds_service.report import Plot, Section
from cds_service.report.forecast import ASKED, Forecast, Key
from cds_service.report.measured import Measured, Site
from cds_service.report.reasons import title_of
from cds_service.rulebook import Rulebook

_WEEK_DAYS, _YEAR_DAYS = 7, 365.25


def by_week(keys: Sequence[Key], forecast: Forecast, measured: Measured, book: Rulebook) -> Section:
    """Cards a week."""
    rates = [
        (
            weekly(forecast.expected(k), forecast.days),
            weekly(measured.number(k), measured.days),
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
        "Measured live are cards that went out, in shadow those that would have; both: in the same period"
        " the one and the other. A forecast does not ask at order-select, and hides small counts when it"
        " was told to; of a situation that is off and left nothing on record nothing is known: –.",
        ("Forecast", "Measured", "Forecast a week", "Measured a week", "Measured in"),
        (
            *("forecastCards", "measuredCards", "forecastPerWeek", "measuredPerWeek"),
            "measuredIn",
        ),
        keys,
        [
            (forecast.expected(k), measured.number(k), *rate, measured.sources.get(k[0]))
            for k, rate in zip(keys, rates, strict=True)
        ],
        book,
        plot if keys else None,
    )


def per_thousand(
    keys: Sequence[Key], forecast: Forecast, measured: Measured, book: Rulebook, site: Site
) -> Section:
    """Cards per 1,000 patients and year, and per 1,000 encounters."""
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        cards, seen = forecast.expected(key), measured.number(key)
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
        "Cards per 1,000 patients and year, and per 1,000 encounters",
        "Per 1,000 patients and year, and at patient-view per 1,000 encounters. Measured rates need the"
        " numbers that only the site has (--patients, --encounters); –: not known.",
        (
            *("Forecast, patient-years", "Measured, patient-years"),
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


def shares(keys: Sequence[Key], forecast: Forecast, measured: Measured, book: Rulebook) -> Section:
    """Shares of the cards at moments that a forecast asks about."""
    rows = [
        (
            _percent(forecast.expected(k), forecast.total),
            _percent(measured.number(k), measured.total) if k[1] in ASKED else None,
        )
        for k in keys
    ]
    return _section(
        "shares",
        "Share of all cards",
        "In percent of the cards at moments that a forecast asks about. Shares compare without knowing"
        " how many patients or encounters there were.",
        ("Forecast, %", "Measured, %"),
        ("forecastPercent", "measuredPercent"),
        keys,
        rows,
        book,
    )


def weekly(cards: int | None, days: int) -> float | None:
    """Cards a week."""
    return None if cards is None else round(cards * _WEEK_DAYS / days, 2)


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


def _yearly(cards: int | None, days: int) -> float | None:
    return None if cards is None else cards * _YEAR_DAYS / days


def _of(cards: float | None, number: int | None) -> float | None:
    return round(1000 * cards / number, 2) if cards is not None and number else None


def _percent(part: int | None, whole: int | None) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None
