"""The form of the sandbox that changes a chart: what can be changed, filled with what the chart says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cds_service.rulebook import Rulebook

Json = dict[str, Any]
NEW = "new"
UNITS = ("U/L", "IU/L", "ukat/L", "nkat/L", "mg/dL", "")
STARTS: Mapping[str, tuple[str, ...]] = {
    "MedicationStatement": ("effectivePeriod", "start"),
    "MedicationRequest": ("authoredOn",),
    "MedicationAdministration": ("effectiveDateTime",),
    "MedicationDispense": ("whenHandedOver",),
}
"""Where each kind of drug record holds the day on which the drug was given or begun."""


class Field(msgspec.Struct, frozen=True):
    """One field of the form."""

    name: str
    label: str
    value: str
    kind: str
    """`date`, `number`, `text`, `unit`, `drug` or `sex`."""


class Line(msgspec.Struct, frozen=True):
    """Fields that belong together: one result, one drug."""

    title: str
    fields: tuple[Field, ...]


def form(
    bundle: Json, rulebook: Rulebook, typed: Mapping[str, str] | None = None
) -> Sequence[Line]:
    """What can be changed: as typed, else as the chart says, with an empty line for what is new."""
    given = typed or {}
    return [
        Line(
            line.title,
            tuple(
                msgspec.structs.replace(f, value=given.get(f.name, f.value)) for f in line.fields
            ),
        )
        for line in _lines(bundle, rulebook)
    ]


def _lines(bundle: Json, rulebook: Rulebook) -> Iterator[Line]:
    patient = next(
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    yield Line(
        "Patient",
        (
            Field("born", "Date of birth", patient.get("birthDate", ""), "date"),
            Field("sex", "Sex", patient.get("gender", ""), "sex"),
        ),
    )
    for index, found in enumerate(results(bundle, rulebook)):
        quantity = found.get("valueQuantity", {})
        value = quantity.get("value", found.get("valueString", ""))
        unit = str(quantity.get("unit", quantity.get("code", "")))
        yield _result_line(f"ALP {index + 1}", index, str(value), unit, _day(found))
    yield _result_line("Another ALP", NEW, "", "U/L", "")
    for index, (found, drug) in enumerate(drugs(bundle, rulebook)):
        yield _drug_line(f"{found['resourceType']} {index + 1}", index, drug, _start(found))
    yield _drug_line("Another antiresorptive", NEW, "", "")


def _result_line(title: str, index: int | str, value: str, unit: str, day: str) -> Line:
    names = f"alp-{index}"
    return Line(
        title,
        (
            Field(f"{names}-value", "Value", value, "number"),
            Field(f"{names}-unit", "Unit", unit, "unit"),
            Field(f"{names}-date", "Date", day, "date"),
        ),
    )


def _drug_line(title: str, index: int | str, drug: str, start: str) -> Line:
    return Line(
        title,
        (
            Field(f"drug-{index}-drug", "Drug", drug, "drug"),
            Field(f"drug-{index}-start", "Given or begun", start, "date"),
        ),
    )


def results(bundle: Json, rulebook: Rulebook) -> list[Json]:
    """The Observations of total ALP."""
    found = []
    for entry in bundle["entry"]:
        resource: Json = entry["resource"]
        if resource["resourceType"] == "Observation":
            codings = resource.get("code", {}).get("coding", [])
            concepts = [
                c
                for coding in codings
                for c in rulebook.terminology.concepts(coding.get("system"), coding.get("code"))
            ]
            if "alp-total" in concepts:
                found.append(resource)
    return found


def drugs(bundle: Json, rulebook: Rulebook) -> list[tuple[Json, str]]:
    """Drug records that name an antiresorptive in themselves, with its key."""
    found = []
    for entry in bundle["entry"]:
        resource: Json = entry["resource"]
        if resource["resourceType"] in STARTS:
            drug = _drug_of(resource.get("medicationCodeableConcept", {}), rulebook)
            if drug is not None:
                found.append((resource, drug))
    return found


def _drug_of(concept: Json, rulebook: Rulebook) -> str | None:
    by_value_set = {d.value_set: key for key, d in rulebook.drugs.items() if d.is_antiresorptive}
    for coding in concept.get("coding", []):
        for name in rulebook.terminology.concepts(coding.get("system"), coding.get("code")):
            if name in by_value_set:
                return by_value_set[name]
    named = rulebook.drug_list.by_name(concept.get("text"))
    return named.drug if named and rulebook.drugs[named.drug].is_antiresorptive else None


def _day(found: Json) -> str:
    return str(found.get("effectiveDateTime", ""))[:10]


def _start(found: Json) -> str:
    period = found.get("effectivePeriod", {})
    day = period.get("start") or found.get("effectiveDateTime") or found.get("authoredOn")
    return str(day or found.get("whenHandedOver") or "")[:10]
