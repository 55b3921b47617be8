"""What becomes of cards and feedback when the database is locked, full, lost, slow, or its writer killed."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from sqlalchemy import event, func, select, text

from cds_service.database import open_database
from cds_service.database.bounded import Bounded, Busy
from cds_service.database.cards import issued_cards
from cds_service.database.feedback import feedback_entries
from tests.conftest import slug
from tests.databases import PostgreSQL
from tests.remembering import Memory, overridden, remembering
from tests.serving import LOW_TODAY, served
from tests.snooze_vignettes import LOW

HANGS_SECONDS = 30
"""A card that takes so long hangs, even on a busy machine."""


@contextmanager
def locked(url: str, tables: str = "issued_cards, feedback_entries") -> Iterator[None]:
    """Somebody else holds the database's write lock; of PostgreSQL, the locks of these tables."""
    engine = open_database(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text(f"LOCK TABLE {tables}"))
        yield
        connection.rollback()
    engine.dispose()


def in_database(url: str) -> tuple[set[str], set[str]]:
    """The cards, and the cards of the feedback entries, that are in the database."""
    engine = open_database(url)
    with engine.connect() as connection:
        cards = set(connection.scalars(select(issued_cards.c.card)))
        said = set(connection.scalars(select(feedback_entries.c.card)))
        if engine.dialect.name == "sqlite":
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    engine.dispose()
    return cards, said


def card_in_time(memory: Memory) -> None:
    """The card goes out, and does not wait for memory any longer than it is to."""
    memory.store.answer_seconds = 0.25
    started = time.monotonic()
    assert [slug(c) for c in memory.fire(*LOW)] == ["persistent-low-alp"]
    assert time.monotonic() - started < HANGS_SECONDS


def refused(memory: Memory, comment: str = "known") -> None:
    """Feedback is not acknowledged, and the client is told to come again."""
    answer = memory.feedback(overridden(str(uuid4()), userComment=comment))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    (issue,) = answer.get_json()["issue"]
    assert issue["code"] == "transient"


def failures(memory: Memory, operation: str) -> int:
    """How often that failed."""
    counted = memory.store.counts.snapshot()
    return sum(n for (what, result), n in counted.items() if what == operation != result != "done")


def test_a_locked_database_costs_no_card(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with remembering(database_url) as memory:
        memory.fire(*LOW)
        with locked(database_url):
            card_in_time(memory)
            assert failures(memory, "remember") == 1
            assert "memory failed operation=remember cause=TimeoutError" in caplog.text
            refused(memory)
        memory.store.answer_seconds = HANGS_SECONDS
        memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
        assert memory.fire(*LOW) == []


def test_a_snooze_that_cannot_be_read_lets_the_card_out(
    postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.migrated()
    with remembering(url) as memory:
        memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
        assert memory.fire(*LOW) == []
        with locked(url):
            card_in_time(memory)
        assert failures(memory, "recall") == 1
        assert "memory failed operation=recall cause=TimeoutError" in caplog.text
        memory.store.answer_seconds = HANGS_SECONDS
        assert memory.fire(*LOW) == []


def test_a_full_disk_costs_no_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with remembering(f"sqlite:///{tmp_path}/memory.sqlite3") as memory:
        memory.store.close()

        @event.listens_for(memory.store.engine, "connect")
        def no_room(connection: object, _: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA max_page_count=1")  # SQLite takes the pages there are, no more

        for _ in range(40):  # the last page has some room left
            assert len(memory.fire(*LOW)) == 1
        assert failures(memory, "remember") > 0
        assert "memory failed operation=remember cause=OperationalError" in caplog.text
        refused(memory, comment="x" * 5000)


def test_a_database_that_cannot_be_opened_is_taken_up_when_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "not-mounted"
    with remembering(f"sqlite:///{folder}/memory.sqlite3") as memory:
        assert (
            "memory failed operation=open cause=OperationalError; until it is back" in caplog.text
        )
        assert "clients get 503 (with CDS_AUTH=off cards go out)" in caplog.text
        card_in_time(memory)
        refused(memory)
        folder.mkdir()
        memory.store.answer_seconds = HANGS_SECONDS
        memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
        assert memory.fire(*LOW) == []


def test_a_server_that_goes_away_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    server = PostgreSQL()
    try:
        with remembering(server.migrated()) as memory:
            memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
            server.stop()
            card_in_time(memory)
            refused(memory)
            assert failures(memory, "recall") == failures(memory, "feedback") == 1
            server.start()
            memory.store.answer_seconds = HANGS_SECONDS
            assert memory.fire(*LOW) == [], "what was acknowledged is there again"
    finally:
        server.remove()


def test_a_server_that_never_answers_costs_no_card() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://cds@127.0.0.1:{silent.getsockname()[1]}/cds"
        with remembering(url) as memory:
            card_in_time(memory)
            assert failures(memory, "recall") == failures(memory, "remember") == 1


def test_work_that_hangs_takes_no_more_threads_than_there_are() -> None:
    bounded, release = Bounded(2), threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            bounded.run(release.wait, 0.01)
    with pytest.raises(Busy):
        bounded.run(release.wait, 60)
    release.set()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            assert bounded.run(lambda: 7, 10) == 7
            return
        except Busy:
            time.sleep(0.01)
    pytest.fail("the threads never came free")


def test_a_server_killed_between_answer_and_commit(
    database_url: str, memory_request: dict[str, object]
) -> None:
    with served(database_url) as server:
        (kept,) = server.fire(memory_request)
        until = time.monotonic() + HANGS_SECONDS
        while kept["uuid"] not in in_database(database_url)[0] and time.monotonic() < until:
            time.sleep(0.05)  # on a busy machine the answer went out before
        with locked(database_url):
            (lost,) = server.fire(memory_request)
            server.kill()
    assert in_database(database_url)[0] == {kept["uuid"]}
    with served(database_url) as server:
        said = [overridden(c["uuid"], "palliative-goals") for c in (lost, kept)]
        assert server.feedback(said[0]).json() == {"received": 1, "unknownCards": 1}
        assert len(server.fire(memory_request)) == 1, "without its card a snooze is not known"
        assert server.feedback(said[1]).json() == {"received": 1, "unknownCards": 0}
        assert server.fire(memory_request) == []


def test_feedback_that_was_acknowledged_outlives_its_servers(database_url: str) -> None:
    """Two servers write at once, and one is killed in the middle of it."""
    acknowledged: set[str] = set()
    with served(database_url) as first, served(database_url) as second:
        killed = threading.Event()

        def send(base: str) -> None:
            for _ in range(60):
                card = str(uuid4())
                try:
                    answer = requests.post(
                        f"{base}/low-alp-patient-view/feedback",
                        json={"feedback": [overridden(card), overridden(card, None, 1)]},
                        timeout=30,
                    )
                except requests.ConnectionError:
                    killed.set()
                    return
                if answer.status_code == 200:
                    acknowledged.add(card)

        clients = [
            threading.Thread(target=send, args=(server.base,))
            for server in (first, first, second, second)
        ]
        for client in clients:
            client.start()
        while len(acknowledged) < 30:
            time.sleep(0.005)
        first.kill()
        for client in clients:
            client.join()
        assert killed.is_set()
    stored = in_database(database_url)[1]
    assert acknowledged <= stored
    engine = open_database(database_url)
    with engine.connect() as connection:
        counted = connection.execute(
            select(func.count()).select_from(feedback_entries).group_by(feedback_entries.c.card)
        )
        assert set(counted.scalars()) == {2}, "a call is kept whole or not at all"
    engine.dispose()


@pytest.fixture
def memory_request(tmp_path: Path) -> dict[str, object]:
    """A call whose card fires on the day on which the test runs."""
    with remembering(f"sqlite:///{tmp_path}/unused.sqlite3") as memory:
        return memory.request(*LOW_TODAY)


def test_cards_and_feedback_of_many_threads_are_all_kept(database_url: str) -> None:
    with remembering(database_url) as memory:
        given: list[str] = []

        def visit() -> None:
            for _ in range(10):
                (card,) = (
                    memory.app.test_client()
                    .post("/cds-services/low-alp-patient-view", json=request)
                    .get_json()["cards"]
                )
                given.append(card["uuid"])
                assert memory.feedback(overridden(card["uuid"])).status_code == 200

        request = memory.request(*LOW)
        visitors = [threading.Thread(target=visit) for _ in range(6)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert failures(memory, "remember") == 0
        assert in_database(database_url) == (set(given), set(given))
    assert len(given) == 60
