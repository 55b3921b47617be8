"""A call let in: its token used up and the call counted, in one transaction, on all machines together."""

import time
from collections.abc import Callable
from threading import Lock

import msgspec
from limits.storage import Storage
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import seen_tokens
from cds_service.database.call_counts import CallCounts
from cds_service.errors import Unavailable

_FORGET_EVERY_SECONDS = 300


class Admission(msgspec.Struct, frozen=True):
    """What became of a call at the gate."""

    first_use: bool
    """False: its token had been used before, and the call was not counted."""
    wait_seconds: int = 0
    """Above 0: the call is one too many, and as long as that its client should wait."""


class Admissions:
    """The memory of the gate. Safe to share between threads, processes and machines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._forget_at = 0.0
        self._forgetting = Lock()

    def admit(
        self, token_hash: str, expires_at: int, now: float, count: Callable[[Storage], int]
    ) -> Admission:
        """Use the token up, and when that was its first use, count the call.

        `count` says how long to wait. Raises Unavailable when the database does not answer: then
        nobody knows.
        """
        try:
            with self._engine.begin() as connection:
                if not seen_tokens.use(connection, token_hash, expires_at, now):
                    return Admission(first_use=False)
                admission = Admission(True, count(CallCounts(connection)))
            self._forget_expired(now)
        except SQLAlchemyError as error:
            raise Unavailable(
                "The service cannot tell at the moment whether the token is new."
            ) from error
        return admission

    def _forget_expired(self, now: float) -> None:
        """Now and then, by whoever comes by; nobody waits for another."""
        if time.monotonic() < self._forget_at or not self._forgetting.acquire(blocking=False):
            return
        try:
            self._forget_at = time.monotonic() + _FORGET_EVERY_SECONDS
            with self._engine.begin() as connection:
                seen_tokens.forget_expired(connection, now)
        finally:
            self._forgetting.release()
