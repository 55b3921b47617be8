"""`cds-service db`: the database of what the service remembers."""

import click
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from cds_service.commands.refusal import Refusal, settings_in_force
from cds_service.database import open_database, upgrade


@click.group()
def db() -> None:
    """The database of what the service remembers (CDS_DATABASE_URL)."""


@db.command("upgrade")
def upgrade_schema() -> None:
    """Bring the schema up to date; safe to run again."""
    url = settings_in_force().database_url
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        upgrade(open_database(url))
    except (SQLAlchemyError, ImportError) as error:
        raise Refusal(f"{shown}: cannot be opened ({type(error).__name__})") from error
    click.echo(f"{shown}: the schema is up to date.")
