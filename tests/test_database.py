"""The database is made by migrations, once, whoever starts first."""

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from sqlalchemy import inspect, text

from cds_service.cli import main
from cds_service.database import open_database
from cds_service.database.upgrading import upgrade


def test_an_upgrade_makes_the_tables_and_may_run_again(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/memory.sqlite3")
    upgrade(engine)
    upgrade(engine)
    assert {"seen_tokens", "alembic_version"} <= set(inspect(engine).get_table_names())


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
