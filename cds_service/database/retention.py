"""What is forgotten: everything old but the snoozes in force, and everything about one patient."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    delete,
    exists,
    false,
    or_,
    select,
    text,
    update,
)

from cds_service.database.cards import issued_cards, issued_suggestions
from cds_service.database.feedback import feedback_entries
from cds_service.database.shadow_findings import shadow_findings


def purge(
    engine: Engine,
    older_than: datetime,
    *,
    override_system: str,
    snoozing_since: Mapping[str, datetime],
) -> int:
    """Forget what came before a moment. Returns how many cards, entries and findings that were.

    `snoozing_since` says for each reason that snoozes how old an override may be and still be in
    force. Of those only what the snooze needs is left.
    """
    said, cards = feedback_entries.c, issued_cards.c
    spoken_of = exists().where(said.card == cards.card, said.client == cards.client)
    with engine.begin() as connection:
        gone = connection.execute(
            delete(feedback_entries).where(
                said.received_at < older_than, ~_snoozes(override_system, snoozing_since)
            )
        ).rowcount
        _strip(connection, older_than)
        gone += connection.execute(
            delete(issued_cards).where(cards.issued_at < older_than, ~spoken_of)
        ).rowcount
        gone += connection.execute(
            delete(shadow_findings).where(shadow_findings.c.found_at < older_than)
        ).rowcount
    _leave_no_trace(engine)
    return gone


def erase(engine: Engine, client: str, patient: str) -> int:
    """Forget one patient, named by pseudonym. Returns how many rows that were, as `purge` does."""
    cards, found = issued_cards.c, shadow_findings.c
    theirs = select(cards.card).where(cards.patient == patient, cards.client == client)
    said = feedback_entries.c
    with engine.begin() as connection:
        gone = connection.execute(
            delete(feedback_entries).where(said.client == client, said.card.in_(theirs))
        ).rowcount
        gone += connection.execute(
            delete(issued_cards).where(cards.patient == patient, cards.client == client)
        ).rowcount
        gone += connection.execute(
            delete(shadow_findings).where(found.patient == patient, found.client == client)
        ).rowcount
    _leave_no_trace(engine)
    return gone


def is_on_record(engine: Engine, client: str) -> bool:
    """Whether a card, feedback or a finding in shadow is kept of that client."""
    tables = (issued_cards, feedback_entries, shadow_findings)
    with engine.connect() as connection:
        return any(
            connection.scalar(select(exists().where(table.c.client == client))) for table in tables
        )


def _snoozes(override_system: str, snoozing_since: Mapping[str, datetime]) -> ColumnElement[bool]:
    """Whether the card of an entry may be snoozed. All that was said of it stays: the last word counts."""
    said, cards = feedback_entries.c, issued_cards.c
    other = feedback_entries.alias()
    reasons = [
        and_(other.c.reason_code == code, other.c.outcome_at >= since)
        for code, since in snoozing_since.items()
    ]
    return exists().where(
        cards.card == said.card,
        cards.client == said.client,
        other.c.card == said.card,
        other.c.client == said.client,
        other.c.outcome == "overridden",
        other.c.reason_system == override_system,
        or_(false(), *reasons),
    )


def _strip(connection: Connection, older_than: datetime) -> None:
    """Of old entries that stay: no comment, no user, no suggestions."""
    said, cards = feedback_entries.c, issued_cards.c
    commented = select(said.entry).where(said.received_at < older_than, said.comment.is_not(None))
    for entry in connection.scalars(commented).all():
        # The name of an entry is a hash of all it says: of the comment, too.
        connection.execute(
            update(feedback_entries)
            .where(said.entry == entry)
            .values(comment=None, entry=uuid4().hex)
        )
    old = cards.issued_at < older_than
    connection.execute(update(issued_cards).where(old).values(user=None))
    connection.execute(
        delete(issued_suggestions).where(
            issued_suggestions.c.card.in_(select(cards.card).where(old))
        )
    )


def _leave_no_trace(engine: Engine) -> None:
    """SQLite keeps what was written in its log until that is folded back into the file."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
