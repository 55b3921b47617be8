"""Writes the bundled patients and their hook requests: `python -m tests.make_fixtures`."""

import json
from pathlib import Path
from typing import Any

import click

from cds_service import rulebook
from cds_service.ehr import draft_order, hook_requests
from cds_service.hooks.request import ORDER_SELECT, ORDER_SIGN, PATIENT_VIEW
from tests.fixture_patients import FIXTURES, Fixture, patient_bundle

FOLDER = Path(__file__).resolve().parent.parent / "fhir_fixtures"
ORDERS = (
    ("persistent-low-alp", ORDER_SELECT, "alendronate"),
    ("persistent-low-alp", ORDER_SIGN, "alendronate"),
    ("specialist-managed", ORDER_SIGN, "denosumab"),
    ("normal-alp", ORDER_SIGN, "zoledronate"),
)
"""Patient, hook and drug of the bundled requests at an order."""
CANONICAL = "https://low-alp-cds.example"


def files() -> dict[str, str]:
    """What every file is to hold, by its path within fhir_fixtures."""
    book = rulebook.load(CANONICAL)
    terminology = book.terminology
    found = {"index.json": _text([_entry(f) for f in FIXTURES])}
    for fixture in FIXTURES:
        chart = patient_bundle(fixture)
        (request,) = hook_requests(chart, PATIENT_VIEW, terminology)
        found[f"patients/{fixture.name}.json"] = _text(chart)
        found[f"requests/{fixture.name}.json"] = _text(request)
    for name, hook, drug in ORDERS:
        chart = patient_bundle(next(f for f in FIXTURES if f.name == name))
        (request,) = hook_requests(chart, hook, terminology, [draft_order(drug, book.drug_list)])
        found[f"order_requests/{name}.{hook}.json"] = _text(request)
    return found


def main() -> None:
    """Write them all."""
    written = files()
    for path, text in written.items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8", newline="\n")
    click.echo(f"{len(FIXTURES)} patients, {len(written)} files in {FOLDER}")


def _entry(fixture: Fixture) -> dict[str, str]:
    entry = {"name": fixture.name, "story": fixture.story, "situation": fixture.situation}
    return entry | ({"beside": fixture.beside} if fixture.beside else {})


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
