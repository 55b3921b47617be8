"""SMART sessions in the database: sealed, good for a while, and for one who asks first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import InvalidToken
from sqlalchemy import Engine, update

from cds_service.database import open_database
from cds_service.database.smart_sessions import SMART_SESSIONS, SmartSessions
from cds_service.database.upgrading import upgrade
from cds_service.errors import Unavailable


class Kept(msgspec.Struct, frozen=True):
    token: str


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_database(f"sqlite:///{tmp_path}/memory.sqlite3")
    upgrade(found)
    yield found
    found.dispose()


@pytest.fixture
def sessions(engine: Engine) -> SmartSessions:
    return SmartSessions(engine)


def stored(engine: Engine) -> list[tuple[str, bytes, int]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(SMART_SESSIONS.select())]


def test_what_is_kept_is_opened_with_its_secret_only(
    sessions: SmartSessions, engine: Engine
) -> None:
    secret = sessions.keep(Kept("a token"), seconds=60)
    other = sessions.keep(Kept("another"), seconds=60)
    assert secret != other
    assert len(secret) >= 43
    assert sessions.open(secret, Kept) == Kept("a token")
    assert sessions.open(secret[:-1], Kept) is None
    assert sessions.open("", Kept) is None
    for row in stored(engine):
        assert secret not in str(row)
        assert b"a token" not in row[1]


def test_a_row_moved_under_another_name_stays_closed(
    sessions: SmartSessions, engine: Engine
) -> None:
    first, second = (sessions.keep(Kept(name), seconds=60) for name in ("one", "two"))
    sealed = {name: row for name, row, _ in stored(engine)}
    with engine.begin() as connection:
        connection.execute(update(SMART_SESSIONS).values(sealed=next(iter(sealed.values()))))
    opened = 0
    for secret in (first, second):
        try:
            opened += sessions.open(secret, Kept) is not None
        except InvalidToken:
            continue
    assert opened == 1


def test_what_is_taken_is_gone(sessions: SmartSessions) -> None:
    secret = sessions.keep(Kept("a"), seconds=60)
    assert sessions.take(secret, Kept) == Kept("a")
    assert sessions.take(secret, Kept) is None
    assert sessions.open(secret, Kept) is None


def test_of_many_who_take_at_once_one_gets_it(sessions: SmartSessions) -> None:
    secret = sessions.keep(Kept("a"), seconds=60)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: sessions.take(secret, Kept), range(8)))
    assert [f for f in found if f is not None] == [Kept("a")]


def test_what_is_forgotten_is_gone(sessions: SmartSessions) -> None:
    secret = sessions.keep(Kept("a"), seconds=60)
    sessions.forget(secret)
    assert sessions.open(secret, Kept) is None


def test_what_has_expired_is_neither_opened_nor_kept(
    sessions: SmartSessions, engine: Engine
) -> None:
    secret = sessions.keep(Kept("a"), seconds=0)
    assert sessions.open(secret, Kept) is None
    assert sessions.take(secret, Kept) is None
    sessions.keep(Kept("b"), seconds=60)
    assert len(stored(engine)) == 1


def test_a_secret_of_another_kind_of_session_opens_nothing(sessions: SmartSessions) -> None:
    class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        patient: str

    assert sessions.open(sessions.keep(Kept("a token"), seconds=60), Other) is None


def test_a_table_that_is_lost_is_unavailable_and_not_empty(
    sessions: SmartSessions, engine: Engine
) -> None:
    secret = sessions.keep(Kept("a token"), seconds=60)
    SMART_SESSIONS.drop(engine)
    for use in (
        lambda: sessions.open(secret, Kept),
        lambda: sessions.take(secret, Kept),
        lambda: sessions.keep(Kept("a token"), seconds=60),
        lambda: sessions.forget(secret),
    ):
        with pytest.raises(Unavailable):
            use()
