"""What is remembered of one patient at one client: cards set aside, and cards shown to one user."""

from collections.abc import Iterator
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, select

from cds_service.database.cards import issued_cards
from cds_service.database.feedback import feedback_entries


class SetAside(msgspec.Struct, frozen=True):
    """A card that was overridden with a reason, by the last that was said of it."""

    situation: str
    marks: frozenset[str]
    reason_system: str | None
    reason_code: str
    outcome_at: datetime
    received_at: datetime


class Seen(msgspec.Struct, frozen=True):
    """The last card of one situation that the user was shown."""

    situation: str
    marks: frozenset[str]
    as_of: date


def set_aside(connection: Connection, client: str, patient: str) -> Iterator[SetAside]:
    """Cards of this patient whose last word is an override with a reason."""
    cards, said = issued_cards.c, feedback_entries.c
    asked = (
        select(cards.card, cards.situation, cards.marks, *feedback_entries.c)
        .join_from(
            issued_cards,
            feedback_entries,
            (said.card == cards.card) & (said.client == cards.client),
        )
        .where(cards.patient == patient, cards.client == client)
        .order_by(said.outcome_at, said.received_at, said.entry)
    )
    last = {row.card: row for row in connection.execute(asked)}
    for row in last.values():
        if row.outcome == "overridden" and row.reason_code:
            yield SetAside(
                row.situation,
                frozenset(row.marks.split()),
                row.reason_system,
                row.reason_code,
                row.outcome_at,
                row.received_at,
            )


def seen(
    connection: Connection, client: str, patient: str, user: str, hook: str, before: datetime
) -> Iterator[Seen]:
    """The last card of each situation shown to this user for this patient before that moment."""
    cards = issued_cards.c
    asked = (
        select(cards.situation, cards.marks, cards.as_of)
        .where(cards.patient == patient, cards.client == client, cards.user == user)
        .where(cards.hook == hook, cards.issued_at <= before)
        .order_by(cards.issued_at)
    )
    last = {row.situation: row for row in connection.execute(asked)}
    for row in last.values():
        yield Seen(row.situation, frozenset(row.marks.split()), row.as_of)
