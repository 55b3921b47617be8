"""The part of a bundled chart that the sandbox lets a visitor change, and the chart as changed.

Only what a form field changed is written anew: everything else stays as the bundled patient has it,
odd spellings included. A changed chart is whatever was typed; the service has to cope with it.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cds_service.ehr import draft_order
from cds_service.rulebook import Rulebook

Json = dict[str, Any]
UNITS = ("U/L", "IU/L", "ukat/L", "nkat/L", "mg/dL", "")
_STARTS = {
    "MedicationStatement": ("effectivePeriod", "start"),
    "MedicationRequest": ("authoredOn",),
    "MedicationAdministration": ("effectiveDateTime",),
    "MedicationDispense": ("whenHandedOver",),
}
_NEW = "new"
_ALP_CODE = {"system": "http://loinc.org", "code": "6768-6"}


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


def edited(bundle: Json, typed: Mapping[str, str], rulebook: Rulebook) -> Json:
    """The chart with what was typed over it. A result without a value and a drug named none go."""
    changed = copy.deepcopy(bundle)
    before = {f.name: f.value for line in form(bundle, rulebook) for f in line.fields}
    differing = {n: v.strip() for n, v in typed.items() if n in before and v.strip() != before[n]}
    if not differing:
        return changed
    resources = [e["resource"] for e in changed["entry"]]
    patient = next(r for r in resources if r["resourceType"] == "Patient")
    for name, element in (("born", "birthDate"), ("sex", "gender")):
        if name in differing:
            _put(patient, (element,), differing[name])
    gone: list[int] = []
    for kind, found, write in (
        ("alp", _results(changed, rulebook), _write_result),
        ("drug", [r for r, _ in _drugs(changed, rulebook)], _write_drug),
    ):
        for index, resource in enumerate(found):
            mine = _part(differing, f"{kind}-{index}-")
            if mine and not write(resource, mine, rulebook):
                gone.append(id(resource))
    changed["entry"] = [e for e in changed["entry"] if id(e["resource"]) not in gone]
    changed["entry"] += [{"resource": r} for r in _added(differing, patient["id"], rulebook)]
    return changed


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
    for index, found in enumerate(_results(bundle, rulebook)):
        quantity = found.get("valueQuantity", {})
        value = quantity.get("value", found.get("valueString", ""))
        unit = str(quantity.get("unit", quantity.get("code", "")))
        yield _result_line(f"ALP {index + 1}", index, str(value), unit, _day(found))
    yield _result_line("Another ALP", _NEW, "", "U/L", "")
    for index, (found, drug) in enumerate(_drugs(bundle, rulebook)):
        yield _drug_line(f"{found['resourceType']} {index + 1}", index, drug, _start(found))
    yield _drug_line("Another antiresorptive", _NEW, "", "")


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


def _results(bundle: Json, rulebook: Rulebook) -> list[Json]:
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


def _drugs(bundle: Json, rulebook: Rulebook) -> list[tuple[Json, str]]:
    """Drug records that name an antiresorptive in themselves, with its key."""
    found = []
    for entry in bundle["entry"]:
        resource: Json = entry["resource"]
        if resource["resourceType"] in _STARTS:
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


def _write_result(resource: Json, typed: Mapping[str, str], _: Rulebook) -> bool:
    """Write what was typed; False when the result is to go."""
    if typed.get("value") == "":
        return False
    if "date" in typed:
        _put(resource, ("effectiveDateTime",), typed["date"])
    if "value" in typed or "unit" in typed:
        quantity = dict(resource.pop("valueQuantity", {}))
        text = resource.pop("valueString", "")
        value = typed.get("value", str(quantity.get("value", text)))
        unit = typed.get("unit", str(quantity.get("unit", "")))
        resource |= _measured(value, unit, str(quantity.get("comparator", "")))
    return True


def _measured(value: str, unit: str, comparator: str = "") -> Json:
    """A number as a Quantity; anything else as the text that it is."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return {"valueString": f"{value} {unit}".strip()}
    quantity: Json = {"value": int(number) if number.is_integer() else number}
    if unit:
        quantity["unit"] = unit
    if comparator:
        quantity["comparator"] = comparator
    return {"valueQuantity": quantity}


def _write_drug(resource: Json, typed: Mapping[str, str], rulebook: Rulebook) -> bool:
    if typed.get("drug") == "":
        return False
    if "drug" in typed:
        resource["medicationCodeableConcept"] = _concept(typed["drug"], rulebook)
    if "start" in typed:
        path = _STARTS[resource["resourceType"]]
        if path == ("effectivePeriod", "start") and "effectiveDateTime" in resource:
            path = ("effectiveDateTime",)
        _put(resource, path, typed["start"])
    return True


def _concept(drug: str, rulebook: Rulebook) -> Json:
    if drug not in rulebook.drugs:
        return {"text": drug}
    concept: Json = draft_order(drug, rulebook.drug_list)["medicationCodeableConcept"]
    return concept


def _added(typed: Mapping[str, str], patient_id: str, rulebook: Rulebook) -> Iterator[Json]:
    subject = {"reference": f"Patient/{patient_id}"}
    result, drug = _part(typed, f"alp-{_NEW}-"), _part(typed, f"drug-{_NEW}-")
    if result.get("value"):
        yield {
            "resourceType": "Observation",
            "id": f"{patient_id}.alp-typed",
            "status": "final",
            "code": {"coding": [_ALP_CODE]},
            "subject": subject,
            **({"effectiveDateTime": result["date"]} if result.get("date") else {}),
            **_measured(result["value"], result.get("unit", "U/L")),
        }
    if drug.get("drug"):
        yield {
            "resourceType": "MedicationStatement",
            "id": f"{patient_id}.drug-typed",
            "status": "active",
            "subject": subject,
            "medicationCodeableConcept": _concept(drug["drug"], rulebook),
            **({"effectivePeriod": {"start": drug["start"]}} if drug.get("start") else {}),
        }


def _part(typed: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {n.removeprefix(prefix): v for n, v in typed.items() if n.startswith(prefix)}


def _put(resource: Json, path: Sequence[str], value: str) -> None:
    """Write an element, or take it away when nothing was typed."""
    *outer, last = path
    for name in outer:
        resource = resource.setdefault(name, {})
    if value:
        resource[last] = value
    else:
        resource.pop(last, None)


def _day(found: Json) -> str:
    return str(found.get("effectiveDateTime", ""))[:10]


def _start(found: Json) -> str:
    period = found.get("effectivePeriod", {})
    day = period.get("start") or found.get("effectiveDateTime") or found.get("authoredOn")
    return str(day or found.get("whenHandedOver") or "")[:10]
