"""Cards that went out, so that feedback can be joined to them. No clinical values."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Column, Connection, Date, ForeignKey, Index, String, Table, Text, insert

from cds_service.database import METADATA
from cds_service.database.moment import Moment

issued_cards = Table(
    "issued_cards",
    METADATA,
    Column("card", String(36), primary_key=True),
    Column("situation", String(64), nullable=False),
    Column("hook", String(32), nullable=False),
    Column("client", Text, nullable=False),
    Column("patient", String(32), nullable=False),  # pseudonym
    Column("user", String(32)),  # pseudonym; only where the policy asks what a user has seen
    Column("issued_at", Moment, nullable=False, index=True),
    Column("as_of", Date, nullable=False),
    Column("marks", Text, nullable=False),  # keyed hashes of what was on record
    Column("knowledge_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("program_version", Text, nullable=False),
    Index("ix_issued_cards_patient", "patient", "client"),
)
issued_suggestions = Table(
    "issued_suggestions",
    METADATA,
    Column("suggestion", String(36), primary_key=True),
    Column(
        "card",
        String(36),
        ForeignKey("issued_cards.card", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("order_code", String(64), nullable=False),
)


_KEEP_CARDS, _KEEP_SUGGESTIONS = insert(issued_cards), insert(issued_suggestions)


class IssuedSuggestion(msgspec.Struct, frozen=True):
    """One button of a card."""

    suggestion: str
    order_code: str


class IssuedCard(msgspec.Struct, frozen=True):
    """A card that went out: which, when and to whom, by pseudonyms."""

    card: str
    situation: str
    hook: str
    client: str
    patient: str
    user: str | None
    issued_at: datetime
    as_of: date
    marks: frozenset[str]
    knowledge_version: str
    policy_version: str
    program_version: str
    suggestions: tuple[IssuedSuggestion, ...] = ()


def keep_cards(connection: Connection, cards: Sequence[IssuedCard]) -> None:
    """Remember these cards."""
    rows = [
        {c.name: getattr(card, c.name) for c in issued_cards.c}
        | {"marks": " ".join(sorted(card.marks))}
        for card in cards
    ]
    connection.execute(_KEEP_CARDS, rows)
    offered = [
        {"suggestion": s.suggestion, "card": card.card, "order_code": s.order_code}
        for card in cards
        for s in card.suggestions
    ]
    if offered:
        connection.execute(_KEEP_SUGGESTIONS, offered)
