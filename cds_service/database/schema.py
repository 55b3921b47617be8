"""Whether the schema fits this version. SQLite is brought up to date at start, other engines by hand."""

from sqlalchemy import Column, Engine, MetaData, String, Table, inspect, select

from cds_service.database import MIGRATIONS
from cds_service.errors import KnowledgeError

# Where Alembic notes it. Read without Alembic, which takes more memory than all that is read here: a
# server whose schema fits never loads it.
_NOTED = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_REVISION_LETTERS = 4


def make_ready(engine: Engine) -> None:
    """Upgrade an SQLite file. Raises KnowledgeError when the schema is not that of this version."""
    revisions = found(engine)
    if revisions == {newest()}:
        return
    shown = engine.url.render_as_string(hide_password=True)
    if not revisions <= frozenset(known()):
        raise KnowledgeError(
            f"CDS_DATABASE_URL {shown}: its schema is that of a later version of this program"
        )
    if engine.dialect.name != "sqlite":
        raise KnowledgeError(
            f"CDS_DATABASE_URL {shown}: its schema is not that of this version;"
            " run `cds-service db upgrade`"
        )
    from cds_service.database.upgrading import upgrade

    upgrade(engine)


def found(engine: Engine) -> frozenset[str]:
    """The revisions that the database is at; none when it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(_NOTED.name):
            return frozenset()
        return frozenset(connection.scalars(select(_NOTED.c.version_num)))


def known() -> tuple[str, ...]:
    """The revisions of this version, from the first to the newest: files are named after them."""
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(file.name[:_REVISION_LETTERS] for file in files))


def newest() -> str:
    """The revision that this version works with."""
    return known()[-1]
