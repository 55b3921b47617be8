"""The report counts what was shown and answered, and says it in text, JSON and one HTML file."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.hooks.feedback import Feedback
from tests.charts import alp, draft, patient
from tests.remembering import Memory, accepted, overridden, remembering
from tests.simulated_month import simulate
from tests.snooze_vignettes import LOW

OTHER = "urn:oid:1.2.3.4"
NOTHING = "Nothing to report yet: no card is on record for these days."


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", *arguments], env={"CDS_DATABASE_URL": url})


def answered(memory: Memory) -> None:
    """Five cards: taken, set aside for three reasons, and left without a word."""
    cards = [memory.fire(*LOW)[0] for _ in range(3)]
    cards += memory.fire(*LOW, hook="order-sign", drafts=[draft("alendronate")])
    cards += memory.fire(patient(58, "female"), alp(31, -20, 35))
    memory.feedback(
        accepted(cards[0], 0),
        accepted(cards[0], 1, day=1),
        overridden(cards[1]["uuid"], "record-wrong", 0, userComment="wrong <b>patient</b>, Jane"),
        overridden(cards[2]["uuid"], None, 0, reason={"system": OTHER, "code": "NOT-MINE"}),
        overridden(cards[3]["uuid"]),
        overridden("unknown-card", None, 0, userComment="who is this?"),
    )


def test_everything_is_counted(database_url: str) -> None:
    with remembering(database_url) as memory:
        answered(memory)
        result = run(database_url, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["summary"] == (
        "5 cards went out: 1 (20 %) were taken, 3 (60 %) were set aside, 1 (20 %) had no answer."
        " 1 answer came about a card that is not on record."
    )
    (week,) = found["weeks"]
    assert week["cards"] == 5
    low = "persistent-low-alp"
    assert found["situations"][0] == {
        "id": low,
        "situation": "Persistently low ALP without an explanation",
        "cards": 3,
        "accepted": 1,
        "overridden": 2,
        "ignored": 0,
        "acceptedPercent": 33,
        "overriddenPercent": 67,
    }
    assert [(r["id"], r["reason"], r["cards"]) for r in found["reasons"]] == [
        ("none", "No reason given", 1),
        ("record-wrong", "The record is wrong", 1),
        ("urn:oid:1.2.3.4|NOT-MINE", "NOT-MINE (of the client)", 1),
    ]
    assert {"situation": low, "reason": "record-wrong", "cards": 1} in found["reasonsBySituation"]
    assert [(h["id"], h["cards"]) for h in found["hooks"]] == [
        ("patient-view", 4),
        ("order-sign", 1),
    ]
    assert [(c["id"], c["cards"]) for c in found["clients"]] == [("open", 5)]
    orders = {o["id"]: (o["offered"], o["accepted"]) for o in found["orders"]}
    assert orders["plp"] == (4, 1)
    assert orders["mineral_panel"] == (5, 1)
    assert "comments" not in found


def test_the_last_word_of_a_card_counts(database_url: str) -> None:
    with remembering(database_url) as memory:
        (card,) = memory.fire(*LOW)
        memory.feedback(accepted(card, 0, day=2), overridden(card["uuid"], "record-wrong", 1))
        (row,) = json.loads(run(database_url, "--format", "json").output)["situations"]
    assert (row["accepted"], row["overridden"]) == (1, 0)


def test_another_client_cannot_answer_a_card(database_url: str) -> None:
    with remembering(database_url) as memory:
        (card,) = memory.fire(*LOW)
        said = Feedback(
            card["uuid"], "accepted", datetime.now(UTC), (card["suggestions"][0]["uuid"],)
        )
        memory.store.keep("other", "low-alp-patient-view", [said])
        found = json.loads(run(database_url, "--format", "json").output)
    assert found["situations"][0]["ignored"] == 1
    assert {o["accepted"] for o in found["orders"]} == {0}


def test_comments_are_listed_only_when_asked_for(database_url: str) -> None:
    with remembering(database_url) as memory:
        answered(memory)
        for form in ("text", "json", "html"):
            quiet, told = (
                run(database_url, "--format", form, *c).output for c in ((), ("--comments",))
            )
            assert "Jane" not in quiet
            assert "Jane" in told
            assert "who is this?" in told
    assert "wrong &lt;b&gt;patient&lt;/b&gt;, Jane" in told


def test_only_the_days_asked_for_are_counted(database_url: str) -> None:
    with remembering(database_url) as memory:
        memory.fire(*LOW)
        result = run(database_url, "--until", "2020-01-01", "--format", "json")
        assert json.loads(result.output)["summary"] == NOTHING
        result = run(database_url, "--since", "2999-01-01")
        assert result.exit_code == 2
        assert "--since 2999-01-01 comes after the last day" in result.output


def test_a_report_of_nothing_says_so_and_nothing_more(database_url: str) -> None:
    told = {form: run(database_url, "--format", form) for form in ("text", "json", "html")}
    assert [result.exit_code for result in told.values()] == [0, 0, 0]
    title, period, blank, summary = told["text"].output.splitlines()
    assert (title, blank) == ("What clinicians made of the low ALP cards", "")
    assert period.endswith("days and weeks in UTC")
    assert summary == NOTHING
    assert NOTHING in told["html"].output
    assert "Nothing to count" not in told["html"].output
    found = json.loads(told["json"].output)
    assert (found["summary"], found["weeks"], found["orders"]) == (NOTHING, [], [])


def test_answers_without_a_card_on_record_are_told(database_url: str) -> None:
    with remembering(database_url) as memory:
        memory.feedback(overridden("unknown-card", None, 0, userComment="who is this?"))
        lines = run(database_url, "--comments").output.splitlines()
    assert lines[3] == f"{NOTHING} 1 answer came about a card that is not on record."
    assert any("who is this?" in line for line in lines)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("month") / "month.sqlite3"
    simulate(f"sqlite:///{file}", calls=150)
    return file


def test_the_page_needs_nothing_else_and_has_a_table_for_each_plot(
    month: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    result = run(f"sqlite:///{month}", "--format", "html", "--output", str(page))
    assert (result.exit_code, result.output) == (0, "")
    text = page.read_text(encoding="utf-8")
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=", ours), "nothing is fetched"
    assert "default-src 'none'" in ours
    (figures,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text)
    drawn = json.loads(figures)
    assert list(drawn) == ["weeks", "situations", "reasons", "orders", "hooks", "clients"]
    for key, figure in drawn.items():
        assert f'id="{key}" role="img"' in ours
        bars = {len(t["x"]) for t in figure["data"]}
        section = ours.split(f'aria-labelledby="{key}-title"')[1].split("</section>")[0]
        assert bars == {section.count('<th scope="row"')}


def test_what_a_client_names_is_text_on_the_page(database_url: str) -> None:
    evil = "</script><img src=x onerror=alert(1)>$plotly $figures"
    with remembering(database_url) as memory:
        (card,) = memory.fire(*LOW)
        memory.feedback(overridden(card["uuid"], None, 0, reason={"code": evil}))
        page = run(database_url, "--format", "html").output
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<img" not in ours
    assert "&lt;img src=x" in ours
    assert "$plotly $figures" in ours


def test_text_reads_as_columns(month: Path) -> None:
    lines = run(f"sqlite:///{month}").output.splitlines()
    head = next(line for line in lines if line.startswith("  Order "))
    assert head.split() == ["Order", "Offered", "Taken", "Taken,", "%"]


def test_a_database_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    result = run(f"sqlite:///{tmp_path}/no/folder/x.sqlite3")
    assert result.exit_code == 2
    assert result.output.startswith(
        f"Error: sqlite:///{tmp_path}/no/folder/x.sqlite3: cannot be opened"
    )


def test_a_reader_that_has_had_enough_hears_no_complaint(month: Path) -> None:
    """As `report --format html | head` does: the page is larger than any pipe."""
    url = f"sqlite:///{month}"
    writing = subprocess.Popen(
        [sys.executable, "-m", "cds_service", "report", "--format", "html"],
        env={**os.environ, "CDS_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert writing.stdout is not None
    assert writing.stderr is not None
    with writing:
        assert writing.stdout.read(15) == b"<!doctype html>"
        writing.stdout.close()
        assert writing.stderr.read() == b""
        assert writing.wait(30) == 1
