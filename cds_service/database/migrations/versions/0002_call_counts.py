"""Calls counted by client and minute."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """One row a client, begun again each minute."""
    op.create_table(
        "call_counts",
        sa.Column("counted", sa.String(200), primary_key=True),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),  # seconds since 1970
    )


def downgrade() -> None:
    """Nothing is counted."""
    op.drop_table("call_counts")
