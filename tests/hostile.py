"""What goes wrong on the way to the service: breaks requests in every place, and judges the answer."""

import copy
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import requests
from flask import Flask
from werkzeug.serving import make_server

from cds_service.guidance import Advisor
from tests.charts import (
    DRUGS,
    PATIENT,
    Json,
    alp,
    alpl,
    concept,
    condition,
    day,
    dose,
    lab,
    ordered,
    patient,
    prescribed,
    procedure,
    stay,
    taking,
)
from tests.conftest import Client

ADDRESS = "/cds-services/low-alp-patient-view"
REFUSALS = (400, 404, 405, 412, 413, 415)
MEDICATIONS = {
    "medicationStatements": "MedicationStatement",
    "medicationRequests": "MedicationRequest",
    "medicationAdministrations": "MedicationAdministration",
    "medicationDispenses": "MedicationDispense",
}
Path = tuple[str | int, ...]

LOW = (alp(29, -300, 35), alp(27, -45, 35))
"""Two low values: a card fires, `persistent-low-alp`."""

DISPENSED = {
    **prescribed("alendronate", -200, "completed"),
    "resourceType": "MedicationDispense",
    "whenHandedOver": day(-200),
    "daysSupply": {"value": 28},
}
RICH = (
    patient(58),
    alp(29, -300, 35, high=120, specimen="S1", issued=f"{day(-300)}T10:00:00Z"),
    alp("27 U/L", -45, referenceRange=[{"low": {"value": 35}, "age": {"low": {"value": 18}}}]),
    {
        "resourceType": "Specimen",
        "id": "S1",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "container": [{"description": "serum gel", "type": {"text": "tube"}}],
    },
    lab("plp", 60, "nmol/L", -44, high=125),
    lab("ggt", 20, "U/L", -45, high=40),
    lab("zinc", 9, "umol/L", -45, low=11),
    alpl("VUS", -40, "heterozygous"),
    taking("alendronate", -1100, -900),
    taking("pyridoxine", -2000, -1900),
    dose("denosumab", -700),
    {
        **prescribed("alendronate", -1100, "stopped"),
        "dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"start": day(-1100)}}}}],
        "dispenseRequest": {"validityPeriod": {"end": day(-900)}},
    },
    {
        **{k: v for k, v in DISPENSED.items() if k != "medicationCodeableConcept"},
        "id": "by-reference",
        "medicationReference": {"reference": "Medication/M1", "display": "alendronate"},
    },
    {
        "resourceType": "Medication",
        "id": "M1",
        "code": concept(*DRUGS["alendronate"]),
    },
    condition("metatarsal stress fracture, right", -400),
    procedure("265764009", -3000),
    stay("IMP", -2000, -1990),
    ordered("2324-2", -3),
)
"""A chart that holds something of every kind that is read."""


@contextmanager
def serving(app: Flask, advisor: Advisor) -> Iterator[Client]:
    """An application of its own on a real port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Client(f"http://127.0.0.1:{server.server_port}", advisor, app)
    server.shutdown()
    thread.join()
    server.server_close()


def send(service: Client, request: Any, **options: Any) -> requests.Response:
    """POST a request, given as a value or as the very bytes."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    return service.post(ADDRESS, data=body, headers=headers, **options)


def judged(response: requests.Response) -> Json:
    """The answer, which is cards or an OperationOutcome that says what was wrong, and never a 500."""
    assert response.status_code in (200, *REFUSALS), response.text
    assert response.headers["Content-Type"] == "application/json"
    document: Json = json.loads(response.content, parse_constant=_no_constant)
    if response.status_code == 200:
        assert list(document) == ["cards"]
        assert isinstance(document["cards"], list)
        return document
    assert document["resourceType"] == "OperationOutcome"
    (issue,) = document["issue"]
    assert issue["severity"] == "error"
    assert issue["code"]
    assert issue["diagnostics"]
    return document


def answer(service: Client, request: Any) -> tuple[int, Json]:
    """Status and document of a call."""
    response = send(service, request)
    return response.status_code, judged(response)


def is_silent(document: Json) -> bool:
    """Whether the answer says: checked, nothing to say."""
    return document.get("cards") == []


def text(cards: Sequence[Json]) -> str:
    """Everything that a clinician reads."""
    return "\n".join(f"{c['summary']}\n{c['detail']}" for c in cards)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def bundle_of(*found: Any) -> Json:
    """A searchset of these resources, whatever they are."""
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": resource} for resource in found],
    }


def with_prefetch(request: Json, **keys: Any) -> Json:
    """The request with some prefetch keys replaced; `...` leaves a key out."""
    prefetch = {**request["prefetch"], **keys}
    return {**request, "prefetch": {k: v for k, v in prefetch.items() if v is not ...}}


def without(resource: Json, *elements: str) -> Json:
    """The resource with some elements left out."""
    return {k: v for k, v in resource.items() if k not in elements}


def paths(value: Any, start: Path = ()) -> Iterator[Path]:
    """The place of every node below the root."""
    inner: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        inner = iter(value.items())
    elif isinstance(value, list):
        inner = iter(enumerate(value))
    for key, child in inner:
        yield (*start, key)
        yield from paths(child, (*start, key))


def at(value: Any, path: Path) -> Any:
    """The node at that place."""
    for key in path:
        value = value[key]
    return value


def replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy with another node at that place; `...` drops the node."""
    changed = copy.deepcopy(value)
    parent = at(changed, path[:-1])
    if new is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return changed


def required_data_came(request: Any) -> bool:
    """Whether the request holds what the service needs, as far as its shape tells.

    Judged leniently and without looking at the service: False only when the patient, ALP, or all
    medications are certainly not there.
    """
    prefetch = request.get("prefetch") if isinstance(request, dict) else None
    if not isinstance(prefetch, dict):
        return False
    medications = (_came(prefetch, key, kind) for key, kind in MEDICATIONS.items())
    return (
        prefetch.get("patient") is not None
        and _came(prefetch, "patient", "Patient")
        and _came(prefetch, "alp", "Observation")
        and any(medications)
    )


def _came(prefetch: Json, key: str, kind: str) -> bool:
    if key not in prefetch:
        return False
    value = prefetch[key]
    if not isinstance(value, dict):
        return value is None
    if value.get("resourceType") != "Bundle":
        return value.get("resourceType") == kind
    entries = value.get("entry")
    if not isinstance(entries, list):
        return entries is None
    found = [e.get("resource") for e in entries if isinstance(e, dict)]
    kinds = [r.get("resourceType") for r in found if isinstance(r, dict)]
    # An OperationOutcome alone may say that there is none; how grave it is, its issues tell.
    return not entries or kind in kinds or "OperationOutcome" in kinds
