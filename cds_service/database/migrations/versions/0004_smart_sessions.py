"""Sessions of the timeline opened as a SMART app, each kept until it is used up or expires."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A session is known by a hash of a secret that only the browser holds, and sealed with it."""
    op.create_table(
        "smart_sessions",
        sa.Column("secret_hash", sa.String(64), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),  # seconds since 1970
    )


def downgrade() -> None:
    """Nothing is remembered."""
    op.drop_table("smart_sessions")
