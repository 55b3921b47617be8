"""Tokens that were used: each is good for one call, on all machines together."""

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, text

from cds_service.database import METADATA

_TABLE = Table(
    "seen_tokens",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),  # seconds since 1970
)
# One statement, so that of two callers at once one is refused. A row that has expired is as good as none.
_USE = text(
    "INSERT INTO seen_tokens (token_hash, expires_at) VALUES (:token_hash, :expires_at)"
    " ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at"
    " WHERE seen_tokens.expires_at <= :now"
)


def use(connection: Connection, token_hash: str, expires_at: int, now: float) -> bool:
    """Whether this is the first use of the token; from now on it is used."""
    row = {"token_hash": token_hash, "expires_at": expires_at, "now": int(now)}
    return connection.execute(_USE, row).rowcount == 1


def forget_expired(connection: Connection, now: float) -> None:
    """Let go of tokens that nobody accepts any more."""
    connection.execute(delete(_TABLE).where(_TABLE.c.expires_at <= int(now)))
