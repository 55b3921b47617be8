"""The database is made by migrations, once, whoever starts first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from cds_service.cli import main
from cds_service.database import Engine, begin_unsynced, open_database
from cds_service.database.upgrading import upgrade


def test_an_upgrade_makes_the_tables_and_may_run_again(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/memory.sqlite3")
    upgrade(engine)
    upgrade(engine)
    assert {"seen_tokens", "alembic_version"} <= set(inspect(engine).get_table_names())


def test_only_what_may_be_lost_in_a_power_cut_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """What the next user of the connection writes waits again, even after a failure."""
    engine = open_database(f"sqlite:///{tmp_path}/memory.sqlite3")
    normal, full = 1, 2

    def level(connection: Connection) -> int:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())

    with begin_unsynced(engine) as connection:
        assert level(connection) == normal
    with engine.connect() as connection:
        assert level(connection) == full
        connection.execute(text("CREATE TABLE kept (name TEXT NOT NULL)"))
    with pytest.raises(IntegrityError):
        _keep_nothing(engine)
    with engine.connect() as connection:
        assert level(connection) == full


def _keep_nothing(engine: Engine) -> None:
    with begin_unsynced(engine) as connection:
        connection.execute(text("INSERT INTO kept VALUES (NULL)"))


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3"
    command = [sys.executable, "-m", "cds_service", "db", "upgrade"]
    environment = {**os.environ, "CDS_DATABASE_URL": url}
    started = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    with open_database(url).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_the_command_says_what_it_did_and_never_a_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3"
    result = CliRunner().invoke(main, ["db", "upgrade"], env={"CDS_DATABASE_URL": url})
    assert (result.exit_code, result.output) == (0, f"{url}: the schema is up to date.\n")


def test_a_database_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no/such/folder/memory.sqlite3"
    result = CliRunner().invoke(main, ["db", "upgrade"], env={"CDS_DATABASE_URL": url})
    assert result.exit_code == 2
    assert result.output == f"Error: {url}: cannot be opened (OperationalError)\n"
