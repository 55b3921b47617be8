"""Run the soak and print what became of every call; exit status 1 if one was wrong or lost."""

import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click

from tests.soak import schedules
from tests.soak.line import Line, Over
from tests.soak.patients import Requests
from tests.soak.site import hospital, practice
from tests.soak.table import Table, in_database
from tests.soak.visits import Visits


@click.command()
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(10, 3600))
@click.option(
    "--rate", default=20.0, show_default=True, help="Calls a second, all clients together."
)
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1, 64))
def main(seconds: int, rate: float, threads: int) -> None:
    """Two replicas on PostgreSQL for so long, then one server on SQLite for a fifth of it.

    Stopping and starting takes some seconds more.
    """
    requests = Requests()
    good = True
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with hospital(Path(folder)) as (database, url, fhir, signer, replicas):
            line = Line(replicas.ports, signer, rate)
            schedule = schedules.Hospital(database, fhir, replicas)
            visits = [Visits(line, requests, fhir.base, n) for n in range(threads)]
            _run(line, visits, seconds, schedule.run)
            table = Table(line.calls, schedule, replicas.failures("recall"), in_database(url))
            good &= _print(f"Two replicas, PostgreSQL, {seconds} s", table, line, replicas.log)
        with practice(Path(folder)) as (url, replicas):
            line = Line(replicas.ports, None, rate)
            disk = schedules.Disk(replicas)
            visits = [Visits(line, requests, None, n) for n in range(threads)]
            _run(line, visits, seconds / 5, disk.run)
            table = Table(line.calls, disk, replicas.failures("recall"), in_database(url))
            good &= _print(f"One server, SQLite, {seconds / 5:g} s", table, line, replicas.log)
    sys.exit(not good)


def _run(
    line: Line, visits: Sequence[Visits], seconds: float, faults: Callable[[float], None]
) -> None:
    """Clients and faults side by side, until the time is up."""
    troubles: list[BaseException] = []

    def visit(who: Visits) -> None:
        try:
            with suppress(Over):
                while True:
                    who.any()
        except BaseException as error:
            troubles.append(error)
            raise

    clients = [threading.Thread(target=visit, args=(who,), daemon=True) for who in visits]
    line.open()
    for client in clients:
        client.start()
    try:
        faults(seconds)
    finally:
        line.close()
    for client in clients:
        client.join()
    if troubles:
        raise click.ClickException(f"a client of the soak itself failed: {troubles[0]!r}")


def _print(title: str, table: Table, line: Line, log: Sequence[str]) -> bool:
    began, ended = line.calls[0].begun, max(call.ended for call in line.calls)
    click.echo(f"\n{title}: {len(line.calls) / (ended - began):.1f} calls a second,")
    click.echo(f"{line.moved} of them moved to the other replica\n\n{table.text()}")
    for problem in table.problems()[:20]:
        click.echo(f"  {problem}", err=True)
    faults = [entry for entry in log if "Traceback" in entry or " ERROR " in entry]
    faults = [entry for entry in faults if "SIGKILL" not in entry]  # those were ours
    for entry in faults[:20]:
        click.echo(f"  log: {entry.strip()}", err=True)
    return table.is_good


if __name__ == "__main__":
    main()
