"""Calls counted by client and minute, on all machines together: where `limits` keeps its counters."""

import time
from typing import Any

from limits.storage import Storage
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import METADATA

_TABLE = Table(
    "call_counts",
    METADATA,
    Column("counted", String(200), primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # seconds since 1970
)
# One statement: no call is lost between reading and writing. An expired count begins again at one.
_COUNT = text(
    "INSERT INTO call_counts (counted, calls, expires_at) VALUES (:counted, :calls, :expires_at)"
    " ON CONFLICT (counted) DO UPDATE SET"
    " calls = CASE WHEN call_counts.expires_at <= :now THEN excluded.calls"
    " ELSE call_counts.calls + excluded.calls END,"
    " expires_at = CASE WHEN call_counts.expires_at <= :now THEN excluded.expires_at"
    " ELSE call_counts.expires_at END"
    " RETURNING calls"
)


class CallCounts(Storage):
    """A storage of `limits` within one transaction: one row a client. Raises SQLAlchemyError."""

    STORAGE_SCHEME = None

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """What the database raises."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = int(time.time())
        row = {"counted": key, "calls": amount, "expires_at": now + expiry, "now": now}
        return int(self._connection.execute(_COUNT, row).scalar_one())

    def get(self, key: str) -> int:
        found = self._row(key)
        return found.calls if found else 0

    def get_expiry(self, key: str) -> float:
        found = self._row(key)
        return found.expires_at if found else time.time()

    def check(self) -> bool:
        return self._connection.execute(select(1)).scalar() == 1

    def reset(self) -> int | None:
        return self._connection.execute(delete(_TABLE)).rowcount

    def clear(self, key: str) -> None:
        self._connection.execute(delete(_TABLE).where(_TABLE.c.counted == key))

    def _row(self, key: str) -> Any:
        living = _TABLE.c.counted == key, _TABLE.c.expires_at > int(time.time())
        return self._connection.execute(select(_TABLE).where(*living)).one_or_none()
