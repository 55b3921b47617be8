"""Situations in shadow that would have given a card."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Patients stand here by keyed hashes; moments are microseconds since 1970."""
    op.create_table(
        "shadow_findings",
        sa.Column("finding", sa.String(36), primary_key=True),
        sa.Column("situation", sa.String(64), nullable=False),
        sa.Column("hook", sa.String(32), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("patient", sa.String(32), nullable=False),
        sa.Column("found_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("knowledge_version", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Text, nullable=False),
        sa.Column("program_version", sa.Text, nullable=False),
    )
    op.create_index("ix_shadow_findings_patient", "shadow_findings", ["patient", "client"])


def downgrade() -> None:
    """Findings in shadow are forgotten."""
    op.drop_table("shadow_findings")
