"""`cds-service check`: is the knowledge whole, and what is in force here."""

import click

from cds_service.commands.refusal import advisor_for, settings_in_force, trusted_clients
from cds_service.rulebook.files import site_changes


@click.command()
def check() -> None:
    """Check knowledge, policy and clients, and say what is in force.

    The clients are read when CDS_CLIENTS names their file.
    """
    settings = settings_in_force()
    book = advisor_for(settings).rulebook
    trusted = trusted_clients(settings.clients).clients if settings.clients else None
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
    if trusted is not None:
        many = "client" if len(trusted) == 1 else "clients"
        names = ", ".join(client.name for client in trusted)
        click.echo(f"{settings.clients}: {len(trusted)} {many} ({names})")
