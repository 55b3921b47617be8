"""`cds-service check`: is the knowledge whole, and what is in force here."""

import click

from cds_service.commands.refusal import advisor_for, settings_in_force
from cds_service.rulebook.files import site_changes


@click.command()
def check() -> None:
    """Check knowledge and policy, and say what is in force."""
    settings = settings_in_force()
    book = advisor_for(settings).rulebook
    switched = {s: w for s, w in book.policy.situations.items() if w != "on"}
    click.echo(
        f"Knowledge {book.about.version}, policy {book.policy.version}:"
        f" {len(book.rows)} situations, {len(book.terminology.value_sets)} value sets,"
        f" {len(book.orders)} orders. Last clinical review: {book.about.last_clinical_review}."
    )
    for slug, switch in sorted(switched.items()):
        click.echo(f"{slug} is {switch}")
    for line in site_changes(settings.policy):
        click.echo(line)
