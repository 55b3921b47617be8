"""What clinicians made of the cards, as their clients say. An entry sent again is kept once."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Connection, ForeignKey, Index, String, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from cds_service.database import METADATA
from cds_service.database.cards import issued_cards
from cds_service.database.moment import Moment
from cds_service.hooks.feedback import Feedback

feedback_entries = Table(
    "feedback_entries",
    METADATA,
    Column("entry", String(64), primary_key=True),  # hash of what it says
    Column("client", Text, nullable=False),
    Column("service", String(64), nullable=False),
    Column("card", String(128), nullable=False),  # no foreign key: unknown cards are taken too
    Column("known", Boolean, nullable=False),  # whether that card was known when it came
    Column("outcome", String(16), nullable=False),
    Column("outcome_at", Moment, nullable=False),  # as the client says
    Column("received_at", Moment, nullable=False, index=True),
    Column("reason_system", String(256)),
    Column("reason_code", String(256)),
    Column("comment", Text),
    Index("ix_feedback_entries_card", "card", "client"),
)
accepted_suggestions = Table(
    "accepted_suggestions",
    METADATA,
    Column(
        "entry",
        String(64),
        ForeignKey("feedback_entries.entry", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("suggestion", String(128), primary_key=True, index=True),
)


def known_cards(
    connection: Connection, client: str, entries: Sequence[Feedback]
) -> Mapping[str, str]:
    """Those cards among them that this client was given, each with its situation."""
    named = {e.card for e in entries}
    asked = select(issued_cards.c.card, issued_cards.c.situation).where(
        issued_cards.c.card.in_(named), issued_cards.c.client == client
    )
    return {row.card: row.situation for row in connection.execute(asked)}


def keep_feedback(
    connection: Connection,
    client: str,
    service: str,
    entries: Sequence[Feedback],
    *,
    known: frozenset[str],
    received_at: datetime,
) -> None:
    """Remember these entries, those that are there already excepted."""
    rows, taken = [], []
    for entry in entries:
        identity = _identity(client, entry)
        rows.append(
            {c.name: getattr(entry, c.name) for c in feedback_entries.c if hasattr(entry, c.name)}
            | {"entry": identity, "client": client, "service": service}
            | {"known": entry.card in known, "received_at": received_at}
        )
        taken += [{"entry": identity, "suggestion": s} for s in entry.suggestions]
    _insert_new(connection, feedback_entries, rows)
    _insert_new(connection, accepted_suggestions, taken)


def _identity(client: str, entry: Feedback) -> str:
    return hashlib.sha256(msgspec.json.encode((client, entry))).hexdigest()


def _insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)
