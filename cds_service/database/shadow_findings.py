"""Situations in shadow that would have given a card, for the report alone. No clinical values.

Nothing that is shown to anybody depends on them: feedback, snoozes and what a user has seen are
questions about cards.
"""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Column, Connection, Date, Index, String, Table, Text, insert, select

from cds_service.database import METADATA
from cds_service.database.moment import Moment

shadow_findings = Table(
    "shadow_findings",
    METADATA,
    Column("finding", String(36), primary_key=True),
    Column("situation", String(64), nullable=False),
    Column("hook", String(32), nullable=False),
    Column("client", Text, nullable=False),
    Column("patient", String(32), nullable=False),  # pseudonym
    Column("found_at", Moment, nullable=False, index=True),
    Column("as_of", Date, nullable=False),
    Column("knowledge_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("program_version", Text, nullable=False),
    Index("ix_shadow_findings_patient", "patient", "client"),
)

_KEEP = insert(shadow_findings)


class ShadowFinding(msgspec.Struct, frozen=True):
    """A card that would have gone out, were its situation on: as cards, at most two a call."""

    finding: str
    situation: str
    hook: str
    client: str
    patient: str
    """Pseudonym with that client."""
    found_at: datetime
    as_of: date
    knowledge_version: str
    policy_version: str
    program_version: str


def keep_findings(connection: Connection, findings: Sequence[ShadowFinding]) -> None:
    """Remember these findings."""
    connection.execute(_KEEP, [msgspec.structs.asdict(finding) for finding in findings])


def findings_between(
    connection: Connection, since: datetime, before: datetime
) -> Sequence[ShadowFinding]:
    """Findings from `since` on and before `before`, the earliest first."""
    found = shadow_findings.c
    asked = (
        select(shadow_findings)
        .where(found.found_at >= since, found.found_at < before)
        .order_by(found.found_at, found.finding)
    )
    return [ShadowFinding(**row) for row in connection.execute(asked).mappings()]
