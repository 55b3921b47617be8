"""What the service remembers, in SQLite or PostgreSQL, through SQLAlchemy Core.

A table lives in the module of its idea and joins `METADATA`; its schema comes from the migrations.
"""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection as Connection
from sqlalchemy import Engine as Engine
from sqlalchemy import MetaData, create_engine, event, make_url

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 5


def open_database(url: str, *, patience_seconds: int | None = None) -> Engine:
    """An engine for that URL; nothing is connected or created yet.

    With `patience_seconds` no connection, lock or statement of PostgreSQL is waited for any longer.
    """
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _several_writers)
    elif patience_seconds is None:
        engine = create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": _BUSY_SECONDS}
        )
    else:
        engine = _impatient(url, patience_seconds)
    _own_connections_after_a_fork(engine)
    return engine


@contextmanager
def begin_unsynced(engine: Engine) -> Iterator[Connection]:
    """A transaction that outlives this process, but perhaps not a power cut.

    SQLite does not wait for the disk then; what is acknowledged to anybody is kept without this.
    """
    waits = engine.dialect.name != "sqlite"
    with engine.connect() as connection:
        if not waits:
            _synchronous(connection, "NORMAL")
        try:
            with connection.begin():
                yield connection
        finally:
            if not waits:
                _synchronous(connection, "FULL")


def _synchronous(connection: Connection, level: str) -> None:
    """Set on the bare connection: SQLite takes no such setting within a transaction."""
    bare: Any = connection.connection.dbapi_connection
    bare.execute(f"PRAGMA synchronous={level}")


def _own_connections_after_a_fork(engine: Engine) -> None:
    """Two processes on one connection would read each other's answers: a worker opens its own."""
    engines = weakref.ref(engine)

    def forget() -> None:
        inherited = engines()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)


def _impatient(url: str, seconds: int) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=seconds,
        connect_args={"connect_timeout": seconds, "tcp_user_timeout": seconds * 1000},
    )

    def limit(connection: Any, _: object) -> None:
        connection.autocommit = True  # within a transaction the next rollback would undo it
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET {name} = '{seconds}s'")
        connection.autocommit = False

    event.listen(engine, "connect", limit)
    return engine


def _several_writers(connection: Any, _: object) -> None:
    """Readers do not wait for a writer, and a writer waits for another instead of failing."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased leaves no trace in the file
    cursor.close()
