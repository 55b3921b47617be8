"""`cds-service db`: the database of what the service remembers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from cds_service.assessment.snoozing import snoozing_since
from cds_service.commands.refusal import Refusal, advisor_for, settings_in_force
from cds_service.database import open_database, retention
from cds_service.database.schema import make_ready
from cds_service.errors import KnowledgeError
from cds_service.pseudonym import pseudonym


@click.group()
def db() -> None:
    """The database of what the service remembers (CDS_DATABASE_URL)."""


@db.command("upgrade")
def upgrade_schema() -> None:
    """Bring the schema up to date; safe to run again."""
    from cds_service.database.upgrading import upgrade

    url = settings_in_force().database_url
    with reached(url) as engine:
        upgrade(engine)
    click.echo(f"{_shown(url)}: the schema is up to date.")


@db.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, 36_600),
    help="Days; default: memory.keep_days of the policy.",
)
def purge(days: int | None) -> None:
    """Forget old cards, feedback and findings in shadow. Snoozes in force stay, without comments."""
    settings = settings_in_force()
    book = advisor_for(settings).rulebook
    now = datetime.now(UTC)
    keep_days = days or book.policy.memory.keep_days
    with reached(settings.database_url) as engine:
        make_ready(engine)
        gone = retention.purge(
            engine,
            now - timedelta(days=keep_days),
            override_system=book.override_system,
            snoozing_since=snoozing_since(book.policy, now),
        )
    click.echo(
        f"Forgotten: {gone} cards, feedback entries and findings in shadow older than {keep_days} days."
    )


@db.command()
@click.option("--client", required=True, help="Name of the client; `open` while CDS_AUTH=off.")
@click.option("--patient", required=True, metavar="ID", help="The patient's id at that client.")
def erase(client: str, patient: str) -> None:
    """Forget one patient of one client. Needs the CDS_HASH_KEY that the service runs with."""
    settings = settings_in_force()
    if settings.hash_key is None:
        raise Refusal("CDS_HASH_KEY is not set: without it nobody can tell whose cards are whose")
    with reached(settings.database_url) as engine:
        make_ready(engine)
        gone = retention.erase(engine, client, pseudonym(settings.hash_key, client, patient))
        if not gone and not retention.is_on_record(engine, client):
            raise Refusal(f"Forgotten: 0; nothing is on record of a client of the name {client!r}")
    click.echo(f"Forgotten: {gone} cards, feedback entries and findings in shadow.")


@contextmanager
def reached(url: str) -> Iterator[Engine]:
    """The database at that URL. Raises Refusal when it cannot be used."""
    try:
        engine = open_database(url)
        try:
            yield engine
        finally:
            engine.dispose()
    except KnowledgeError as error:
        raise Refusal(str(error)) from error
    except (SQLAlchemyError, ImportError) as error:
        raise Refusal(f"{_shown(url)}: cannot be opened ({type(error).__name__})") from error


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
