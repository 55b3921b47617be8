"""The result as FHIR R4, yet to be validated: a MeasureReport of the counts and a List of the patients."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from cds_service.rulebook import Rulebook
from cds_service.screen.plan import Plan
from cds_service.screen.run_record import card_rows
from cds_service.screen.suppression import alone
from cds_service.screen.tally import PolicyTally, Tally

_POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
LONGEST_LIST = 10_000

Json = dict[str, Any]


def measure_report(plan: Plan, books: Sequence[Rulebook], counts: Tally) -> Json:
    """How many patients had a card, by policy, hook, situation and indicator."""
    first, last = plan.period
    return {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": f"{books[0].canonical}/fhir/Measure/patients-with-card",
        "period": {"start": first.isoformat(), "end": last.isoformat()},
        "group": [
            _group(plan, book, policy, counts)
            for book, policy in zip(books, counts.policies, strict=True)
        ],
    }


def patient_list(plan: Plan, book: Rulebook, worklist: Path) -> Json:
    """The worklist of the first policy as a List, the most urgent first."""
    with duckdb.connect(config={"threads": 1}) as connection:
        found = connection.execute(
            "SELECT patient, situation, indicator FROM read_parquet($1)"
            " WHERE indicator IS NOT NULL ORDER BY rank LIMIT $2",
            [str(worklist), LONGEST_LIST],
        ).fetchall()
    resource: Json = {
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "title": f"Patients with a low ALP card, {_when(plan)}",
        "code": {"text": "Low ALP worklist"},
        "date": plan.last_day.isoformat(),
        "orderedBy": {"text": "urgency, then priority of the situation, then ALP"},
        "note": [
            {
                "text": f"Policy {book.policy.version}. At most {LONGEST_LIST} entries;"
                " the worklist files hold everyone. Advisory; no clinician has signed the model off."
            }
        ],
    }
    entries = list(_entries(found, book))
    resource |= {"entry": entries} if entries else {"emptyReason": {"text": "nobody has a card"}}
    return resource


def _entries(found: Iterable[tuple[str, str, str]], book: Rulebook) -> Iterable[Json]:
    for patient, situation, indicator in found:
        coding = {"system": book.situation_system, "code": situation}
        yield {
            "flag": {"coding": [coding], "text": f"{situation} ({indicator})"},
            "item": {"reference": f"Patient/{patient}"},
        }


def _group(plan: Plan, book: Rulebook, policy: PolicyTally, counts: Tally) -> Json:
    with_card = alone(policy.patients_with_card, plan.suppress_below)
    populations = [
        _population("initial-population", counts.patients),
        _population("denominator", counts.patients),
        _population("numerator", with_card),
    ]
    group: Json = {"code": {"text": f"policy {book.policy.version}"}, "population": populations}
    strata = [
        {
            "component": [
                {"code": {"text": name}, "value": {"text": row[name]}}
                for name in ("hook", "situation", "indicator")
            ],
            "population": [_population("numerator", row["patients"])],
        }
        for row in card_rows(policy, counts, plan)
    ]
    if strata:
        code = {"text": "hook, situation and indicator of the card"}
        group["stratifier"] = [{"code": [code], "stratum": strata}]
    return group


def _population(code: str, count: int | None) -> Json:
    population: Json = {"code": {"coding": [{"system": _POPULATION, "code": code}]}}
    if count is None:
        masked = {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
        return population | {"_count": masked}
    return population | {"count": count}


def _when(plan: Plan) -> str:
    first, last = plan.period
    return f"{first} to {last}" if plan.replay else f"{last}"
