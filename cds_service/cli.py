"""The `cds-service` command: one module of `commands` for each subcommand."""

import click

from cds_service.commands.check import check
from cds_service.commands.db import db
from cds_service.commands.demo import demo
from cds_service.commands.evaluate import evaluate
from cds_service.commands.fire import fire
from cds_service.commands.load import load
from cds_service.commands.report import report
from cds_service.commands.screen import screen
from cds_service.commands.serve import serve


@click.group()
@click.version_option(package_name="low-alp-cds", prog_name="cds-service")
def main() -> None:
    """Advice on low ALP and antiresorptive drugs, as CDS Hooks cards."""


main.add_command(serve)
main.add_command(demo)
main.add_command(evaluate)
main.add_command(check)
main.add_command(db)
main.add_command(fire)
main.add_command(load)
main.add_command(report)
main.add_command(screen)
