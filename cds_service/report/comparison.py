"""A forecast beside what happened. Pure.

Memory holds the cards that went out, and those that would have in shadow, and for whom; how many
patients and encounters there were, the site knows. What is not known stays open: it is never taken
for zero.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date

from cds_service.database.history import History
from cds_service.html_report import Cell
from cds_service.report import Report, Section
from cds_service.report.compared_rates import by_week, per_thousand, shares, weekly
from cds_service.report.forecast import Forecast
from cds_service.report.measured import Measured, Site, measured
from cds_service.rulebook import Rulebook
from cds_service.words import counted, on

_CAUTION = (
    "A forecast replays the record as it stands today, at the start of encounters or at results; live,"
    " a chart is opened more often, cards that were set aside stay quiet, and a card that went out may not"
    " have been displayed. In shadow nothing is set aside, and a card that one in shadow would have"
    " outranked goes out and is counted, too. No clinician has signed the model off."
)


def comparison(
    found: History, forecast: Forecast, book: Rulebook, first: date, last: date, site: Site
) -> Report:
    """Forecast and measurement of the cards, with what each is counted in."""
    seen = measured(found, book.policy.situations, book.situations, first, last)
    return Report(
        title="Low ALP cards: forecast and measured",
        period=(
            f"Forecast for {on(forecast.first)} to {on(forecast.last)}, measured {on(first)} to"
            f" {on(last)}, days in UTC"
        ),
        summary=_summary(found, forecast, seen),
        sections=list(_sections(found, forecast, seen, book, site)),
        caution=_CAUTION,
    )


def _summary(found: History, forecast: Forecast, seen: Measured) -> str:
    live = f"{counted(len(found.cards), 'card')} went out"
    if found.findings:
        live += f", and {len(found.findings)} would have in shadow"
    if seen.elsewhere:
        live += f", {seen.total} of them at moments that a forecast asks about"
    live += f", {weekly(seen.total, seen.days)} a week"
    if forecast.total is None:
        return f"{live}. The forecast hides counts below {forecast.hidden_below}."
    return f"{live}; {weekly(forecast.total, forecast.days)} a week were forecast."


def _sections(
    found: History, forecast: Forecast, seen: Measured, book: Rulebook, site: Site
) -> Iterator[Section]:
    keys = sorted(
        {*forecast.cards, *seen.cards},
        key=lambda k: (-(forecast.expected(k) or 0), -seen.cards.get(k, 0), k),
    )
    yield by_week(keys, forecast, seen, book)
    yield per_thousand(keys, forecast, seen, book, site)
    yield shares(keys, forecast, seen, book)
    yield _counted_in(forecast, seen, site)
    yield _versions(found, forecast)


def _counted_in(forecast: Forecast, seen: Measured, site: Site) -> Section:
    rows: list[tuple[str, str, Cell, Cell]] = [
        ("days", "Days", forecast.days, seen.days),
        ("cards", "Cards at moments that a forecast asks about", forecast.total, seen.total),
        ("cardsInShadow", "Of these in shadow", forecast.in_shadow, seen.in_shadow),
        ("cardsElsewhere", "Cards at other moments (order-select)", None, seen.elsewhere),
        (
            "patientsWithCard",
            "Patients with a card",
            forecast.patients_with_card,
            seen.patients_with_card,
        ),
        (
            "cardsPerPatientWithCard",
            "Cards for each patient with a card",
            _ratio(forecast.total, forecast.patients_with_card),
            _ratio(seen.total, seen.patients_with_card),
        ),
        ("patients", "Patients", forecast.patients, site.patients),
        ("encounters", "Encounters", forecast.encounters, site.encounters),
        ("orders", "Signings of antiresorptive orders", forecast.orders, None),
    ]
    return Section(
        "countedIn",
        "What the numbers are counted in",
        "Cards that would have gone out in shadow are counted with the others. The service keeps cards"
        " and, as pseudonyms, patients with a card; it keeps no count of patients, encounters or orders."
        " –: not known.",
        ("Number", "Forecast", "Measured"),
        [tuple(row[1:]) for row in rows],
        machine_rows=[{"id": r[0], "forecast": r[2], "measured": r[3]} for r in rows],
    )


def _versions(found: History, forecast: Forecast) -> Section:
    cards = sorted(Counter(c.knowledge_version for c in found.cards_and_findings).items())
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


def _ratio(part: int | None, whole: int | None) -> float | None:
    return round(part / whole, 2) if part is not None and whole else None
