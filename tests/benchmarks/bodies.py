"""Hook requests of the sizes that charts have, as an EHR would send them."""

import json
from typing import Any

from cds_service.ehr import hook_request
from cds_service.terminology import Terminology
from tests.charts import Json, alp, condition, lab, patient, taking

SIZES = {"small": (5, 1, 1), "typical": (60, 15, 10), "heavy": (1000, 150, 60)}
"""Observations, drugs and conditions."""
_PANEL = ("ggt", "alt", "ast", "bilirubin", "potassium", "calcium", "phosphate", "magnesium", "tsh")


def body(size: str, terminology: Terminology, *, low: bool) -> bytes:
    """A request whose patient has persistently low ALP, or a normal one."""
    observations, drugs, conditions = SIZES[size]
    chart: list[Json] = [_padded(patient())]
    values = max(2, observations // 10)
    for n in range(values):
        value = (26 + n % 3) if low else (70 + n % 9)
        chart.append(_padded(alp(value, -30 - 40 * n, 35)))
    for n in range(observations - values):
        test = _PANEL[n % len(_PANEL)]
        chart.append(_padded(lab(test, 4.5, "mmol/L", -20 - 7 * n, low=1, high=50)))
    chart += [_padded(taking("atorvastatin", -900 - n, -800 - n)) for n in range(drugs)]
    chart += [_padded(condition("CKD stage 3", -1000 - n)) for n in range(conditions)]
    for n, resource in enumerate(chart[1:]):
        resource["id"] = f"resource-{n}"
    request = hook_request(chart[0], chart, "patient-view", terminology)
    return json.dumps(request).encode()


def _padded(resource: Json) -> Json:
    """The parts that every real resource carries and no rule reads."""
    padding: dict[str, Any] = {
        "meta": {
            "versionId": "1",
            "lastUpdated": "2026-10-01T08:00:00.000+00:00",
            "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"],
        },
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Generated narrative of the'
            " resource with its main values, as most servers send it.</p></div>",
        },
        "identifier": [{"system": "urn:oid:1.2.3.4.5", "value": "0123456789-abcdef"}],
        "performer": [{"reference": "Organization/laboratory", "display": "Central laboratory"}],
        "note": [{"text": "Reported by the laboratory information system without remark."}],
        "extension": [
            {
                "url": "http://hospital.example/fhir/StructureDefinition/source-system",
                "valueString": "LIS-2, interface 14, message 20261001-080000-0123456789",
            }
        ],
    }
    # In the order in which servers write the elements of a resource.
    first = ("resourceType", "id")
    head = {k: resource[k] for k in first if k in resource}
    tail = {k: v for k, v in resource.items() if k not in first}
    return {**head, **padding, **tail}
