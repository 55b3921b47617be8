"""What is old is forgotten but for the snoozes in force; one patient is forgotten whole."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Table, func, select, update

from cds_service.cli import main
from cds_service.database.cards import issued_cards, issued_suggestions
from cds_service.database.feedback import accepted_suggestions, feedback_entries
from tests.charts import PATIENT, Json
from tests.remembering import KEY, Memory, accepted, opened, overridden, remembering
from tests.serving import LOW_TODAY, TODAY
from tests.snooze_vignettes import LOW

TABLES = (issued_cards, issued_suggestions, feedback_entries, accepted_suggestions)


def run(url: str, *arguments: str, **environment: str) -> Result:
    settings = {"CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode(), **environment}
    return CliRunner().invoke(main, list(arguments), env=settings)


def counted(memory: Memory) -> list[int]:
    """Rows of each table."""
    with opened(memory) as connection:
        return [connection.scalar(select(func.count()).select_from(t)) or 0 for t in TABLES]


def age(memory: Memory, days: int) -> None:
    """Everything came that much earlier."""
    past = timedelta(days=days)
    with opened(memory) as connection:
        for table, columns in (
            (issued_cards, ("issued_at",)),
            (feedback_entries, ("received_at", "outcome_at")),
        ):
            _earlier(connection, table, columns, past)


def _earlier(connection: Any, table: Table, columns: tuple[str, ...], past: timedelta) -> None:
    (key,) = table.primary_key.columns
    for row in connection.execute(select(table)).mappings().all():
        moved = {name: row[name] - past for name in columns}
        connection.execute(update(table).where(key == row[key.name]).values(moved))


def visit(memory: Memory, patient_id: str = PATIENT) -> Json:
    """The card of a chart."""
    (card,) = memory.fire(*LOW, patient_id=patient_id)
    return card


def test_what_is_old_is_forgotten(database_url: str) -> None:
    with remembering(database_url) as memory:
        memory.feedback(accepted(visit(memory), 0))
        memory.feedback(overridden(visit(memory)["uuid"], "record-wrong", 0, userComment="Jane"))
        memory.feedback(overridden("unknown-card", "palliative-goals"))
        age(memory, 401)
        visit(memory)
        result = run(database_url, "db", "purge")
        assert (
            result.output
            == "Forgotten: 5 cards, feedback entries and findings in shadow older than 400 days.\n"
        )
        assert counted(memory) == [1, 3, 0, 0]


def test_what_is_young_stays(database_url: str) -> None:
    with remembering(database_url) as memory:
        memory.feedback(accepted(visit(memory), 0))
        age(memory, 399)
        assert run(database_url, "db", "purge").exit_code == 0
        assert counted(memory) == [1, 3, 1, 1]
        result = run(database_url, "db", "purge", "--older-than", "30")
        assert (
            result.output
            == "Forgotten: 2 cards, feedback entries and findings in shadow older than 30 days.\n"
        )
        assert counted(memory) == [0, 0, 0, 0]


def test_a_snooze_in_force_outlives_the_purge_without_its_comment(database_url: str) -> None:
    with remembering(database_url) as memory:
        card = visit(memory)
        memory.feedback(overridden(card["uuid"], "palliative-goals", 0, userComment="Jane Doe"))
        age(memory, 4000)
        assert run(database_url, "db", "purge").exit_code == 0
        assert counted(memory) == [1, 0, 1, 0]
        assert memory.fire(*LOW) == []
        with opened(memory) as connection:
            assert connection.scalar(select(feedback_entries.c.comment)) is None


def test_a_purge_never_revives_a_snooze_that_was_taken_back(database_url: str) -> None:
    with remembering(database_url) as memory:
        card = visit(memory)
        memory.feedback(overridden(card["uuid"], "palliative-goals", 0), accepted(card, 0, day=1))
        age(memory, 4000)
        assert run(database_url, "db", "purge").exit_code == 0
        assert len(memory.fire(*LOW)) == 1


@pytest.mark.parametrize("days, quiet", [(300, True), (366, False)])
def test_a_snooze_of_twelve_months_is_kept_for_them(
    database_url: str, days: int, quiet: bool
) -> None:
    with remembering(database_url) as memory:
        memory.day = TODAY  # the day of `purge`
        (card,) = memory.fire(*LOW_TODAY)
        memory.set_aside(card, "already-evaluated")
        age(memory, days)
        assert run(database_url, "db", "purge", "--older-than", "30").exit_code == 0
        assert (memory.fire(*LOW_TODAY) == []) is quiet


def test_one_patient_is_forgotten(database_url: str) -> None:
    with remembering(database_url) as memory:
        for patient_id in ("pat-1", "pat-2"):
            card = visit(memory, patient_id=patient_id)
            memory.feedback(accepted(card, 0), overridden(card["uuid"], "already-evaluated", 1))
        result = run(database_url, "db", "erase", "--client", "open", "--patient", "pat-1")
        assert result.output == "Forgotten: 3 cards, feedback entries and findings in shadow.\n"
        assert counted(memory) == [1, 3, 2, 1]
        assert len(memory.fire(*LOW)) == 1, "the snooze went with it"


def test_the_same_patient_of_another_client_is_not(database_url: str) -> None:
    with remembering(database_url) as memory:
        visit(memory)
        result = run(database_url, "db", "erase", "--client", "other", "--patient", "pat-1")
        assert (result.exit_code, result.output) == (
            2,
            "Error: Forgotten: 0; nothing is on record of a client of the name 'other'\n",
        )
        assert counted(memory)[0] == 1


def test_a_patient_of_whom_nothing_is_kept(database_url: str) -> None:
    with remembering(database_url) as memory:
        visit(memory)
        result = run(database_url, "db", "erase", "--client", "open", "--patient", "nobody")
        assert (result.exit_code, result.output) == (
            0,
            "Forgotten: 0 cards, feedback entries and findings in shadow.\n",
        )


def test_what_was_erased_is_nowhere_in_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3"
    with remembering(url) as memory:
        memory.feedback(overridden(visit(memory)["uuid"], None, 0, userComment="Sentinel Jane"))
        found = [p.name for p in tmp_path.iterdir() if b"Sentinel" in p.read_bytes()]
        assert found
        run(url, "db", "erase", "--client", "open", "--patient", "pat-1")
        assert not [p.name for p in tmp_path.iterdir() if b"Sentinel" in p.read_bytes()]


def test_without_the_key_nobody_is_erased(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3"
    result = run(url, "db", "erase", "--client", "open", "--patient", "pat-1", CDS_HASH_KEY="")
    assert (result.exit_code, result.output) == (
        2,
        "Error: CDS_HASH_KEY is not set: without it nobody can tell whose cards are whose\n",
    )
