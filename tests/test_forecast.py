"""`report --compare`: what screening forecast, beside the cards that went out."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from tests.charts import Json, alp, draft, patient, prescribed
from tests.remembering import Memory, remembering
from tests.test_report import run
from tests.test_screen_command import ndjson

LOW = (patient(), alp(29, -300, 35), alp(27, -45, 35))
SLUG, TITLE = "persistent-low-alp", "Persistently low ALP without an explanation"


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two low results and an order in the two years up to 1 November 2026 (731 days)."""
    folder = tmp_path_factory.mktemp("forecast")
    source = ndjson(folder / "all.ndjson", *LOW, prescribed("alendronate", -20))
    replay = ("--replay", "2024-11-01..2026-11-01", "--at", "alp")
    made = CliRunner().invoke(
        main, ["screen", str(source), *replay, "--output", str(folder / "run")]
    )
    assert made.exit_code == 0, made.output
    return folder / "run"


def compared(url: str, folder: Path, *more: str) -> Result:
    """The report on the seven days up to today."""
    today = datetime.now(UTC).date()
    days = ("--since", str(today - timedelta(days=6)), "--until", str(today))
    return run(url, "--compare", str(folder), *days, *more)


def changed(folder: Path, into: Path, change: Callable[[Json], object]) -> Path:
    record = json.loads((folder / "run.json").read_text())
    change(record)
    into.write_text(json.dumps(record))
    return into


def used(memory: Memory) -> None:
    """Three cards at patient-view for two patients, and one at an order."""
    other = [{**r, "id": f"other-{n}"} for n, r in enumerate(LOW)]
    for resource in other[1:]:
        resource["subject"] = {"reference": "Patient/other-0"}
    for chart in (LOW, LOW, other):
        assert memory.fire(*chart)
    assert memory.fire(*LOW, hook="order-select", drafts=[draft("alendronate")])


def test_cards_a_week_stand_beside_each_other(database_url: str, forecast: Path) -> None:
    with remembering(database_url) as memory:
        used(memory)
        result = compared(database_url, forecast, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    record = json.loads((forecast / "run.json").read_text())
    (policy,) = record["policies"]
    seen = {(c["situation"], c["hook"]): c["cards"] for c in policy["cards"]}
    total = sum(seen.values())
    assert found["summary"] == (
        "4 cards went out, 3 of them at moments that a forecast asks about, 3.0 a week;"
        f" {round(total * 7 / 731, 2)} a week were forecast."
    )
    rows = {(r["situation"], r["hook"]): r for r in found["cardsPerWeek"]}
    assert rows[SLUG, "patient-view"] == {
        "situation": SLUG,
        "hook": "patient-view",
        "forecastCards": 1,
        "measuredCards": 3,
        "forecastPerWeek": 0.01,
        "measuredPerWeek": 3.0,
        "measuredIn": "live",
    }
    ordered = [r for (_, hook), r in rows.items() if hook == "order-sign"]
    assert [(r["forecastCards"], r["measuredCards"]) for r in ordered] == [(1, 0)]
    assert {r["forecastCards"] for r in rows.values() if r["hook"] == "patient-view"} <= {0, 1}
    (selected,) = (r for (_, hook), r in rows.items() if hook == "order-select")
    assert (selected["forecastCards"], selected["measuredCards"]) == (None, 1)
    assert {r["id"]: (r["forecast"], r["measured"]) for r in found["countedIn"]} == {
        "days": (731, 7),
        "cards": (total, 3),
        "cardsInShadow": (0, 0),
        "cardsElsewhere": (None, 1),
        "patientsWithCard": (1, 2),
        "cardsPerPatientWithCard": (float(total), 1.5),
        "patients": (1, None),
        "encounters": (None, None),
        "orders": (1, None),
    }
    shares = {r["hook"]: r["measuredPercent"] for r in found["shares"] if r["measuredPercent"] != 0}
    assert shares == {"patient-view": 100.0, "order-select": None}, "of what a forecast asks about"
    rate = next(r for r in found["per1000"] if r["hook"] == "patient-view")
    assert rate["forecastPer1000PatientYears"] == round(1000 * 365.25 / 731, 2)
    assert rate["measuredPer1000PatientYears"] is None


def test_rates_per_thousand_need_what_only_the_site_knows(
    database_url: str, forecast: Path, tmp_path: Path
) -> None:
    at_encounters = changed(
        forecast,
        tmp_path / "run.json",
        lambda r: r["question"].update(at="encounter") or r["counts"].update(viewMoments=50),
    )
    with remembering(database_url) as memory:
        used(memory)
        site = ("--patients", "2000", "--encounters", "600")
        result = compared(database_url, at_encounters, *site, "--format", "json")
    found = json.loads(result.output)
    row = next(r for r in found["per1000"] if r["hook"] == "patient-view")
    assert row["measuredPer1000PatientYears"] == round(1000 * (3 * 365.25 / 7) / 2000, 2)
    assert row["forecastPer1000Encounters"] == 20.0
    assert row["measuredPer1000Encounters"] == 5.0
    for other in found["per1000"]:
        if other["hook"] != "patient-view":
            assert other["measuredPer1000Encounters"] is None


def test_hidden_count_is_not_taken_for_zero(
    database_url: str, forecast: Path, tmp_path: Path
) -> None:
    def hide(record: Json) -> None:
        record["question"]["suppressBelow"] = 5
        for row in record["policies"][0]["cards"]:
            row.update(cards=None, patients=None, per1000Patients=None)
        record["policies"][0]["patientsWithCard"] = None

    hidden = changed(forecast, tmp_path / "hidden.json", hide)
    found = json.loads(compared(database_url, hidden, "--format", "json").output)
    assert found["summary"] == ("0 cards went out, 0.0 a week. The forecast hides counts below 5.")
    assert {r["forecastPerWeek"] for r in found["cardsPerWeek"]} == {None}
    assert {r["forecastPercent"] for r in found["shares"]} == {None}


def test_text_and_page_say_the_same(database_url: str, forecast: Path) -> None:
    with remembering(database_url) as memory:
        used(memory)
        text = compared(database_url, forecast).output
        page = compared(database_url, forecast, "--format", "html").output
    line = next(x for x in text.splitlines() if "patient-view" in x)
    assert line.split()[-5:] == ["1", "3", "0.01", "3.0", "live"]
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert f'<th scope="row">{TITLE}</th><td>patient-view</td><td class="n">1</td>' in ours
    assert "In shadow nothing is set aside" in ours
    (figures,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page)
    (figure,) = json.loads(figures).values()
    assert figure["layout"]["barmode"] == "group"
    assert [t["name"] for t in figure["data"]] == ["Forecast", "Measured"]


def test_of_two_policies_the_one_in_force_is_compared(
    database_url: str, forecast: Path, tmp_path: Path
) -> None:
    def second(record: Json) -> None:
        (policy,) = record["policies"]
        record["policies"] = [{**policy, "version": "0.0.1-other", "cards": []}, policy]

    two = changed(forecast, tmp_path / "two.json", second)
    found = json.loads(compared(database_url, two, "--format", "json").output)
    assert sum(r["forecastCards"] for r in found["cardsPerWeek"]) > 0


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda r: r.update(format=1), "has format 1, and this version reads 2: screen again"),
        (lambda r: r["question"].update(kind="as-of"), "screen with --replay FROM..TO"),
        (lambda r: r.pop("counts"), "is not a run record of cds-service screen"),
        (
            lambda r: r.update(policies=[{**r["policies"][0], "version": "x"}] * 2),
            "compares policies x and x, and which of them is in force",
        ),
    ],
)
def test_a_run_that_cannot_be_compared_is_one_clear_line(
    database_url: str,
    forecast: Path,
    tmp_path: Path,
    change: Callable[[Json], object],
    said: str,
) -> None:
    result = compared(database_url, changed(forecast, tmp_path / "run.json", change))
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


def test_what_does_not_go_together_is_refused(database_url: str, forecast: Path) -> None:
    given = ("--compare", str(forecast))
    assert "--compare needs --since" in run(database_url, *given).output
    assert "two reports" in run(database_url, *given, "--since", "2026-01-01", "--comments").output
    assert "go with --compare RUN" in run(database_url, "--patients", "5").output
    nowhere = run(database_url, "--compare", str(forecast / "none"), "--since", "2026-01-01")
    assert nowhere.exit_code == 2
