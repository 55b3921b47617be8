"""The cards of a period and what became of them, and the findings in shadow, for the report."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection, RowMapping, and_, func, select

from cds_service.database.cards import issued_cards, issued_suggestions
from cds_service.database.feedback import accepted_suggestions, feedback_entries
from cds_service.database.shadow_findings import ShadowFinding, findings_between

Became = Literal["accepted", "overridden", "ignored"]


class Offer(msgspec.Struct, frozen=True):
    """A draft order that a card offered."""

    order_code: str
    taken: bool


class PastCard(msgspec.Struct, frozen=True):
    """A card that went out, and the last that was said of it."""

    situation: str
    hook: str
    client: str
    patient: str
    """Pseudonym with that client."""
    issued_at: datetime
    knowledge_version: str
    became: Became
    """`ignored`: nothing was said of it."""
    reason_system: str | None
    reason_code: str | None
    commented: bool
    offers: tuple[Offer, ...]


class Comment(msgspec.Struct, frozen=True):
    """What a clinician wrote; it may hold a patient's details."""

    said_at: datetime
    situation: str | None
    """None: of a card that is not known."""
    reason_code: str | None
    text: str


class History(msgspec.Struct, frozen=True):
    """Everything that the report counts."""

    cards: Sequence[PastCard]
    unknown_entries: int
    """Feedback about cards that are not known."""
    comments: Sequence[Comment]
    findings: Sequence[ShadowFinding] = ()

    @property
    def cards_and_findings(self) -> Sequence[PastCard | ShadowFinding]:
        """What went out, and what would have."""
        return [*self.cards, *self.findings]


def history(connection: Connection, since: datetime, before: datetime) -> History:
    """What went out, or would have in shadow, from `since` on and before `before`; what was said of it."""
    cards = issued_cards.c
    asked = (
        select(issued_cards)
        .where(cards.issued_at >= since, cards.issued_at < before)
        .order_by(cards.issued_at, cards.card)
    )
    said = _last_said(connection, since, before)
    offers = _offers(connection, since, before)
    return History(
        cards=[
            _card(row, said.get(row["card"]), offers.get(row["card"], ()))
            for row in connection.execute(asked).mappings()
        ],
        unknown_entries=_unknown(connection, since, before),
        comments=_comments(connection, since, before),
        findings=findings_between(connection, since, before),
    )


def _card(row: RowMapping, said: RowMapping | None, offers: Sequence[Offer]) -> PastCard:
    return PastCard(
        situation=row["situation"],
        hook=row["hook"],
        client=row["client"],
        patient=row["patient"],
        issued_at=row["issued_at"],
        knowledge_version=row["knowledge_version"],
        became=said["outcome"] if said else "ignored",
        reason_system=said["reason_system"] if said else None,
        reason_code=said["reason_code"] if said else None,
        commented=bool(said and said["comment"]),
        offers=tuple(offers),
    )


_OF_ITS_CARD = and_(
    feedback_entries.c.card == issued_cards.c.card,
    feedback_entries.c.client == issued_cards.c.client,
)


def _last_said(connection: Connection, since: datetime, before: datetime) -> dict[str, RowMapping]:
    said, cards = feedback_entries.c, issued_cards.c
    asked = (
        select(feedback_entries)
        .join(issued_cards, _OF_ITS_CARD)
        .where(cards.issued_at >= since, cards.issued_at < before)
        .order_by(said.outcome_at, said.received_at, said.entry)
    )
    return {row["card"]: row for row in connection.execute(asked).mappings()}


def _offers(
    connection: Connection, since: datetime, before: datetime
) -> Mapping[str, Sequence[Offer]]:
    """Taken is taken, whatever was said of the card afterwards."""
    cards, offered = issued_cards.c, issued_suggestions.c
    taken = (
        select(accepted_suggestions.c.suggestion)
        .join(feedback_entries, feedback_entries.c.entry == accepted_suggestions.c.entry)
        .join(issued_cards, _OF_ITS_CARD)
        .where(cards.issued_at >= since, cards.issued_at < before)
    )
    asked = (
        select(offered.card, offered.order_code, offered.suggestion.in_(taken).label("taken"))
        .join(issued_cards, offered.card == cards.card)
        .where(cards.issued_at >= since, cards.issued_at < before)
        .order_by(offered.card, offered.suggestion)
    )
    found: dict[str, list[Offer]] = defaultdict(list)
    for row in connection.execute(asked):
        found[row.card].append(Offer(row.order_code, bool(row.taken)))
    return found


def _unknown(connection: Connection, since: datetime, before: datetime) -> int:
    said = feedback_entries.c
    asked = (
        select(func.count())
        .select_from(feedback_entries.outerjoin(issued_cards, _OF_ITS_CARD))
        .where(said.received_at >= since, said.received_at < before)
        .where(issued_cards.c.card.is_(None))
    )
    return connection.scalar(asked) or 0


def _comments(connection: Connection, since: datetime, before: datetime) -> list[Comment]:
    said = feedback_entries.c
    asked = (
        select(said.outcome_at, issued_cards.c.situation, said.reason_code, said.comment)
        .select_from(feedback_entries.outerjoin(issued_cards, _OF_ITS_CARD))
        .where(said.received_at >= since, said.received_at < before, said.comment.is_not(None))
        .order_by(said.outcome_at)
    )
    return [Comment(*row) for row in connection.execute(asked)]
