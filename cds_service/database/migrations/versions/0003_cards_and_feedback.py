"""Cards that went out, and what clinicians made of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Patients and users stand here by keyed hashes; moments are microseconds since 1970."""
    op.create_table(
        "issued_cards",
        sa.Column("card", sa.String(36), primary_key=True),
        sa.Column("situation", sa.String(64), nullable=False),
        sa.Column("hook", sa.String(32), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("patient", sa.String(32), nullable=False),
        sa.Column("user", sa.String(32)),
        sa.Column("issued_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("marks", sa.Text, nullable=False),
        sa.Column("knowledge_version", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Text, nullable=False),
        sa.Column("program_version", sa.Text, nullable=False),
    )
    op.create_index("ix_issued_cards_patient", "issued_cards", ["patient", "client"])
    op.create_table(
        "issued_suggestions",
        sa.Column("suggestion", sa.String(36), primary_key=True),
        sa.Column(
            "card",
            sa.String(36),
            sa.ForeignKey("issued_cards.card", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("order_code", sa.String(64), nullable=False),
    )
    op.create_table(
        "feedback_entries",
        sa.Column("entry", sa.String(64), primary_key=True),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("card", sa.String(128), nullable=False),
        sa.Column("known", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("outcome_at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("reason_system", sa.String(256)),
        sa.Column("reason_code", sa.String(256)),
        sa.Column("comment", sa.Text),
    )
    op.create_index("ix_feedback_entries_card", "feedback_entries", ["card", "client"])
    op.create_table(
        "accepted_suggestions",
        sa.Column(
            "entry",
            sa.String(64),
            sa.ForeignKey("feedback_entries.entry", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("suggestion", sa.String(128), primary_key=True, index=True),
    )


def downgrade() -> None:
    """Cards and feedback are forgotten."""
    for table in ("accepted_suggestions", "feedback_entries", "issued_suggestions", "issued_cards"):
        op.drop_table(table)
