"""Sessions of the timeline as a SMART app: sealed with a secret that only the browser's cookie holds.

Whoever reads the database finds neither a token nor a patient in it; whoever has a cookie reads its
own session, on any worker and any machine, until it expires.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from secrets import token_urlsafe
from typing import TypeVar

import msgspec
from cryptography.fernet import Fernet
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    LargeBinary,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from cds_service.database import METADATA
from cds_service.errors import Unavailable

_Kept = TypeVar("_Kept", bound=msgspec.Struct)

SMART_SESSIONS = Table(
    "smart_sessions",
    METADATA,
    Column("secret_hash", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
_SECRET_BYTES = 32


class SmartSessions:
    """The sessions in the database. Every operation raises Unavailable when it cannot be used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, value: msgspec.Struct, *, seconds: int) -> str:
        """Seal a value for some seconds; the answer is the secret that opens it, kept nowhere here."""
        secret = token_urlsafe(_SECRET_BYTES)
        now = int(time.time())
        row = {
            "secret_hash": _hash(secret),
            "sealed": _seal(secret).encrypt(msgspec.json.encode(value)),
            "expires_at": now + seconds,
        }
        with _within_reach(), self._engine.begin() as connection:
            connection.execute(delete(SMART_SESSIONS).where(SMART_SESSIONS.c.expires_at <= now))
            connection.execute(insert(SMART_SESSIONS).values(row))
        return secret

    def open(self, secret: str, kind: type[_Kept]) -> _Kept | None:
        """The value behind a secret; None when there is none, or not any more."""
        with _within_reach(), self._engine.connect() as connection:
            found = connection.execute(
                select(SMART_SESSIONS.c.sealed).where(
                    SMART_SESSIONS.c.secret_hash == _hash(secret),
                    SMART_SESSIONS.c.expires_at > int(time.time()),
                )
            ).scalar()
        return None if found is None else _opened(secret, found, kind)

    def take(self, secret: str, kind: type[_Kept]) -> _Kept | None:
        """The value behind a secret, which opens nothing from now on: of two who ask, one gets it."""
        with _within_reach(), self._engine.begin() as connection:
            found = connection.execute(
                delete(SMART_SESSIONS)
                .where(
                    SMART_SESSIONS.c.secret_hash == _hash(secret),
                    SMART_SESSIONS.c.expires_at > int(time.time()),
                )
                .returning(SMART_SESSIONS.c.sealed)
            ).scalar()
        return None if found is None else _opened(secret, found, kind)

    def forget(self, secret: str) -> None:
        """Nothing is behind that secret any more."""
        with _within_reach(), self._engine.begin() as connection:
            connection.execute(
                delete(SMART_SESSIONS).where(SMART_SESSIONS.c.secret_hash == _hash(secret))
            )


@contextmanager
def _within_reach() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable("The timeline cannot be opened at the moment.") from error


def _opened(secret: str, sealed: bytes, kind: type[_Kept]) -> _Kept | None:
    """None when something else was kept behind that secret."""
    try:
        return msgspec.json.decode(_seal(secret).decrypt(sealed), type=kind)
    except msgspec.ValidationError:
        return None


def _hash(secret: str) -> str:
    return sha256(b"name:" + secret.encode()).hexdigest()


def _seal(secret: str) -> Fernet:
    """The secret has 256 bits of its own: one hash, apart from the one that names it, is key enough."""
    return Fernet(urlsafe_b64encode(sha256(b"key:" + secret.encode()).digest()))
