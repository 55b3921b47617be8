"""Whether the schema fits this version. SQLite is brought up to date at start, other engines by hand."""

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from cds_service.database import migrations, upgrade
from cds_service.errors import KnowledgeError


def make_ready(engine: Engine) -> None:
    """Upgrade an SQLite file. Raises KnowledgeError when another database is not up to date."""
    if engine.dialect.name == "sqlite":
        upgrade(engine)
        return
    if found(engine) != frozenset(scripts().get_heads()):
        shown = engine.url.render_as_string(hide_password=True)
        raise KnowledgeError(
            f"CDS_DATABASE_URL {shown}: its schema is not that of this version;"
            " run `cds-service db upgrade`"
        )


def found(engine: Engine) -> frozenset[str]:
    """The revisions that the database is at."""
    with engine.connect() as connection:
        return frozenset(MigrationContext.configure(connection).get_current_heads())


def scripts() -> ScriptDirectory:
    """The migrations of this version."""
    return ScriptDirectory.from_config(migrations())
