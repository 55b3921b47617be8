"""What situations in shadow would have shown is kept, and changes nothing that anybody is shown."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from alembic import command
from click.testing import CliRunner, Result
from sqlalchemy import func, insert, select, text, update

from cds_service import rulebook
from cds_service.cli import main
from cds_service.database import open_database
from cds_service.database.cards import issued_cards
from cds_service.database.schema import found
from cds_service.database.shadow_findings import shadow_findings
from cds_service.database.upgrading import migrations
from cds_service.decision import Finding
from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor
from cds_service.hooks.request import decode
from cds_service.pseudonym import pseudonym
from tests.charts import CANONICAL, REFERENCE, Json, alp, bundle, condition, dose, draft, patient
from tests.conftest import slug
from tests.databases import PostgreSQL
from tests.remembering import KEY, Memory, opened, remembering
from tests.snooze_vignettes import LOW
from tests.test_memory_failures import failures, locked

EVERY = 'every = "shadow"'
FRACTURE = 'fracture-low-alp = "shadow"'
FRACTURED = (*LOW, condition("atypical femoral fracture"))
"""Would have the card on fractures, and without that the one on persistently low ALP."""
QUIET = (patient(58, "female"), alp(60, -20, 35))


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Path]:
    """A site's policy with these switches."""

    def written(switches: str, more: str = "") -> Path:
        path = tmp_path / "site.toml"
        path.write_text(f'version = "site-1"\n{more}\n[situations]\n{switches}\n')
        return path

    return written


Site = Callable[..., Path]


def kept(memory: Memory) -> list[Json]:
    """The findings on record, the earliest first."""
    with opened(memory) as connection:
        rows = connection.execute(select(shadow_findings).order_by(shadow_findings.c.found_at))
        return [dict(row) for row in rows.mappings()]


def cards_kept(memory: Memory) -> list[str]:
    with opened(memory) as connection:
        return list(connection.scalars(select(issued_cards.c.situation)))


def run(url: str, *arguments: str, policy: Path | None = None) -> Result:
    environment = {"CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode()}
    return CliRunner().invoke(
        main, list(arguments), env=environment | ({"CDS_POLICY": str(policy)} if policy else {})
    )


def ask(switches: str, site: Site, *chart: Json) -> Sequence[Finding]:
    """The findings in shadow of the pure decision, explained: telling why changes nothing."""
    advisor = Advisor(rulebook.load(CANONICAL, site(switches)))
    (body,) = hook_requests(bundle(*chart), "patient-view", advisor.rulebook.terminology, ())
    call = decode(json.dumps(body).encode(), ("patient-view",))
    plain, explained = (advisor.answer(call, REFERENCE, explain=e).decision for e in (False, True))
    assert (plain.shadow, plain.withheld) == (explained.shadow, explained.withheld)
    return plain.shadow


# kept


def test_a_call_without_a_card_is_kept_whole(database_url: str, site: Site) -> None:
    before = datetime.now(UTC)
    with remembering(database_url, site(EVERY)) as memory:
        memory.day = 3
        assert memory.fire(*LOW, user="Practitioner/jane") == []
        (row,) = kept(memory)
    assert len(row.pop("finding")) == 36
    assert before <= row.pop("found_at") <= datetime.now(UTC)
    assert row.pop("knowledge_version")
    assert row.pop("program_version")
    assert row == {
        "situation": "persistent-low-alp",
        "hook": "patient-view",
        "client": "open",
        "patient": pseudonym(KEY, "open", "pat-1"),
        "as_of": REFERENCE + timedelta(days=3),
        "policy_version": "site-1",
    }, "no value, no user"


def test_of_several_findings_the_first_is_kept(database_url: str, site: Site) -> None:
    with remembering(database_url, site(EVERY)) as memory:
        assert memory.fire(*FRACTURED) == []
        assert memory.fire(*LOW, hook="order-select", drafts=[draft("alendronate")]) == []
        assert [(f["situation"], f["hook"]) for f in kept(memory)] == [
            ("fracture-low-alp", "patient-view"),
            ("persistent-low-alp-antiresorptive-order", "order-select"),
        ]
        assert cards_kept(memory) == []


def test_a_finding_is_kept_beside_the_card_that_went_out(database_url: str, site: Site) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        (card,) = memory.fire(*FRACTURED)
        assert cards_kept(memory) == [slug(card)]
        assert [f["situation"] for f in kept(memory)] == ["fracture-low-alp"]


@pytest.mark.parametrize(
    "switches, noted, expected",
    [
        (EVERY, ["single-low-alp", "denosumab-gap"], ["single-low-alp", "denosumab-gap"]),
        ('denosumab-gap = "shadow"', ["denosumab-gap"], ["denosumab-gap"]),
        (f'{EVERY}\ndenosumab-gap = "on"', ["single-low-alp"], ["single-low-alp"]),
        (f'{EVERY}\nsingle-low-alp = "off"', [], []),
    ],
)
def test_what_would_have_stood_beside_a_card_is_kept(
    database_url: str, site: Site, switches: str, noted: list[str], expected: list[str]
) -> None:
    with remembering(database_url, site(switches)) as memory:
        once = (patient(58, "female"), alp(31, -20, 35), dose("denosumab", -300))
        assert bool(memory.fire(*once)) is ("every" not in switches)
        assert sorted(f["situation"] for f in kept(memory)) == sorted(expected)
    shadow = ask(switches, site, *once)
    assert [f.slug for f in shadow] == noted


def test_without_card_and_finding_memory_is_not_asked(database_url: str, site: Site) -> None:
    with remembering(database_url, site(EVERY)) as memory, locked(database_url):
        assert memory.fire(*QUIET) == []
        assert memory.store.counts.snapshot() == {}


def test_findings_keep_no_card_quiet(database_url: str, site: Site) -> None:
    seen = "[snooze]\nalready_seen_days = 30\nalready_seen_after_minutes = 0"
    with remembering(database_url, site(EVERY, seen)) as memory:
        assert memory.fire(*LOW) == []
        (finding,) = kept(memory)
        entry = {"card": finding["finding"], "outcome": "accepted"}
        entry["outcomeTimestamp"] = "2026-11-01T12:00:00Z"
        entry["acceptedSuggestions"] = [{"id": "x"}]
        assert memory.feedback(entry).get_json() == {"received": 1, "unknownCards": 1}
    with remembering(database_url, site('single-low-alp = "shadow"', seen)) as memory:
        assert len(memory.fire(*LOW)) == 1, "the user has seen nothing yet"
        assert memory.fire(*LOW) == [], "now it is seen"


def test_a_card_set_aside_leaves_the_shadow_as_it_is(database_url: str, site: Site) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        memory.set_aside(memory.fire(*FRACTURED)[0], "already-evaluated")
        assert memory.fire(*FRACTURED) == []
        assert len(kept(memory)) == 2


def test_asking_by_hand_adds_nothing(database_url: str, site: Site, tmp_path: Path) -> None:
    chart = tmp_path / "chart.json"
    chart.write_bytes(msgspec.json.encode(bundle(*LOW)))
    policy = site(EVERY)
    asked = ("evaluate", str(chart), "--as-of", "2026-11-02", "--client", "open")
    with remembering(database_url, policy) as memory:
        result = run(database_url, *asked, policy=policy)
        assert "In shadow: persistent-low-alp" in result.output
        assert memory.http.get("/health/ready").status_code == 200, "the canary has run"
        assert kept(memory) == []


# what goes wrong


def test_a_locked_database_costs_no_answer(
    database_url: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with remembering(database_url, site(EVERY)) as memory:
        memory.fire(*LOW)
        with locked(database_url, "shadow_findings"):
            memory.store.answer_seconds = 0.25
            assert memory.fire(*LOW) == []
        assert failures(memory, "remember") == 1
        assert "memory failed operation=remember cause=TimeoutError" in caplog.text
        memory.store.answer_seconds = 60
        memory.fire(*LOW)
        memory.store.close()
        assert len(kept(memory)) == 3, "what was given up by its call was written all the same"


def test_cards_and_finding_of_a_call_are_kept_together_or_not_at_all(
    database_url: str, site: Site
) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        with opened(memory) as connection:
            connection.execute(text("DROP TABLE shadow_findings"))
        assert len(memory.fire(*FRACTURED)) == 1
        assert failures(memory, "remember") == 1
        assert cards_kept(memory) == []


# forgotten


def test_old_findings_are_forgotten(database_url: str, site: Site) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        memory.fire(*FRACTURED)
        for days in (399, 401):
            memory.fire(*FRACTURED)
            with opened(memory) as connection:
                newest = select(func.max(shadow_findings.c.found_at)).scalar_subquery()
                earlier = datetime.now(UTC) - timedelta(days=days)
                connection.execute(
                    update(shadow_findings)
                    .where(shadow_findings.c.found_at == newest)
                    .values(found_at=earlier)
                )
        told = "cards, feedback entries and findings in shadow older than"
        assert run(database_url, "db", "purge").output == f"Forgotten: 1 {told} 400 days.\n"
        assert len(kept(memory)) == 2
        result = run(database_url, "db", "purge", "--older-than", "30")
        assert result.output == f"Forgotten: 1 {told} 30 days.\n"
        assert len(kept(memory)) == 1


def test_findings_of_one_patient_are_forgotten(database_url: str, site: Site) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        for patient_id in ("pat-1", "pat-1", "pat-2"):
            memory.fire(*FRACTURED, patient_id=patient_id)
        told = "cards, feedback entries and findings in shadow.\n"
        erase = ("db", "erase", "--patient", "pat-1", "--client")
        assert "Forgotten: 0; nothing is on record" in run(database_url, *erase, "other").output
        assert run(database_url, *erase, "open").output == f"Forgotten: 4 {told}"
        assert run(database_url, *erase, "open").output == f"Forgotten: 0 {told}"
        assert [f["patient"] for f in kept(memory)] == [pseudonym(KEY, "open", "pat-2")]


# schema


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])
def test_what_an_earlier_schema_holds_is_there_after_the_upgrade(
    scheme: str, tmp_path: Path, postgresql: PostgreSQL, site: Site
) -> None:
    url = f"sqlite:///{tmp_path}/memory.sqlite3" if scheme == "sqlite" else postgresql.empty()
    engine = open_database(url)
    config = migrations()
    config.attributes["engine"] = engine
    command.upgrade(config, "0004")
    row: Json = {c.name: "x" for c in issued_cards.c if c.name != "user"}
    row |= {"issued_at": datetime.now(UTC), "as_of": date(2026, 11, 1)}
    with engine.begin() as connection:
        connection.execute(insert(issued_cards), [row])
    assert run(url, "db", "upgrade").exit_code == 0
    assert found(engine) == {"0005"}
    with remembering(url, site(EVERY)) as memory:
        memory.fire(*LOW)
        assert (cards_kept(memory), len(kept(memory))) == (["x"], 1)
    command.downgrade(config, "0004")
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(issued_cards)) == 1
    engine.dispose()


# report


def visited(memory: Memory) -> None:
    """Two patients seen three times, and an order."""
    for patient_id in ("pat-1", "pat-1", "pat-2"):
        memory.fire(*LOW, patient_id=patient_id)
    memory.fire(*LOW, hook="order-sign", drafts=[draft("alendronate")], patient_id="pat-2")


def test_the_report_tells_what_would_have_gone_out(database_url: str, site: Site) -> None:
    policy = site(EVERY)
    with remembering(database_url, policy) as memory:
        visited(memory)
        since = str(datetime.now(UTC).date() - timedelta(days=13))
        told = json.loads(run(database_url, "report", "--since", since, "--format", "json").output)
        text = run(database_url, "report").output
        page = run(database_url, "report", "--format", "html").output
    assert told["summary"] == "No card went out. In shadow 4 cards would have gone out."
    assert told["shadow"] == [
        {
            "situation": "persistent-low-alp",
            "hook": "patient-view",
            "findings": 3,
            "patients": 2,
            "findingsPerWeek": 1.5,
        },
        {
            "situation": "persistent-low-alp-antiresorptive-order",
            "hook": "order-sign",
            "findings": 1,
            "patients": 1,
            "findingsPerWeek": 0.5,
        },
    ]
    assert text.splitlines()[3:5] == [told["summary"], ""]
    assert "Nothing to count" not in text, "all but one section would be empty"
    line = next(x for x in text.splitlines() if "patient-view" in x)
    assert line.split()[-4:] == ["patient-view", "3", "2", "21.0"]
    assert '<td>patient-view</td><td class="n">3</td><td class="n">2</td>' in page
    assert 'id="shadow" role="img"' in page


def test_without_findings_nothing_is_said_of_shadow(database_url: str) -> None:
    with remembering(database_url) as memory:
        memory.fire(*LOW)
        for form in ("text", "json"):
            assert "shadow" not in run(database_url, "report", "--format", form).output.lower()


def test_findings_stand_beside_cards(database_url: str, site: Site) -> None:
    with remembering(database_url, site(FRACTURE)) as memory:
        memory.fire(*FRACTURED)
        memory.fire(*LOW)
        told = json.loads(run(database_url, "report", "--format", "json").output)
    assert told["summary"] == (
        "2 cards went out: 0 (0 %) were taken, 0 (0 %) were set aside, 2 (100 %) had no answer."
        " In shadow 1 card would have gone out."
    )
    assert [r["cards"] for r in told["situations"]] == [2]
    assert [(r["situation"], r["findings"]) for r in told["shadow"]] == [("fracture-low-alp", 1)]
