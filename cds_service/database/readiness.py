"""Whether the database can be used: reached, and with the schema that this version needs."""

from collections.abc import Callable

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import migrations


def database_probe(engine: Engine) -> Callable[[], str | None]:
    """A probe of that database: None when it can be used, else why not, without its address."""
    scripts = ScriptDirectory.from_config(migrations())
    known = {script.revision for script in scripts.walk_revisions()}
    needed = set(scripts.get_heads())

    def probe() -> str | None:
        try:
            with engine.connect() as connection:
                current = MigrationContext.configure(connection).get_current_heads()
        except SQLAlchemyError as error:
            return f"it cannot be reached ({type(error).__name__})"
        # Ahead is not behind: while a new version is rolled out, the old one goes on.
        if needed <= set(current) or not known.issuperset(current):
            return None
        return "its schema is behind this version: run `cds-service db upgrade`"

    return probe
