"""Tokens of CDS clients that were seen already, each kept until it expires."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """A token is known by a hash of its issuer and `jti`; neither is kept."""
    op.create_table(
        "seen_tokens",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),  # seconds since 1970
    )


def downgrade() -> None:
    """Nothing is remembered."""
    op.drop_table("seen_tokens")
