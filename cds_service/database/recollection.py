"""What is remembered of one patient at one client: cards set aside, and cards shown to one user."""

from collections.abc import Iterator
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, bindparam, select

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


_cards, _said = issued_cards.c, feedback_entries.c
# Made once: to put such a statement together takes as long as to carry it out.
_SET_ASIDE = (
    select(_cards.situation, _cards.marks, *feedback_entries.c)
    .join_from(
        issued_cards,
        feedback_entries,
        (_said.card == _cards.card) & (_said.client == _cards.client),
    )
    .where(_cards.patient == bindparam("patient"), _cards.client == bindparam("client"))
    .order_by(_said.outcome_at, _said.received_at, _said.entry)
)
_SEEN = (
    select(_cards.situation, _cards.marks, _cards.as_of)
    .where(_cards.patient == bindparam("patient"), _cards.client == bindparam("client"))
    .where(_cards.user == bindparam("user"), _cards.hook == bindparam("hook"))
    .where(_cards.issued_at <= bindparam("before"))
    .order_by(_cards.issued_at)
)


def set_aside(connection: Connection, client: str, patient: str) -> Iterator[SetAside]:
    """Cards of this patient whose last word is an override with a reason."""
    asked = {"client": client, "patient": patient}
    last = {row.card: row for row in connection.execute(_SET_ASIDE, asked)}
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
    asked = {"client": client, "patient": patient, "user": user, "hook": hook, "before": before}
    last = {row.situation: row for row in connection.execute(_SEEN, asked)}
    for row in last.values():
        yield Seen(row.situation, frozenset(row.marks.split()), row.as_of)
