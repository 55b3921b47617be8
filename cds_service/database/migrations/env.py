"""Alembic's entry: runs the migrations on the engine that `database.upgrading` hands over."""

from alembic import context
from sqlalchemy import Engine, text

from cds_service.database import METADATA

_LOCK = 4021980441
"""PostgreSQL advisory lock: of several replicas that start at once, one migrates."""


def run() -> None:
    """Run what is still to be run, in one transaction."""
    engine: Engine = context.config.attributes["engine"]
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()


run()
