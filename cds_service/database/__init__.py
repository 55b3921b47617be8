"""What the service remembers, in SQLite or PostgreSQL, through SQLAlchemy Core.

A table lives in the module of its idea and joins `METADATA`; its schema comes from the migrations.
"""

from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from cds_service.errors import KnowledgeError

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 5
_one_at_a_time = Lock()  # Alembic keeps its context in the module


def open_database(url: str) -> Engine:
    """An engine for that URL; nothing is connected or created yet."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _several_writers)
    return engine


def open_current(url: str) -> Engine:
    """An engine whose schema is up to date, ready to be shared with worker processes.

    Raises KnowledgeError when the database cannot be opened.
    """
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        engine = open_database(url)
        upgrade(engine)
    except (SQLAlchemyError, ImportError) as error:
        raise KnowledgeError(
            f"CDS_DATABASE_URL: {shown} cannot be opened ({type(error).__name__})"
        ) from error
    engine.dispose()  # a connection must not pass into a forked process
    return engine


def upgrade(engine: Engine) -> None:
    """Bring the schema up to date. Safe to run again, and by several processes at once."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["engine"] = engine
    with _one_at_a_time:
        command.upgrade(config, "head")


def _several_writers(connection: Any, _: object) -> None:
    """Readers do not wait for a writer, and a writer waits for another instead of failing."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
