"""`report --compare` for situations in shadow: a replay says what the same calls, fired, leave on record."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cds_service.cli import main
from tests.charts import PATIENT, Json, alp, condition, dose, draft, patient, prescribed
from tests.remembering import KEY, Memory, remembering
from tests.test_screen_command import ndjson

LOWS = (-300, -45)
ORDERED = -20


def policy_file(folder: Path, switches: str) -> Path:
    path = folder / "site.toml"
    path.write_text(f'version = "site-1"\n[situations]\n{switches}\n')
    return path


def charts() -> dict[str, tuple[Json, ...]]:
    """Patients with two low results: one with a fracture, one on denosumab, one with neither."""
    lows = (alp(29, LOWS[0], 35), alp(27, LOWS[1], 35))
    return {
        "plain": (patient(), *lows),
        "fractured": (patient(), condition("atypical femoral fracture"), *lows),
        "treated": (patient(), dose("denosumab", -400), *lows),
    }


def of(patient_id: str, resources: Sequence[Json]) -> list[Json]:
    """The same resources, of that patient and under ids of their own."""
    first, *others = json.loads(json.dumps(resources).replace(PATIENT, patient_id))
    return [first, *({**other, "id": f"{patient_id}-{n}"} for n, other in enumerate(others))]


def forecast(folder: Path, policy: Path | None, *more: str) -> Path:
    """A replay of a year and a half, opened at each result; everybody's alendronate is signed."""
    rows: list[Json] = []
    for name, chart in charts().items():
        rows += of(name, [*chart, prescribed("alendronate", ORDERED)])
    command = ["screen", str(ndjson(folder / "all.ndjson", *rows)), "--output", str(folder / "run")]
    command += ["--replay", "2025-05-01..2026-11-01", "--at", "alp"]
    command += [*more, *(["--policy", str(policy)] if policy else [])]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return folder / "run"


def fire(memory: Memory) -> None:
    """The calls that the replay asks about, each with what was known then."""
    for name, chart in charts().items():
        for day in LOWS:
            memory.day = day
            memory.fire(*(chart[:-1] if day == LOWS[0] else chart), patient_id=name)
        memory.day = ORDERED
        drafts = [draft("alendronate")]
        memory.fire(*chart, hook="order-sign", drafts=drafts, patient_id=name)


def compared(url: str, folder: Path, policy: Path | None, form: str = "json") -> str:
    since = str(datetime.now(UTC).date() - timedelta(days=6))
    environment = {"CDS_DATABASE_URL": url, "CDS_HASH_KEY": KEY.decode()}
    result = CliRunner().invoke(
        main,
        ["report", "--compare", str(folder), "--since", since, "--format", form],
        env=environment | ({"CDS_POLICY": str(policy)} if policy else {}),
    )
    assert result.exit_code == 0, result.output
    return result.output


def numbers(told: Json) -> dict[tuple[str, str], tuple[int | None, int | None, str | None]]:
    return {
        (r["situation"], r["hook"]): (r["forecastCards"], r["measuredCards"], r["measuredIn"])
        for r in told["cardsPerWeek"]
    }


def counted(told: Json) -> dict[str, tuple[int | None, int | None]]:
    return {r["id"]: (r["forecast"], r["measured"]) for r in told["countedIn"]}


@pytest.mark.parametrize(
    "switches, in_shadow",
    [
        ('every = "shadow"', 10),
        ('every = "shadow"\nsingle-low-alp = "on"', 9),
        ('fracture-low-alp = "shadow"', 2),
        ('denosumab-gap = "shadow"', 1),
        ('persistent-low-alp = "shadow"\nfracture-low-alp = "shadow"', 4),
        ('every = "shadow"\nfracture-low-alp = "off"', 10),
        ('single-low-alp = "on"', 0),
    ],
)
def test_what_is_forecast_is_measured(
    database_url: str, tmp_path: Path, switches: str, in_shadow: int
) -> None:
    policy = policy_file(tmp_path, switches)
    run = forecast(tmp_path, policy)
    with remembering(database_url, policy) as memory:
        fire(memory)
        told = json.loads(compared(database_url, run, policy))
    assert [(k, f, m) for k, (f, m, _) in numbers(told).items() if f != m] == []
    totals = counted(told)
    assert totals["cardsInShadow"] == (in_shadow, in_shadow)
    assert (
        totals["cards"][0] == totals["cards"][1] == sum(f or 0 for f, *_ in numbers(told).values())
    )
    assert totals["patientsWithCard"] == (3, 3)


def test_a_forecast_of_cards_is_measured_in_shadow(database_url: str, tmp_path: Path) -> None:
    """Forecast with all on, measured with all in shadow: as a site begins."""
    policy = policy_file(tmp_path, 'every = "shadow"')
    run = forecast(tmp_path, None)
    with remembering(database_url, policy) as memory:
        fire(memory)
        told = json.loads(compared(database_url, run, policy))
        text = compared(database_url, run, policy, "text")
        page = compared(database_url, run, policy, "html")
    assert numbers(told) == {
        ("fracture-low-alp", "patient-view"): (2, 2, "shadow"),
        ("persistent-low-alp", "patient-view"): (2, 2, "shadow"),
        ("persistent-low-alp-antiresorptive-order", "order-sign"): (2, 2, "shadow"),
        ("fracture-low-alp-antiresorptive-order", "order-sign"): (1, 1, "shadow"),
        ("low-on-antiresorptive-no-baseline", "patient-view"): (1, 1, "shadow"),
        ("single-low-alp", "patient-view"): (1, 1, "shadow"),
        ("denosumab-gap", "patient-view"): (1, 1, "shadow"),
    }
    assert {r["forecastPercent"] == r["measuredPercent"] for r in told["shares"]} == {True}
    assert counted(told)["cardsInShadow"] == (0, 10)
    assert told["summary"] == (
        "0 cards went out, and 10 would have in shadow, 10.0 a week; 0.13 a week were forecast."
    )
    line = next(x for x in text.splitlines() if "Denosumab" in x)
    assert line.split()[-6:] == ["patient-view", "1", "1", "0.01", "1.0", "shadow"]
    assert '<td class="n">2.00</td><td>shadow</td>' in page


def test_a_situation_switched_on_within_the_period_is_measured_in_both(
    database_url: str, tmp_path: Path
) -> None:
    run = forecast(tmp_path, None)
    for switches in ('every = "shadow"', 'every = "shadow"\nfracture-low-alp = "on"'):
        policy = policy_file(tmp_path, switches)
        with remembering(database_url, policy) as memory:
            fire(memory)
    found = numbers(json.loads(compared(database_url, run, policy)))
    assert found["fracture-low-alp", "patient-view"] == (2, 4, "both")
    assert found["persistent-low-alp", "patient-view"] == (2, 4, "shadow")


def test_what_was_measured_stands_though_it_is_off_now(database_url: str, tmp_path: Path) -> None:
    run = forecast(tmp_path, None)
    with remembering(database_url, policy_file(tmp_path, 'every = "shadow"')) as memory:
        fire(memory)
    off = policy_file(tmp_path, 'every = "off"')
    found = numbers(json.loads(compared(database_url, run, off)))
    assert found["fracture-low-alp", "patient-view"] == (2, 2, "shadow")


def test_situation_neither_on_nor_in_shadow_stays_open(database_url: str, tmp_path: Path) -> None:
    run = forecast(tmp_path, None)
    policy = policy_file(tmp_path, 'every = "off"\nsingle-low-alp = "shadow"')
    told = json.loads(compared(database_url, run, policy))
    found = numbers(told)
    assert found.pop(("single-low-alp", "patient-view")) == (1, 0, "shadow")
    assert {(measured, where) for _, measured, where in found.values()} == {(None, None)}
    open_rates = {r["measuredPerWeek"] for r in told["cardsPerWeek"]}
    assert open_rates == {None, 0.0}


def test_situation_that_was_off_in_the_forecast_stays_open(
    database_url: str, tmp_path: Path
) -> None:
    run = forecast(tmp_path, policy_file(tmp_path, 'fracture-low-alp = "off"'))
    with remembering(database_url) as memory:
        fire(memory)
    found = numbers(json.loads(compared(database_url, run, None)))
    assert found["fracture-low-alp", "patient-view"] == (None, 2, "live")


def test_small_count_in_shadow_is_hidden_from_the_comparison(
    database_url: str, tmp_path: Path
) -> None:
    policy = policy_file(tmp_path, 'every = "shadow"')
    run = forecast(tmp_path, policy, "--suppress-below", "5")
    told = json.loads(compared(database_url, run, policy))
    assert {forecast for forecast, *_ in numbers(told).values()} == {None}
    assert counted(told)["patientsWithCard"] == (None, 0)
    assert told["summary"] == "0 cards went out, 0.0 a week. The forecast hides counts below 5."
