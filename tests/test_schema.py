"""An old schema stops the start, but for SQLite, which is brought up to date."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import inspect, text

from cds_service.app import create_app
from cds_service.cli import main
from cds_service.database import METADATA, open_database
from cds_service.database.schema import known, newest
from cds_service.database.upgrading import migrations, upgrade
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


def test_the_revisions_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(migrations())
    assert known() == tuple(s.revision for s in scripts.walk_revisions())[::-1]
    assert [newest()] == scripts.get_heads()


def test_a_server_whose_schema_fits_does_not_load_alembic(tmp_path: Path) -> None:
    """It takes a tenth of a worker's memory, and every worker would keep it for ever."""
    program = f"""
import sys
from cds_service.app import create_app
from cds_service.settings import Settings

create_app(Settings(auth="off", database_url="sqlite:///{tmp_path}/memory.sqlite3"))
print("alembic" in sys.modules)
"""
    first, second = (
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
        for _ in range(2)
    )
    assert (first.stdout, second.stdout) == ("True\n", "False\n")


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])
def test_the_schema_of_a_later_version_is_refused(
    scheme: str, tmp_path: Path, postgresql: PostgreSQL
) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3" if scheme == "sqlite" else postgresql.empty()
    engine = open_database(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(KnowledgeError, match="its schema is that of a later version"):
        create_app(Settings(auth="off", database_url=url, hash_key=KEY))


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
