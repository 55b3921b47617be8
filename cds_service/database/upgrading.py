"""Migrations of the schema, run by Alembic. Loaded only when there is something to bring up to date."""

from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from cds_service.database import MIGRATIONS

_one_at_a_time = Lock()  # Alembic keeps its context in the module


def upgrade(engine: Engine) -> None:
    """Bring the schema up to date. Safe to run again, and by several processes at once."""
    config = migrations()
    config.attributes["engine"] = engine
    with _one_at_a_time:
        command.upgrade(config, "head")


def migrations() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
