"""Whether the database can be used: reached, and with the schema that this version needs."""

from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import schema


def database_probe(engine: Engine) -> Callable[[], str | None]:
    """A probe of that database: None when it can be used, else why not, without its address."""
    known, needed = frozenset(schema.known()), schema.newest()

    def behind() -> bool:
        found = schema.found(engine)
        # Ahead is not behind: while a new version is rolled out, the old one goes on.
        return needed not in found and known.issuperset(found)

    def probe() -> str | None:
        try:
            if behind() and engine.dialect.name == "sqlite":
                schema.make_ready(engine)  # the file was out of reach at start
            return _BEHIND if behind() else None
        except (SQLAlchemyError, OSError) as error:
            return f"it cannot be reached ({type(error).__name__})"

    return probe


_BEHIND = "its schema is behind this version: run `cds-service db upgrade`"
