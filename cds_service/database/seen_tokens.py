"""Tokens that were used: each is good for one call, on all machines together."""

import time
from threading import Lock

from sqlalchemy import BigInteger, Column, Engine, String, Table, delete, text
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import METADATA
from cds_service.errors import Unavailable

_TABLE = Table(
    "seen_tokens",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
# One statement, so that of two callers at once one is refused. A row that has expired is as good as none.
_REMEMBER = text(
    "INSERT INTO seen_tokens (token_hash, expires_at) VALUES (:token_hash, :expires_at)"
    " ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at"
    " WHERE seen_tokens.expires_at <= :now"
)
_FORGET_EVERY_SECONDS = 300


class SeenTokens:
    """The memory of used tokens. Safe to share between threads, processes and machines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._forget_at = 0.0
        self._forgetting = Lock()

    def is_new(self, token_hash: str, expires_at: int, now: float) -> bool:
        """Whether this is its first use; from now on it is used.

        Raises Unavailable when the database does not answer: then nobody knows.
        """
        row = {"token_hash": token_hash, "expires_at": expires_at, "now": int(now)}
        try:
            with self._engine.begin() as connection:
                first: bool = connection.execute(_REMEMBER, row).rowcount == 1
            self._forget_expired(now)
        except SQLAlchemyError as error:
            raise Unavailable(
                "The service cannot tell at the moment whether the token is new."
            ) from error
        return first

    def _forget_expired(self, now: float) -> None:
        """Now and then, by whoever comes by; nobody waits for another."""
        if time.monotonic() < self._forget_at or not self._forgetting.acquire(blocking=False):
            return
        try:
            self._forget_at = time.monotonic() + _FORGET_EVERY_SECONDS
            with self._engine.begin() as connection:
                connection.execute(delete(_TABLE).where(_TABLE.c.expires_at <= int(now)))
        finally:
            self._forgetting.release()
