"""A bundled chart as a visitor of the sandbox changed it.

Only what a form field changed is written anew: everything else stays as the bundled patient has it,
odd spellings included. A changed chart is whatever was typed; the service has to cope with it.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cds_service.ehr import draft_order
from cds_service.rulebook import Rulebook
from cds_service.web.pages.edit_form import NEW, STARTS, drugs, form, results

Json = dict[str, Any]
_ALP_CODE = {"system": "http://loinc.org", "code": "6768-6"}


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
        ("alp", results(changed, rulebook), _write_result),
        ("drug", [r for r, _ in drugs(changed, rulebook)], _write_drug),
    ):
        for index, resource in enumerate(found):
            mine = _part(differing, f"{kind}-{index}-")
            if mine and not write(resource, mine, rulebook):
                gone.append(id(resource))
    changed["entry"] = [e for e in changed["entry"] if id(e["resource"]) not in gone]
    changed["entry"] += [{"resource": r} for r in _added(differing, patient["id"], rulebook)]
    return changed


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
        unit = typed.get("unit", str(quantity.get("unit", quantity.get("code", ""))))
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
        path = STARTS[resource["resourceType"]]
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
    result, drug = _part(typed, f"alp-{NEW}-"), _part(typed, f"drug-{NEW}-")
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
