"""Hook requests of the sizes that charts have, as an EHR would send them."""

import json
from typing import Any

from cds_service.ehr import hook_request
from cds_service.terminology import Terminology
from tests.charts import Json, alp, condition, lab, patient, taking

SIZES = {"small": (5, 1, 1), "typical": (60, 15, 10), "heavy": (1000, 150, 60)}
"""Observations, drugs and conditions: with all that servers send beside, 15 kB, 120 kB and 1.65 MB."""
_TIME = "07:45:00+01:00"
_PANEL = ("ggt", "alt", "ast", "bilirubin", "potassium", "calcium", "phosphate", "magnesium", "tsh")


_DOSAGE: Json = {
    "dosage": [
        {
            "text": "20 mg by mouth once a day, in the evening",
            "timing": {"code": {"text": "once a day"}},
            "route": {"text": "by mouth"},
        }
    ]
}
_CATEGORY: Json = {
    "category": [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/condition-category",
                    "code": "problem-list-item",
                }
            ]
        }
    ]
}
_DEMOGRAPHICS: Json = {
    "active": True,
    "text": {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml"><table class="grid"><tbody>'
        "<tr><td>Name</td><td>Mrs. Anna Maria EXAMPLE (born SAMPLE)</td></tr>"
        "<tr><td>Identifiers</td><td>Medical Record Number 00012345678, Social Security Number"
        " 10012345678, Driver's License 20012345678, Passport Number 30012345678</td></tr>"
        "<tr><td>Address</td><td>1 Example Street, Apartment 2, Exampletown EX 00000, US;"
        " formerly 27 Sample Avenue</td></tr>"
        "<tr><td>Telephone</td><td>+1-555-0100 (home), +1-555-0101 (mobile)</td></tr>"
        "<tr><td>Next of kin</td><td>Peter Example, +1-555-0102</td></tr>"
        "<tr><td>General practitioner</td><td>General practice Exampletown</td></tr>"
        "<tr><td>Language</td><td>English, preferred</td></tr></tbody></table></div>",
    },
    "identifier": [
        {
            "use": use,
            "type": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                        "code": code,
                        "display": display,
                    }
                ],
                "text": display,
            },
            "system": f"urn:oid:1.2.3.4.{number}",
            "value": f"{number}0012345678",
            "assigner": {"display": "Example Hospital"},
        }
        for number, (use, code, display) in enumerate(
            (
                ("usual", "MR", "Medical Record Number"),
                ("official", "SS", "Social Security Number"),
                ("official", "DL", "Driver's License"),
                ("secondary", "PPN", "Passport Number"),
            )
        )
    ],
    "name": [
        {"use": "official", "family": "Example", "given": ["Anna", "Maria"], "prefix": ["Mrs."]},
        {"use": "maiden", "family": "Sample", "given": ["Anna", "Maria"]},
    ],
    "telecom": [
        {"system": "phone", "value": "+1-555-0100", "use": "home", "rank": 2},
        {"system": "phone", "value": "+1-555-0101", "use": "mobile", "rank": 1},
        {"system": "email", "value": "anna.example@mail.example", "use": "home"},
    ],
    "address": [
        {
            "use": use,
            "type": "both",
            "line": [line],
            "city": "Exampletown",
            "district": "Example County",
            "state": "EX",
            "postalCode": "00000",
            "country": "US",
            "period": {"start": start},
        }
        for use, line, start in (
            ("home", "1 Example Street, Apartment 2", "2011-04-01"),
            ("old", "27 Sample Avenue", "1998-09-15"),
        )
    ],
    "maritalStatus": {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus",
                "code": "M",
                "display": "Married",
            }
        ],
        "text": "Married",
    },
    "communication": [
        {
            "language": {
                "coding": [{"system": "urn:ietf:bcp:47", "code": "en", "display": "English"}],
                "text": "English",
            },
            "preferred": True,
        }
    ],
    "contact": [
        {
            "relationship": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v2-0131",
                            "code": "N",
                            "display": "Next-of-Kin",
                        }
                    ]
                }
            ],
            "name": {"use": "usual", "family": "Example", "given": ["Peter"]},
            "telecom": [{"system": "phone", "value": "+1-555-0102", "use": "mobile"}],
        }
    ],
    "generalPractitioner": [
        {"reference": "Practitioner/general", "display": "General practice Exampletown"}
    ],
    "extension": [
        {
            "url": f"http://hl7.org/fhir/us/core/StructureDefinition/us-core-{name}",
            "extension": [
                {
                    "url": "ombCategory",
                    "valueCoding": {
                        "system": "urn:oid:2.16.840.1.113883.6.238",
                        "code": code,
                        "display": display,
                    },
                },
                {"url": "text", "valueString": display},
            ],
        }
        for name, code, display in (
            ("race", "2106-3", "White"),
            ("ethnicity", "2186-5", "Not Hispanic or Latino"),
        )
    ],
    "managingOrganization": {"reference": "Organization/hospital", "display": "Example Hospital"},
}
"""What servers send of every patient; the rules read sex and birth date alone."""


def body(size: str, terminology: Terminology, *, low: bool) -> bytes:
    """A request whose patient has persistently low ALP, or a normal one."""
    observations, drugs, conditions = SIZES[size]
    chart: list[Json] = [_padded(patient(**_DEMOGRAPHICS))]
    values = max(2, observations // 10)
    for n in range(values):
        value = (26 + n % 3) if low else (70 + n % 9)
        chart.append(_padded(alp(value, -30 - 40 * n, 35, time=_TIME)))
    for n in range(observations - values):
        test = _PANEL[n % len(_PANEL)]
        chart.append(_padded(lab(test, 4.5, "mmol/L", -20 - 7 * n, low=1, high=50, time=_TIME)))
    chart += [_padded(taking("atorvastatin", -900 - n, -800 - n, **_DOSAGE)) for n in range(drugs)]
    chart += [_padded(condition("CKD stage 3", -1000 - n, **_CATEGORY)) for n in range(conditions)]
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
    padding = {k: v for k, v in padding.items() if k not in resource}
    # In the order in which servers write the elements of a resource.
    first = ("resourceType", "id")
    head = {k: resource[k] for k in first if k in resource}
    tail = {k: v for k, v in resource.items() if k not in first}
    return {**head, **padding, **tail}
