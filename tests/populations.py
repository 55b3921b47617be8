"""A synthetic population as a Bulk Data export: seeded, with planted patients of every situation.

The background is what makes screening hard: set points near the limit, laboratory noise, acute
falls in hospital, spoilt specimens, drugs of no concern. About one outpatient ALP in a hundred lies
below 40 U/L, as in general practice (0.7 to 1.7 %); persistently low are a few in a thousand.
"""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec

from tests.charts import PATIENT, REFERENCE, TESTS, Json, patient
from tests.vignettes import ORDERS, PATIENT_VIEW, Vignette

TYPES = (
    *("Patient", "Observation", "Encounter", "Condition", "Procedure", "Specimen"),
    *("Medication", "MedicationRequest", "MedicationStatement", "MedicationAdministration"),
    *("MedicationDispense", "ServiceRequest"),
)
YEARS = 6
_SET_POINT = 72.0
_BETWEEN_PEOPLE, _WITHIN_PERSON = 0.235, 0.07
_PASSING_LOW = 0.004
_ADMITTED = 0.10
_SPOILT = 0.001
# Analyte, LOINC, value, unit, printed limits.
_PANEL = (
    *(
        ("alt", 24.0, "U/L", 7, 56),
        ("ast", 26.0, "U/L", 8, 48),
        ("bilirubin", 0.6, "mg/dL", 0.1, 1.2),
    ),
    *(("potassium", 4.2, "mmol/L", 3.5, 5.1), ("calcium", 2.35, "mmol/L", 2.15, 2.55)),
)
_OTHERS = (
    *(("8302-2", "Body Height", 171.3, "cm"), ("29463-7", "Body Weight", 74.1, "kg")),
    *(("39156-5", "Body Mass Index", 25.2, "kg/m2"), ("8867-4", "Heart rate", 71.0, "/min")),
    *(("9279-1", "Respiratory rate", 14.0, "/min"), ("8310-5", "Body temperature", 36.9, "Cel")),
    *(("2339-0", "Glucose", 5.4, "mmol/L"), ("718-7", "Hemoglobin", 13.9, "g/dL")),
    *(("2947-0", "Sodium", 140.0, "mmol/L"), ("6690-2", "Leukocytes", 6.9, "10*3/uL")),
    *(("777-3", "Platelets", 252.0, "10*3/uL"), ("2093-3", "Cholesterol", 4.9, "mmol/L")),
)
_DRUGS = (("197361", "amlodipine 5 MG Oral Tablet"), ("314076", "lisinopril 10 MG Oral Tablet"))


class Planted(msgspec.Struct, frozen=True):
    """A planted patient and the row that has to decide."""

    patient: str
    hook: str
    situation: str
    indicator: str | None
    beside: str | None


def planted() -> list[Planted]:
    """Every vignette that an export can hold: an order that ends a drug leaves no trace of its day."""
    return [
        Planted(_planted_id(v), v.hook, v.situation, v.indicator, v.beside) for v in _plantable()
    ]


def write_population(
    folder: Path,
    *,
    patients: int,
    seed: int = 1,
    with_planted: bool = True,
    visits_a_year: int = 2,
    other_results: int = 20,
) -> dict[str, int]:
    """Write the export, a file a resource type; returns how many resources of each type."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(TYPES, 0)
    with ExitStack() as stack:
        files = {
            kind: stack.enter_context((folder / f"{kind}.ndjson").open("w", encoding="utf-8"))
            for kind in TYPES
        }
        for kind, line in _lines(patients, seed, with_planted, visits_a_year, other_results):
            files[kind].write(line + "\n")
            counts[kind] += 1
    return counts


def _lines(
    patients: int, seed: int, with_planted: bool, visits_a_year: int, other_results: int
) -> Iterator[tuple[str, str]]:
    vignettes = iter(_plantable() if with_planted else ())
    every = max(1, patients // (len(_plantable()) + 1))
    for number in range(patients):
        if number % every == every - 1 and (vignette := next(vignettes, None)) is not None:
            yield from _vignette_lines(vignette)
        yield from _Background(f"p{number:07d}", random.Random(f"{seed}/{number}")).lines(
            visits_a_year, other_results
        )
    for vignette in vignettes:
        yield from _vignette_lines(vignette)


def _plantable() -> list[Vignette]:
    return [
        v for v in (*PATIENT_VIEW, *ORDERS) if all(d.get("status") != "stopped" for d in v.drafts)
    ]


def _planted_id(vignette: Vignette) -> str:
    return f"planted-{vignette.id}".lower().replace("_", "-")


def _vignette_lines(vignette: Vignette) -> Iterator[tuple[str, str]]:
    drafts = [
        {**d, "status": "active", "authoredOn": REFERENCE.isoformat()} for d in vignette.drafts
    ]
    chart: Sequence[Json] = [*vignette.chart, *drafts]
    if not any(r["resourceType"] == "Patient" for r in chart):
        chart = [patient(), *chart]
    name = _planted_id(vignette)
    for resource in chart:
        owned = {**resource, "id": name} if resource["resourceType"] == "Patient" else resource
        text = json.dumps(owned, ensure_ascii=False)
        yield resource["resourceType"], text.replace(f'"Patient/{PATIENT}"', f'"Patient/{name}"')


class _Background:
    """One patient of no particular interest."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self._name = name
        self._chance = chance
        self._set_point = _SET_POINT * chance.lognormvariate(0, _BETWEEN_PEOPLE)
        self._number = 0
        self._printed = chance.choice((35, 40, 40, 44))

    def lines(self, visits_a_year: int, other_results: int) -> Iterator[tuple[str, str]]:
        chance = self._chance
        sex = chance.choice(("female", "male"))
        born = REFERENCE - timedelta(days=chance.randint(22 * 365, 90 * 365))
        yield (
            "Patient",
            self._json(
                {
                    "resourceType": "Patient",
                    "id": self._name,
                    "name": [{"family": f"Family{self._name}", "given": ["Given"]}],
                    "gender": sex,
                    "birthDate": born.isoformat(),
                }
            ),
        )
        if chance.random() < 0.3:
            code, text = chance.choice(_DRUGS)
            yield "MedicationRequest", self._prescription(code, text)
        for visit in range(visits_a_year * YEARS):
            apart = 365 // visits_a_year
            day = REFERENCE - timedelta(days=visit * apart + chance.randint(3, apart - 3))
            yield from self._visit(day, other_results, laboratory=visit % 2 == 0)
        if chance.random() < _ADMITTED:
            yield from self._stay(REFERENCE - timedelta(days=chance.randint(60, 700)))

    def _visit(
        self, day: date, other_results: int, *, laboratory: bool
    ) -> Iterator[tuple[str, str]]:
        yield "Encounter", self._encounter("AMB", day, day)
        for code, text, value, unit in islice(cycle(_OTHERS), other_results):
            yield "Observation", self._observation(code, text, self._about(value), unit, day)
        if laboratory:
            low = self._chance.random() < _PASSING_LOW
            alp = self._chance.uniform(27, 39) if low else self._about(self._set_point)
            yield from self._laboratory(day, alp, spoilt=self._chance.random() < _SPOILT)

    def _stay(self, day: date) -> Iterator[tuple[str, str]]:
        """An acute illness, in which ALP falls for a time and is measured every day."""
        days = self._chance.randint(7, 14)
        yield "Encounter", self._encounter("IMP", day, day + timedelta(days=days))
        for n in range(1, days):
            fall = self._chance.uniform(0.35, 0.55)
            yield from self._laboratory(day + timedelta(days=n), self._set_point * fall)

    def _laboratory(
        self, day: date, alp: float, *, spoilt: bool = False
    ) -> Iterator[tuple[str, str]]:
        value = 12.0 if spoilt else alp
        yield (
            "Observation",
            self._observation(
                TESTS["alp"], "Alkaline phosphatase", value, "U/L", day, (self._printed, 120)
            ),
        )
        for name, middle, unit, low, high in _PANEL:
            odd = {"potassium": 7.9, "calcium": 1.1} if spoilt else {}
            found = odd.get(name) or self._about(middle)
            yield "Observation", self._observation(TESTS[name], name, found, unit, day, (low, high))

    def _about(self, value: float) -> float:
        return value * self._chance.gauss(1, _WITHIN_PERSON)

    def _observation(
        self,
        code: str,
        text: str,
        value: float,
        unit: str,
        day: date,
        limits: tuple[float, float] | None = None,
    ) -> str:
        self._number += 1
        quantity = '{{"value":{},"unit":"{}","system":"http://unitsofmeasure.org","code":"{}"}}'
        low, high = limits or (0, 0)
        printed = (
            f',"referenceRange":[{{"low":{quantity.format(low, unit, unit)},'
            f'"high":{quantity.format(high, unit, unit)}}}]'
            if limits
            else ""
        )
        category = "laboratory" if limits else "vital-signs"
        return (
            f'{{"resourceType":"Observation","id":"{self._name}-{self._number}","meta":{{"versionId":"1",'
            f'"lastUpdated":"{day}T12:00:00.000+00:00","profile":["http://hl7.org/fhir/us/core/'
            'StructureDefinition/us-core-observation-lab"]},"status":"final","category":[{"coding":[{'
            f'"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"{category}",'
            f'"display":"{category}"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}",'
            f'"display":"{text}"}}],"text":"{text}"}},"subject":{{"reference":"Patient/{self._name}"}},'
            f'"effectiveDateTime":"{day}T09:00:00+00:00","issued":"{day}T11:00:00.000+00:00",'
            f'"performer":[{{"reference":"Organization/laboratory","display":"Central laboratory"}}],'
            f'"valueQuantity":{quantity.format(round(value, 2), unit, unit)}{printed}}}'
        )

    def _encounter(self, kind: str, start: date, end: date) -> str:
        self._number += 1
        return self._json(
            {
                "resourceType": "Encounter",
                "id": f"{self._name}-{self._number}",
                "status": "finished",
                "class": {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                    "code": kind,
                },
                "subject": {"reference": f"Patient/{self._name}"},
                "period": {
                    "start": f"{start}T08:00:00+00:00",
                    "end": f"{end}T17:00:00+00:00",
                },
            }
        )

    def _prescription(self, code: str, text: str) -> str:
        self._number += 1
        rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
        return self._json(
            {
                "resourceType": "MedicationRequest",
                "id": f"{self._name}-{self._number}",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {
                    "coding": [{"system": rxnorm, "code": code, "display": text}],
                    "text": text,
                },
                "subject": {"reference": f"Patient/{self._name}"},
                "authoredOn": (REFERENCE - timedelta(days=400)).isoformat(),
            }
        )

    def _json(self, resource: dict[str, Any]) -> str:
        return json.dumps(resource, separators=(",", ":"))
