"""`cds-service report`: cards shown, and what clinicians made of them."""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cds_service.commands.db import reached
from cds_service.commands.refusal import Refusal, advisor_for, settings_in_force
from cds_service.database.history import History, history
from cds_service.database.schema import make_ready
from cds_service.html_report import Cell
from cds_service.report import Report, Section
from cds_service.report.comparison import comparison
from cds_service.report.forecast import Forecast, read_forecast
from cds_service.report.measured import Site
from cds_service.report.page import page
from cds_service.report.sections import report as report_on
from cds_service.rulebook import Rulebook

_WIDTH = 120
_KEYS = {
    "Set aside": "overridden",
    "No answer": "ignored",
    "Taken": "accepted",
    "Taken, %": "acceptedPercent",
    "Set aside, %": "overriddenPercent",
    "Of those set aside, %": "percent",
    "Week from": "weekFrom",
}
"""What a column is called in JSON, where it is not its head in small letters."""
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option(
    "--since",
    type=_DAY,
    help="First day, UTC; default: that of the first card, or finding in shadow.",
)
@click.option("--until", type=_DAY, help="Last day, UTC; default: today.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text")
@click.option("--comments", is_flag=True, help="List comments, which may hold patients' details.")
@click.option(
    "--compare",
    metavar="RUN",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of a replay by `cds-service screen`: its forecast beside what happened since --since.",
)
@click.option("--patients", type=click.IntRange(1), help="With --compare: patients in those days.")
@click.option(
    "--encounters", type=click.IntRange(1), help="With --compare: encounters in those days."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
)
def report(
    since: datetime | None,
    until: datetime | None,
    form: str,
    comments: bool,
    compare: Path | None,
    patients: int | None,
    encounters: int | None,
    output: Path | None,
) -> None:
    """What clinicians made of the cards.

    Cards shown, taken, set aside by reason, and unanswered; or beside a forecast.
    """
    site = Site(patients, encounters)
    _check(compare, site, since, comments=comments)
    settings = settings_in_force()
    book = advisor_for(settings).rulebook
    today = datetime.now(UTC).date()
    last = min(until.date(), today) if until else today
    first = since.date() if since else None
    if first is not None and first > last:
        raise Refusal(f"--since {first} comes after the last day, {last}")
    forecast = _forecast(compare, book) if compare else None
    found = _history(settings.database_url, first or date.min, last)
    first = first or _earliest(found, last)
    if forecast is None:
        made = report_on(found, book, first, last, comments=comments)
    else:
        made = comparison(found, forecast, book, first, last, site)
    try:
        _write(_in_form(made, form), output)
    except BrokenPipeError:
        raise  # whoever reads has had enough; click ends without a word
    except OSError as error:
        raise Refusal(f"{output}: cannot be written ({error.strerror})") from error


def _check(compare: Path | None, site: Site, since: datetime | None, *, comments: bool) -> None:
    if compare is None and site != Site():
        raise Refusal("--patients and --encounters go with --compare RUN")
    if compare is not None and since is None:
        raise Refusal(
            "--compare needs --since, the day on which measuring began: a rate needs days"
        )
    if compare is not None and comments:
        raise Refusal("--comments and --compare are two reports: give one of them")


def _forecast(compare: Path, book: Rulebook) -> Forecast:
    try:
        return read_forecast(compare, book.policy.version)
    except ValueError as error:
        raise Refusal(f"{compare}: {error}") from error
    except OSError as error:
        raise Refusal(f"{compare}: cannot be read ({error.strerror})") from error


def _history(url: str, first: date, last: date) -> History:
    since = datetime.combine(first, time.min, UTC)
    before = datetime.combine(last, time.min, UTC) + timedelta(days=1)
    with reached(url) as engine:
        make_ready(engine)
        with engine.connect() as connection:
            return history(connection, since, before)


def _earliest(found: History, last: date) -> date:
    cards, findings = found.cards[:1], found.findings[:1]
    moments = [*(c.issued_at for c in cards), *(f.found_at for f in findings)]
    return min([m.date() for m in moments], default=last)


def _in_form(made: Report, form: str) -> Iterator[bytes]:
    if form == "html":
        yield from page(made)
    elif form == "json":
        yield msgspec.json.format(msgspec.json.encode(_as_json(made)), indent=2) + b"\n"
    else:
        yield _as_text(made).encode()


def _write(pieces: Iterator[bytes], output: Path | None) -> None:
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as file:
        file.writelines(pieces)


def _as_json(made: Report) -> dict[str, object]:
    return {
        "title": made.title,
        "period": made.period,
        "summary": made.summary,
        **{s.key: s.machine_rows or _rows(s) for s in made.sections},
    }


def _rows(section: Section) -> list[dict[str, Cell]]:
    keys = [_KEYS.get(head, head.lower()) for head in section.head]
    rows: list[dict[str, Cell]] = [dict(zip(keys, row, strict=True)) for row in section.rows]
    if not section.ids:
        return rows
    return [{"id": name, **row} for name, row in zip(section.ids, rows, strict=True)]


def _as_text(made: Report) -> str:
    console = Console(width=_WIDTH, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(f"{escape(made.title)}\n{escape(made.period)}\n\n{escape(made.summary)}")
        for section in made.to_read():
            console.print(f"\n{escape(section.title)}")
            console.print(_as_table(section) if section.rows else "  Nothing to count.")
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _as_table(section: Section) -> Table:
    table = Table(box=None, padding=(0, 2))
    columns = zip(*section.rows, strict=True)
    numbers = [any(isinstance(cell, int | float) for cell in column) for column in columns]
    for head, number in zip(section.head, numbers, strict=True):
        table.add_column(escape(head), justify="right" if number else "left")
    for row in section.rows:
        table.add_row(*("–" if cell is None else escape(str(cell)) for cell in row))
    return table
