"""A card that was set aside stays quiet for its time, and no new evidence is missed."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cds_service import explain, rulebook
from cds_service.cli import main
from cds_service.clients import Client
from cds_service.database.cards import issued_cards, issued_suggestions
from cds_service.database.feedback import accepted_suggestions, feedback_entries
from cds_service.decision import Finding
from cds_service.guidance import Advisor
from cds_service.hooks.feedback import Feedback
from cds_service.hooks.request import PATIENT_VIEW, decode
from tests.charts import REFERENCE, Json, alp, bundle, condition, dose, draft, patient
from tests.conftest import CANONICAL, slug
from tests.remembering import KEY, REASONS, Memory, opened, remembering
from tests.snooze_vignettes import LOW, REBOUND, ROWS, SetAside

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.id)
def test_the_next_chart_opened(
    row: SetAside, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    memory.day = row.on
    given = memory.fire(*row.then, hook=row.shown_at, drafts=_drafts(row, row.shown_at))
    answered = next(c for c in given if slug(c) == row.answered)
    if row.reason is not None:
        memory.set_aside(answered, row.reason, row.said_on)
    else:
        assert memory.feedback(*row.says(answered)).status_code == 200
    memory.day = 0
    with caplog.at_level(logging.INFO, "cds_service"):
        found = memory.fire(*row.now, hook=row.hook, drafts=_drafts(row, row.hook))
    assert [slug(c) for c in found] == row.cards
    if row.silence is not None:
        assert f" situation={row.silence} " in caplog.text
    if row.silence == "workup-in-progress":
        assert f" quiet={row.answered}/{row.reason or 'already-evaluated'} " in caplog.text
    text = "\n".join(c["detail"] for c in found)
    for words in row.mentions:
        assert words in text


def _drafts(row: SetAside, hook: str) -> list[Json]:
    return row.drafts if hook != PATIENT_VIEW else []


@pytest.mark.parametrize(
    "reason, last_quiet_day",
    [
        ("already-evaluated", "2027-10-31"),
        ("specialist-managing", "2027-10-31"),
        ("transient-or-known-cause", "2027-01-31"),
        ("laboratory-artefact", "2027-01-31"),
        ("arranged-elsewhere", "2027-01-31"),
    ],
)
def test_a_snooze_ends_on_the_day_of_the_month_on_which_it_began(
    memory: Memory, reason: str, last_quiet_day: str
) -> None:
    chart = [patient(58, "female"), alp(28, -40, 35), alp(26, -1, 35)]
    memory.set_aside(memory.fire(*chart)[0], reason)
    memory.day = (date.fromisoformat(last_quiet_day) - REFERENCE).days
    assert memory.fire(*chart) == []
    memory.day += 1
    assert [slug(c) for c in memory.fire(*chart)] == ["persistent-low-alp"]


def test_both_cards_set_aside_are_both_quiet(memory: Memory) -> None:
    memory.day = -10
    for card in memory.fire(*REBOUND):
        memory.set_aside(card, "specialist-managing")
    memory.day = 0
    assert memory.fire(*REBOUND) == []


def test_a_woken_card_that_is_set_aside_again_sleeps_again(memory: Memory) -> None:
    memory.day = -100
    memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
    memory.day = -10
    lower = [*LOW, alp(22, -20, 35)]
    memory.set_aside(memory.fire(*lower)[0], "already-evaluated")
    memory.day = 0
    assert memory.fire(*lower) == []


def test_a_card_shown_again_says_why(memory: Memory) -> None:
    memory.day = -100
    memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
    memory.day = 0
    news = [condition("metatarsal stress fracture, left", -20), condition("early tooth loss", -15)]
    (card,) = memory.fire(*LOW, alp(22, -20, 35), alp(21, -10, 35), *news)
    line = next(x for x in card["detail"].splitlines() if "Set aside on" in x)
    assert line == (
        "- Set aside on 24 Jul 2026 (already evaluated). Shown again, because new since: lowest ALP"
        " 21 U/L on 22 Oct 2026; stress fracture of the foot; early loss of teeth."
    )


def test_another_patient_is_not_snoozed(memory: Memory) -> None:
    memory.set_aside(memory.fire(*LOW)[0], "palliative-goals")
    request = msgspec.json.encode(memory.request(*LOW))
    other = msgspec.json.decode(request.replace(b"pat-1", b"pat-2"))
    response = memory.http.post("/cds-services/low-alp-patient-view", json=other)
    assert [slug(c) for c in response.get_json()["cards"]] == ["persistent-low-alp"]


def test_a_snooze_never_crosses_clients(memory: Memory) -> None:
    advisor = Advisor(rulebook.load(CANONICAL), store=memory.store)
    request = decode(msgspec.json.encode(memory.request(*LOW)), (PATIENT_VIEW,))

    def asked(client: str) -> list[str]:
        answer = advisor.answer(request, REFERENCE, client=Client(client))
        return [card.uuid for card in answer.response.cards]

    (card,) = asked("clinic")
    said = Feedback(card, "overridden", NOON, (), REASONS, "already-evaluated")
    assert memory.store.keep("hospital", "low-alp-patient-view", [said]).unknown_cards == 1
    assert len(asked("clinic")) == 1, "what another client says of our card counts for nothing"
    assert memory.store.keep("clinic", "low-alp-patient-view", [said]).unknown_cards == 0
    assert asked("clinic") == []
    assert len(asked("hospital")) == 1, "the same patient id at another client is another patient"


def test_an_explanation_says_why_a_row_is_quiet(memory: Memory) -> None:
    memory.day = -100
    memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
    advisor = Advisor(rulebook.load(CANONICAL), store=memory.store)
    request = decode(msgspec.json.encode(memory.request(*LOW)), (PATIENT_VIEW,))
    decision = advisor.answer(request, REFERENCE, explain=True).decision
    said = (
        "persistent-low-alp was set aside on 24 Jul 2026 (already evaluated) until 24 Jul 2027, and no"
        " new evidence has come up"
    )
    assert decision.silence == Finding("workup-in-progress", "usual", said)
    (step,) = [s for s in decision.steps if s.outcome == "snoozed"]
    assert (step.slug, step.verdict.reason) == ("persistent-low-alp", said)
    told = list(explain.rows(decision, advisor.rulebook))
    title = "Persistently low ALP without an explanation [persistent-low-alp]"
    assert ("SNOOZED", title, f"P{said[1:]}.") in told


class TestAlreadySeen:
    """With a policy that asks for it, the same facts are not shown twice to the same user."""

    @pytest.fixture
    def memory(self, database_url: str, tmp_path: Path) -> Iterator[Memory]:
        policy = tmp_path / "site.toml"
        policy.write_text("[snooze]\nalready_seen_days = 30\nalready_seen_after_minutes = 0\n")
        with remembering(database_url, policy) as found:
            yield found

    def test_the_same_user_is_shown_the_same_facts_once(self, memory: Memory) -> None:
        assert len(memory.fire(*LOW, user="Practitioner/a")) == 1
        assert memory.fire(*LOW, user="Practitioner/a") == []

    def test_another_user_is_shown_them(self, memory: Memory) -> None:
        assert len(memory.fire(*LOW, user="Practitioner/a")) == 1
        assert len(memory.fire(*LOW, user="Practitioner/b")) == 1

    def test_after_the_window_they_are_shown_again(self, memory: Memory) -> None:
        assert len(memory.fire(*LOW, user="Practitioner/a")) == 1
        memory.day = 29
        assert memory.fire(*LOW, user="Practitioner/a") == []
        memory.day = 30
        (card,) = memory.fire(*LOW, user="Practitioner/a")
        assert "- Last shown to you on 1 Nov 2026. Nothing is new since.\n" in card["detail"]

    def test_a_new_fact_is_shown_and_named(self, memory: Memory) -> None:
        memory.fire(*LOW, user="Practitioner/a")
        memory.day = 5
        (card,) = memory.fire(*LOW, alp(33, 2, 35), user="Practitioner/a")
        line = "- Last shown to you on 1 Nov 2026. New since: latest ALP 33 U/L on 3 Nov 2026.\n"
        assert line in card["detail"]

    def test_an_order_is_answered_every_time(self, memory: Memory) -> None:
        drafts = [draft("alendronate")]
        for _ in range(2):
            assert len(memory.fire(*LOW, hook="order-sign", drafts=drafts)) == 1

    def test_the_log_says_so(self, memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
        memory.fire(*LOW)
        with caplog.at_level(logging.INFO, "cds_service"):
            memory.fire(*LOW)
        assert " quiet=persistent-low-alp/already-seen " in caplog.text


def test_a_chart_opened_again_within_the_hour_gets_its_card_again(
    database_url: str, tmp_path: Path
) -> None:
    policy = tmp_path / "site.toml"
    policy.write_text("[snooze]\nalready_seen_days = 30\n")
    with remembering(database_url, policy) as memory:
        assert len(memory.fire(*LOW)) == len(memory.fire(*LOW)) == 1


def test_nothing_of_a_user_is_kept_unless_the_policy_asks(memory: Memory) -> None:
    memory.fire(*LOW)
    with opened(memory) as connection:
        assert connection.scalars(select(issued_cards.c.user)).all() == [None]


def test_no_clinical_value_is_kept(memory: Memory) -> None:
    chart = [patient(58, "female"), alp(26.25, -400, 35), alp(28.75, -200, 35)]
    memory.set_aside(memory.fire(*chart, dose("denosumab", -900))[0], "already-evaluated")
    tables = [issued_cards, issued_suggestions, feedback_entries, accepted_suggestions]
    with opened(memory) as connection:
        kept = repr([tuple(row) for table in tables for row in connection.execute(select(table))])
    assert "persistent-low-alp" in kept
    for value in ("26.25", "28.75", "denosumab", "pat-1", "2025-09-27", "1968"):
        assert value not in kept


def test_evaluate_explains_with_what_a_client_remembers(memory: Memory, tmp_path: Path) -> None:
    memory.set_aside(memory.fire(*LOW)[0], "already-evaluated")
    chart = tmp_path / "chart.json"
    chart.write_bytes(msgspec.json.encode(bundle(*LOW)))
    environment = {"CDS_DATABASE_URL": memory.app.config["DATABASE"], "CDS_HASH_KEY": KEY.decode()}
    command = ["evaluate", str(chart), "--as-of", "2026-11-02", "--format", "json", "--explain"]

    def asked(*more: str) -> Json:
        result = CliRunner().invoke(main, [*command, *more], env=environment)
        assert result.exit_code == 0, result.output
        found: Json = json.loads(result.output)
        return found

    assert asked()["situation"] == "persistent-low-alp"
    assert asked("--client", "other")["situation"] == "persistent-low-alp"
    remembered = asked("--client", "open")
    assert (remembered["situation"], remembered["cards"]) == ("workup-in-progress", [])
    (row,) = [r for r in remembered["rows"] if r["outcome"] == "snoozed"]
    assert row["reason"].startswith("persistent-low-alp was set aside on 1 Nov 2026")
    with opened(memory) as connection:
        assert len(connection.execute(select(issued_cards)).all()) == 1, "nothing was added"


def test_evaluate_for_a_client_needs_the_key(tmp_path: Path) -> None:
    chart = tmp_path / "chart.json"
    chart.write_bytes(msgspec.json.encode(bundle(*LOW)))
    result = CliRunner().invoke(
        main, ["evaluate", str(chart), "--client", "open"], env={"CDS_HASH_KEY": ""}
    )
    assert result.exit_code == 2
    assert "--client needs CDS_HASH_KEY" in result.output
