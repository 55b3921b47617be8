"""Charts in a few words: FHIR R4 resources as an ordinary record system would hold them.

Days are counted from REFERENCE, negative in the past, so that a row of a table reads like a story.
"""

import json
from datetime import date, timedelta
from importlib import resources
from typing import Any

Json = dict[str, Any]

CANONICAL = "https://low-alp-cds.example"
REFERENCE = date(2026, 11, 1)
PATIENT = "pat-1"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
NPU = "urn:oid:1.2.208.176.2.1"
UCUM = "http://unitsofmeasure.org"

TESTS = {
    "alp": "6768-6",
    "plp": "62236-5",
    "pea": "28604-7",
    "potassium": "2823-3",
    "calcium": "17861-6",
    "magnesium": "19123-9",
    "phosphate": "2777-1",
    "zinc": "5763-8",
    "b12": "2132-9",
    "tsh": "3016-3",
    "ggt": "2324-2",
    "bilirubin": "1975-2",
    "alt": "1742-6",
    "ast": "1920-8",
    "pth": "2731-8",
    "alp_bone": "17838-4",
    "alp_urine": "15148-0",
    "alp_liver": "1779-8",
}
DRUGS = {
    "alendronate": (RXNORM, "904431"),
    "risedronate": (RXNORM, "905024"),
    "ibandronate": (RXNORM, "904932"),
    "zoledronate": (RXNORM, "705824"),
    "pamidronate": (RXNORM, "1737449"),
    "denosumab": (RXNORM, "993456"),
    "denosumab 120 mg": (RXNORM, "1046402"),
    "asfotase alfa": (RXNORM, "1720270"),
    "pyridoxine": (RXNORM, "684879"),
    "oestrogen": (RXNORM, "4083"),
    "fenofibrate": (RXNORM, "8703"),
    "atorvastatin": ("urn:example:drugs", "atorvastatin"),
}
CONDITIONS = {
    "hypophosphatasia": (SNOMED, "360792001"),
    "E83.39": (ICD, "E83.39"),
    "atypical femoral fracture": (ICD, "M84.750A"),
    "metatarsal stress fracture, right": (ICD, "M84.374A"),
    "metatarsal stress fracture, left": (ICD, "M84.375A"),
    "early tooth loss": (SNOMED, "122483006"),
    "rickets": (SNOMED, "41345002"),
    "coeliac disease": (SNOMED, "396331005"),
    "zinc deficiency": (SNOMED, "73281004"),
    "hypothyroidism": (SNOMED, "40930008"),
    "Wilson disease": (SNOMED, "88518009"),
    "dialysis": (ICD, "Z99.2"),
    "CKD stage 5": (SNOMED, "433146000"),
    "CKD stage 3": (ICD, "N18.3"),
    "cholestasis": (SNOMED, "33688009"),
    "bone metastases": (SNOMED, "94222008"),
    "palliative care": (ICD, "Z51.5"),
    "pregnancy": (SNOMED, "77386006"),
    "long-term bisphosphonate": (ICD, "Z79.83"),
}


def day(offset: int) -> str:
    """The date `offset` days from REFERENCE."""
    return (REFERENCE + timedelta(days=offset)).isoformat()


def born(age: float) -> str:
    """A birth date that makes the patient this old on REFERENCE, with days to spare."""
    return (REFERENCE - timedelta(days=round(age * 365.25) + 20)).isoformat()


def _subject() -> Json:
    return {"reference": f"Patient/{PATIENT}"}


def concept(system: str, code: str, text: str | None = None) -> Json:
    """A CodeableConcept with one coding."""
    found: Json = {"coding": [{"system": system, "code": code}]}
    if text is not None:
        found["text"] = text
    return found


def patient(age: float = 58, sex: str | None = "female", **more: Any) -> Json:
    """The Patient."""
    resource: Json = {"resourceType": "Patient", "id": PATIENT, "birthDate": born(age)}
    if sex is not None:
        resource["gender"] = sex
    return {**resource, **more}


def quantity(value: float, unit: str | None) -> Json:
    """A Quantity as most systems send it: unit and UCUM code alike."""
    if unit is None:
        return {"value": value}
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def lab(
    test: str,
    value: float | str | None,
    unit: str | None,
    on: int,
    *,
    low: float | None = None,
    high: float | None = None,
    range_unit: str | None = "same",
    comparator: str | None = None,
    status: str = "final",
    specimen: str | None = None,
    time: str | None = None,
    **more: Any,
) -> Json:
    """A laboratory Observation. A text value becomes valueString, None leaves the value out."""
    taken = day(on) + (f"T{time}" if time else "")
    resource: Json = {
        "resourceType": "Observation",
        "id": f"{test}-{abs(on)}-{value}".replace("_", "-").replace("<", "lt").replace(" ", ""),
        "status": status,
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": concept(LOINC, TESTS.get(test, test)),
        "subject": _subject(),
        "effectiveDateTime": taken,
    }
    if isinstance(value, str):
        resource["valueString"] = value
    elif value is not None:
        resource["valueQuantity"] = quantity(value, unit)
        if comparator:
            resource["valueQuantity"]["comparator"] = comparator
    bounds = {
        name: quantity(bound, unit if range_unit == "same" else range_unit)
        for name, bound in (("low", low), ("high", high))
        if bound is not None
    }
    if bounds:
        resource["referenceRange"] = [bounds]
    if specimen:
        resource["specimen"] = {"reference": f"Specimen/{specimen}"}
    return {**resource, **more}


def alp(value: float | str | None, on: int, low: float | None = None, **more: Any) -> Json:
    """A total ALP, in U/L unless another unit is given."""
    unit = more.pop("unit", "U/L")
    return lab("alp", value, unit, on, low=low, **more)


def taking(drug: str, start: int | None, end: int | None = None, **more: Any) -> Json:
    """A MedicationStatement over a period; without an end it goes on."""
    system, code = DRUGS[drug]
    resource: Json = {
        "resourceType": "MedicationStatement",
        "id": f"{drug}-{start}".replace(" ", "-").replace("--", "-m"),
        "status": "active" if end is None else "completed",
        "medicationCodeableConcept": concept(system, code, drug),
        "subject": _subject(),
    }
    period = {k: day(v) for k, v in (("start", start), ("end", end)) if v is not None}
    if period:
        resource["effectivePeriod"] = period
    return {**resource, **more}


def dose(drug: str, on: int, **more: Any) -> Json:
    """A MedicationAdministration."""
    system, code = DRUGS[drug]
    return {
        "resourceType": "MedicationAdministration",
        "id": f"{drug}-dose-{abs(on)}".replace(" ", "-"),
        "status": "completed",
        "medicationCodeableConcept": concept(system, code, drug),
        "subject": _subject(),
        "effectiveDateTime": day(on),
        **more,
    }


def prescribed(drug: str, on: int, status: str = "active", **more: Any) -> Json:
    """A MedicationRequest."""
    system, code = DRUGS[drug]
    return {
        "resourceType": "MedicationRequest",
        "id": f"{drug}-rx-{abs(on)}".replace(" ", "-"),
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(system, code, drug),
        "subject": _subject(),
        "authoredOn": day(on),
        **more,
    }


def condition(name: str, on: int | None = -500, status: str = "active", **more: Any) -> Json:
    """A Condition."""
    system, code = CONDITIONS[name]
    resource: Json = {
        "resourceType": "Condition",
        "id": f"{name}-{on}".lower().replace(" ", "-").replace(",", "").replace(".", "-"),
        "clinicalStatus": {"coding": [{"code": status}]},
        "code": concept(system, code, name),
        "subject": _subject(),
    }
    if on is not None:
        resource["onsetDateTime"] = day(on)
    return {**resource, **more}


def alpl(classification: str, on: int = -300, zygosity: str | None = None) -> Json:
    """An ALPL result in the shape of the genomics guide; `negative` as a whole-gene test."""
    answers = {"P": "LA6668-3", "LP": "LA26332-9", "VUS": "LA26333-7"}
    states = {"heterozygous": "LA6706-1", "homozygous": "LA6705-3"}
    base: Json = {
        "resourceType": "Observation",
        "id": f"alpl-{classification}-{abs(on)}".lower(),
        "status": "final",
        "subject": _subject(),
        "effectiveDateTime": day(on),
    }
    if classification == "negative":
        negative = concept(LOINC, "LA6577-6")
        return {**base, "code": concept(LOINC, "77084-2"), "valueCodeableConcept": negative}
    components = [
        {
            "code": concept(LOINC, "48018-6"),
            "valueCodeableConcept": concept("http://www.genenames.org/geneId", "HGNC:438"),
        },
        {
            "code": concept(LOINC, "53037-8"),
            "valueCodeableConcept": concept(LOINC, answers[classification]),
        },
    ]
    if zygosity:
        components.append(
            {
                "code": concept(LOINC, "53034-5"),
                "valueCodeableConcept": concept(LOINC, states[zygosity]),
            }
        )
    present = concept(LOINC, "LA9633-4")
    code = concept(LOINC, "69548-6")
    return {**base, "code": code, "valueCodeableConcept": present, "component": components}


def stay(kind: str, start: int, end: int | None, **more: Any) -> Json:
    """An Encounter of class IMP, EMER, OBSENC, AMB …"""
    period = {k: day(v) for k, v in (("start", start), ("end", end)) if v is not None}
    return {
        "resourceType": "Encounter",
        "id": f"enc-{kind.lower()}-{abs(start)}",
        "status": "finished" if end is not None else "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": kind},
        "subject": _subject(),
        "period": period,
        **more,
    }


def procedure(code: str, on: int, system: str = SNOMED, **more: Any) -> Json:
    """A completed Procedure."""
    return {
        "resourceType": "Procedure",
        "id": f"procedure-{code}-{abs(on)}",
        "status": "completed",
        "code": concept(system, code),
        "subject": _subject(),
        "performedDateTime": day(on),
        **more,
    }


def ordered(code: str, on: int, status: str = "active", system: str = LOINC, **more: Any) -> Json:
    """An open ServiceRequest."""
    return {
        "resourceType": "ServiceRequest",
        "id": f"order-{code}-{abs(on)}".replace("_", "-"),
        "status": status,
        "intent": "order",
        "code": concept(system, code),
        "subject": _subject(),
        "authoredOn": day(on),
        **more,
    }


def draft(drug: str, status: str = "draft", **more: Any) -> Json:
    """A MedicationRequest in the signing session."""
    system, code = DRUGS[drug]
    return {
        "resourceType": "MedicationRequest",
        "id": f"draft-{drug}".replace(" ", "-"),
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(system, code, drug),
        "subject": _subject(),
        **more,
    }


def draft_test(code: str, system: str = LOINC, **more: Any) -> Json:
    """A ServiceRequest in the signing session."""
    return {
        "resourceType": "ServiceRequest",
        "id": f"draft-{code}".replace("_", "-"),
        "status": "draft",
        "intent": "order",
        "code": concept(system, code),
        "subject": _subject(),
        **more,
    }


def pregnant(weeks: int, recorded: int = -30) -> list[Json]:
    """Pregnant now, this many weeks along, with the due date that follows."""
    due = REFERENCE + timedelta(days=280 - 7 * weeks)
    base: Json = {
        "resourceType": "Observation",
        "status": "final",
        "subject": _subject(),
        "effectiveDateTime": day(recorded),
    }
    return [
        {
            **base,
            "id": "pregnancy-status",
            "code": concept(LOINC, "82810-3"),
            "valueCodeableConcept": concept(LOINC, "LA15173-0"),
        },
        {
            **base,
            "id": "due-date",
            "code": concept(LOINC, "11778-8"),
            "valueDateTime": due.isoformat(),
        },
    ]


def bundle(*found: Json, **more: Any) -> Json:
    """A patient Bundle; the Patient is added when none is among the resources."""
    everything = list(found)
    if not any(r["resourceType"] == "Patient" for r in everything):
        everything.insert(0, patient())
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": f"{REFERENCE.isoformat()}T09:00:00Z",
        "entry": [{"resource": resource} for resource in everything],
        **more,
    }


def fixture(name: str) -> Json:
    """A bundled patient."""
    path = resources.files("fhir_fixtures") / "patients" / f"{name}.json"
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded
