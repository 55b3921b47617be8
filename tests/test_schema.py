"""An old schema stops the start, but for SQLite, which is brought up to date."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import inspect, text

from cds_service.app import create_app
from cds_service.cli import main
from cds_service.database import METADATA, open_database
from cds_service.errors import KnowledgeError
from cds_service.settings import Settings
from tests.databases import PostgreSQL
from tests.remembering import KEY, remembering
from tests.snooze_vignettes import LOW


def test_the_migrations_make_the_tables_that_the_program_uses(database_url: str) -> None:
    engine = open_database(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    # Another part of the program may have tables of its own, and keeps them elsewhere.
    ours = [d for d in differences if "seen_tokens" not in str(d)]
    assert ours == []


def test_sqlite_is_brought_up_to_date_at_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3"
    with remembering(url) as memory:
        assert len(memory.fire(*LOW)) == 1
    engine = open_database(url)
    assert "issued_cards" in inspect(engine).get_table_names()


def test_postgresql_without_its_schema_stops_the_start(postgresql: PostgreSQL) -> None:
    url = postgresql.empty()
    settings = Settings(auth="off", database_url=url, hash_key=KEY)
    says = "its schema is not that of this version; run `cds-service db upgrade`"
    with pytest.raises(KnowledgeError, match=says):
        create_app(settings)
    result = CliRunner().invoke(main, ["db", "upgrade"], env={"CDS_DATABASE_URL": url})
    assert result.exit_code == 0, result.output
    app = create_app(settings)
    app.extensions["feedback_store"].close()


def test_postgresql_with_the_schema_of_another_version_stops_every_command(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.migrated()
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    environment = {"CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode(), "CDS_AUTH": "off"}
    for command in (
        ["report"],
        ["db", "purge"],
        ["db", "erase", "--client", "open", "--patient", "x"],
        ["serve", "--port", "1"],
    ):
        result = CliRunner().invoke(main, command, env=environment)
        assert result.exit_code == 2
        assert len(result.output.splitlines()) == 1
    assert "cds-service db upgrade" in result.output or "Cannot listen" in result.output
