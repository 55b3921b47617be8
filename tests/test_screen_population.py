"""On a synthetic population every planted patient is found, and clinicians are left in peace."""

import csv
import json
from datetime import date
from pathlib import Path

import pytest

from cds_service.screen.plan import Plan
from cds_service.screen.run import screen
from cds_service.screen.tally import Tally
from tests.charts import REFERENCE, Json
from tests.conftest import CANONICAL
from tests.populations import planted, write_population

PATIENTS = 1500
VIEWED = [p for p in planted() if p.hook == "patient-view"]
SIGNED = [p for p in planted() if p.hook != "patient-view"]


class Ran:
    """A finished run."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.folder = folder
        self.tally = tally
        self.record: Json = json.loads((folder / "run.json").read_text())
        with (folder / "worklist.csv").open(newline="") as rows:
            self.worklist = {row["patient"]: row for row in csv.DictReader(rows)}
        with (folder / "explanations.ndjson").open() as lines:
            self.explained = {row["patient"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_population(folder, patients=PATIENTS)
    return folder


@pytest.fixture(scope="module")
def snapshot(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("runs") / "as-of"
    plan = Plan(as_of=REFERENCE, canonical=CANONICAL)
    return Ran(folder, screen([str(export)], plan, folder))


@pytest.fixture(scope="module")
def replay(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("runs") / "replay"
    plan = Plan(replay=(date(2025, 11, 1), REFERENCE), snooze_days=365, canonical=CANONICAL)
    return Ran(folder, screen([str(export)], plan, folder))


@pytest.mark.parametrize("case", VIEWED, ids=lambda p: p.patient)
def test_planted_patient_has_the_planted_card(snapshot: Ran, case) -> None:
    row = snapshot.worklist.get(case.patient)
    if case.indicator is None:
        assert row is None
        return
    assert row is not None
    assert (row["situation"], row["indicator"]) == (case.situation, case.indicator)
    assert (row["second_card"] or None) == case.beside
    assert snapshot.explained[case.patient]["situation"] == case.situation


@pytest.mark.parametrize("case", SIGNED, ids=lambda p: p.patient)
def test_planted_order_has_the_planted_card(replay: Ran, case) -> None:
    row = replay.explained.get(case.patient)
    at_order = [a for a in (row or {"answers": []})["answers"] if a["hook"] == "order-sign"]
    if case.indicator is None:
        assert at_order == []
        return
    assert [(a["situation"], a["indicator"]) for a in at_order] == [
        (case.situation, case.indicator)
    ]


def test_cards_are_at_most_a_tenth_of_the_naive_rules(snapshot: Ran, replay: Ran) -> None:
    for ran in (snapshot, replay):
        cards = ran.tally.policies[0].all_cards
        assert 0 < 10 * cards <= ran.tally.naive_alerts


def test_single_lows_are_as_frequent_as_in_general_practice(export: Path) -> None:
    """North Denmark: 0.7 to 1.7 % of the samples of general practice lie below 40 U/L."""
    stays = {
        (e["subject"]["reference"], e["period"]["start"][:10], e["period"]["end"][:10])
        for e in _lines(export / "Encounter.ndjson", '"IMP"')
    }
    admitted = {patient: (start, end) for patient, start, end in stays}
    values = []
    for found in _lines(export / "Observation.ndjson", '"6768-6"'):
        patient, day = found["subject"]["reference"], found["effectiveDateTime"][:10]
        start, end = admitted.get(patient, ("9999", "9999"))
        if "planted" not in patient and not start <= day <= end:
            values.append(found["valueQuantity"]["value"])
    share = sum(v < 40 for v in values) / len(values)
    assert 0.007 <= share <= 0.017


def _lines(path: Path, holding: str) -> list[Json]:
    return [json.loads(x) for x in path.read_text().splitlines() if holding in x]
