"""Writes the bundled patients and their hook requests: `python -m tests.make_fixtures`."""

import json
from pathlib import Path
from typing import Any

import click

from cds_service import rulebook
from cds_service.ehr import hook_requests
from cds_service.hooks.request import PATIENT_VIEW
from tests.fixture_patients import FIXTURES, Fixture, patient_bundle

FOLDER = Path(__file__).resolve().parent.parent / "fhir_fixtures"
CANONICAL = "https://low-alp-cds.example"


def files() -> dict[str, str]:
    """What every file is to hold, by its path within fhir_fixtures."""
    terminology = rulebook.load(CANONICAL).terminology
    found = {"index.json": _text([_entry(f) for f in FIXTURES])}
    for fixture in FIXTURES:
        chart = patient_bundle(fixture)
        (request,) = hook_requests(chart, PATIENT_VIEW, terminology)
        found[f"patients/{fixture.name}.json"] = _text(chart)
        found[f"requests/{fixture.name}.json"] = _text(request)
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
