"""`cds-service screen`: the rules over a whole population."""

import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_service.errors import KnowledgeError
from cds_service.settings import from_environment

if TYPE_CHECKING:
    from cds_service.screen.plan import Plan
    from cds_service.screen.tally import Tally

_SPAN = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Who would have a card on this day."
)
@click.option("--replay", metavar="FROM..TO", help="What would have been shown from day to day.")
@click.option(
    "--at",
    type=click.Choice(["encounter", "alp"]),
    default="encounter",
    show_default=True,
    help="When a replay opens the chart.",
)
@click.option(
    "--snooze-days",
    default=0,
    show_default=True,
    type=click.IntRange(0, 3660),
    help="Do not show the same situation's card again within so many days.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="Site policy; twice to compare two. Default: CDS_POLICY.",
)
@click.option("--names", is_flag=True, help="Write names into the worklist.")
@click.option(
    "--suppress-below",
    default=0,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Do not show counts from 1 to below this.",
)
@click.option(
    "--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True
)
@click.option("--master", metavar="URL", help="Spark master; with --engine spark.")
@click.option(
    "--memory-mb",
    default=64,
    show_default=True,
    type=click.IntRange(32, 1_000_000),
    help="Memory for sorting before it spills to disk.",
)
def screen(
    sources: tuple[str, ...],
    output: Path,
    as_of: datetime | None,
    replay: str | None,
    at: str,
    snooze_days: int,
    policies: tuple[str, ...],
    names: bool,
    suppress_below: int,
    engine: str,
    master: str | None,
    memory_mb: int,
) -> None:
    """Ask the rules about a whole population.

    Takes Bulk Data exports, folders or patient Bundles.
    """
    # DuckDB, Hyperscan and FHIR validation are not loaded by the service itself.
    import duckdb

    from cds_service.screen.plan import Plan, ScreenError

    if master and engine != "spark":
        raise _Refusal("--master goes with --engine spark")
    if len(policies) > 2:
        raise _Refusal("--policy may be given twice at most: two policies are compared")
    try:
        settings = from_environment(os.environ)
        plan = Plan(
            as_of=_day(as_of, replay),
            replay=_span(replay),
            at="alp" if at == "alp" else "encounter",
            snooze_days=snooze_days,
            names=names,
            policies=policies or (str(settings.policy) if settings.policy else None,),
            canonical=settings.canonical_url,
            suppress_below=suppress_below,
        )
        counts = _run(sources, plan, output, engine, master, memory_mb)
    except (ScreenError, KnowledgeError) as error:
        raise _Refusal(str(error)) from error
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise _Refusal(f"{output}: {error.strerror or error}{place}") from error
    except duckdb.Error as error:
        raise _Refusal(f"{output}: {str(error).splitlines()[0]}") from error
    _say(counts, output, suppress_below)


def _run(
    sources: tuple[str, ...],
    plan: "Plan",
    output: Path,
    engine: str,
    master: str | None,
    memory_mb: int,
) -> "Tally":
    if engine == "spark":
        from cds_service.screen.spark import screen_on_spark

        return screen_on_spark(sources, plan, output, master or "local[*]")
    from cds_service.screen.run import screen as screen_here

    return screen_here(sources, plan, output, memory_mb=memory_mb)


def _day(as_of: datetime | None, replay: str | None) -> date | None:
    if (as_of is None) == (replay is None):
        raise _Refusal("give either --as-of DAY or --replay FROM..TO")
    return as_of.date() if as_of else None


def _span(replay: str | None) -> tuple[date, date] | None:
    if replay is None:
        return None
    written = _SPAN.fullmatch(replay)
    try:
        first, last = map(date.fromisoformat, written.groups()) if written else (None, None)
    except ValueError:
        first = last = None
    if first is None or last is None or first > last:
        raise _Refusal(
            f"--replay {replay}: to be two days in order, such as 2025-01-01..2025-12-31"
        )
    return first, last


def _say(counts: "Tally", output: Path, below: int) -> None:
    policies = counts.policies
    cards = " and ".join(_number(p.all_cards, below) for p in policies)
    people = " and ".join(_number(p.patients_with_card, below) for p in policies)
    compared = " under the two policies" if len(policies) == 2 else ""
    click.echo(
        f"{counts.patients:,} patients: {cards} cards for {people} of them{compared}."
        f" See {output / 'report.html'} and {output / 'worklist.csv'}."
    )


def _number(count: int, below: int) -> str:
    return f"fewer than {below}" if 0 < count < below else f"{count:,}"


class _Refusal(click.ClickException):
    """One clear line on standard error."""

    exit_code = 2
