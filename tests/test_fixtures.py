"""The bundled patients: as the table says, FHIR R4, nobody real, and answered as expected."""

import gc
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class

from cds_service.guidance import Advisor
from cds_service.hooks.request import decode
from tests.charts import REFERENCE, fixture
from tests.conftest import Client, slug
from tests.fixture_patients import FIXTURES, SYNTHETIC, Fixture, own_id
from tests.make_fixtures import FOLDER, files

REMAKE = "not what tests/fixture_patients.py says: remake with `python -m tests.make_fixtures`"

each = pytest.mark.parametrize("row", FIXTURES, ids=lambda row: row.name)


def bundled_request(row: Fixture) -> dict[str, Any]:
    return json.loads((FOLDER / "requests" / f"{row.name}.json").read_text(encoding="utf-8"))


def resources(row: Fixture) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in fixture(row.name)["entry"]]


def test_files_are_what_the_table_makes() -> None:
    wanted = files()
    differing = [
        path
        for path, text in wanted.items()
        if not (FOLDER / path).is_file() or (FOLDER / path).read_bytes() != text.encode()
    ]
    assert not differing, REMAKE


def test_no_file_is_left_of_a_patient_who_is_gone() -> None:
    names = {f"{row.name}.json" for row in FIXTURES}
    assert {p.name for p in (FOLDER / "patients").iterdir()} == names, f"{REMAKE}, and delete"


def test_every_situation_has_its_patient(service: Client) -> None:
    answered = {row.situation for row in FIXTURES} | {row.beside for row in FIXTURES}
    at_patient_view = {
        row.slug for row in service.advisor.rulebook.rows if "patient-view" in row.hooks
    }
    assert at_patient_view <= answered


@each
def test_validates_as_r4_except_where_the_table_says_not(row: Fixture) -> None:
    rejected = set()
    for resource in resources(row):
        model = get_fhir_model_class(resource["resourceType"])
        try:
            model.model_validate(resource)
        except ValueError:
            rejected.add(resource["id"])
    assert rejected == {own_id(row, identity) for identity in row.invalid}
    shell = {key: value for key, value in fixture(row.name).items() if key != "entry"}
    get_fhir_model_class("Bundle").model_validate(shell)


@each
def test_ids_are_unique(row: Fixture) -> None:
    counted = Counter(f"{r['resourceType']}/{r['id']}" for r in resources(row))
    twice = {address for address, times in counted.items() if times > 1}
    expected = {"Observation/corrected-result.alp-21"} if row.name == "corrected-result" else set()
    assert twice == expected


@each
def test_request_gets_the_expected_cards(service: Client, row: Fixture) -> None:
    decision = service.advisor.answer(
        decode(msgspec.json.encode(bundled_request(row)), ("patient-view",)), REFERENCE
    ).decision
    finding = decision.primary or decision.silence
    assert finding is not None
    assert finding.slug == row.situation
    cards = service.send(bundled_request(row))
    if decision.silence is not None:
        assert cards == []
    else:
        assert [slug(c) for c in cards] == [s for s in (row.situation, row.beside) if s]


@each
def test_nobody_real(row: Fixture) -> None:
    people = [r for r in resources(row) if r["resourceType"] == "Patient"]
    assert [p["id"] for p in people] == [row.name]
    for person in (*people, bundled_request(row)["prefetch"]["patient"]):
        assert person["meta"]["tag"] == [SYNTHETIC]
        assert person["name"], "a page that lists patients has a name to show"


_OF_A_PATIENT = tuple(
    f"cds_service.{part}"
    for part in (
        "assessment",
        "card",
        "decision",
        "fhir.re",
        "fhir.observations",
        "hooks",
        "record",
    )
)


@each
def test_an_answer_leaves_nothing_for_the_garbage_collector(advisor: Advisor, row: Fixture) -> None:
    """What was read of a patient is gone with the answer, not when a collection happens to come."""
    body = msgspec.json.encode(bundled_request(row))

    def answer() -> None:
        advisor.answer(decode(body, ("patient-view",)), REFERENCE)

    answer()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        answer()
        gc.collect()
        # Other threads of the tests may leave something, too: of a patient nothing.
        left = {
            type(o).__name__ for o in gc.garbage if type(o).__module__.startswith(_OF_A_PATIENT)
        }
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()
