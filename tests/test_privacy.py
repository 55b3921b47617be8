"""Nothing that names a person leaves the service but on the card: not in a log, not in an error."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cds_service.pseudonym import pseudonym
from tests.charts import PATIENT, Json, alp, patient
from tests.conftest import Client
from tests.hostile import LOW, RICH, at, paths, replaced, with_prefetch
from tests.processes import answering, free_port, running
from tests.signing import BASE, HASH_KEY, VIEW, Signer, clients_file
from tests.vignettes import ORDERS, PATIENT_VIEW

EHR = Signer("https://ehr.hospital.example")
SENTINEL = "Sentinel"
"""Begins every text that is put where a record could hold something of a person."""
USER = "Practitioner/Sentinel-user"
TOKEN = "Sentinel-access-token"
_SAID_ALOUD = {"hook", "resourceType", "system", "code", "url", "unit", "status", "type", "intent"}


class Witness:
    """A service in a process of its own, and everything that it ever said besides cards."""

    def __init__(self, base: str, log: Path) -> None:
        self.base = base
        self.log = log
        self.refusals: list[str] = []
        self.tokens: list[str] = []
        self.statuses: set[int] = set()

    def send(self, body: bytes, hook: str = "patient-view", **claims: Any) -> None:
        path = f"/cds-services/low-alp-{hook}"
        token = EHR.token(path, **claims)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = requests.post(self.base + path, data=body, headers=headers, timeout=30)
        self.statuses.add(answer.status_code)
        self.tokens.append(token)
        if answer.status_code != 200:
            self.refusals.append(f"{answer.headers}{answer.text}")

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8") + "\n".join(self.refusals)


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    folder = tmp_path_factory.mktemp("privacy")
    settings = {
        "CDS_CLIENTS": str(
            clients_file(folder, {"name": "ehr", "issuer": EHR.issuer, "jwks": EHR.jwks()})
        ),
        "CDS_BASE_URL": BASE,
        "CDS_HASH_KEY": HASH_KEY.decode(),
        "CDS_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        "CDS_LOG_LEVEL": "DEBUG",
    }
    port = free_port()
    with (
        (folder / "log").open("w", encoding="utf-8") as output,
        running("serve", "--port", str(port), output=output, settings=settings) as server,
    ):
        base = f"http://127.0.0.1:{port}"
        answering(base, server)
        yield Witness(base, folder / "log")


def marked(request: Json) -> Json:
    """The request as one that tells of a person in every text that a record system may fill."""
    about: Json = json.loads(json.dumps(request).replace(PATIENT, "Sentinel-patient-id"))
    about["context"]["userId"] = USER
    about["fhirServer"] = "https://sentinel-server.example/fhir"
    about["fhirAuthorization"] = {"access_token": TOKEN, "token_type": "Bearer"}
    person = about["prefetch"].get("patient")
    if isinstance(person, dict):
        person["name"] = [{"family": "Sentinel-family", "given": ["Sentinel-given"]}]
        person["telecom"] = [{"value": "Sentinel-telephone"}]
    return about


def test_nothing_of_a_person_is_told(witness: Witness, service: Client) -> None:
    """All vignettes, then a rich chart broken in every place, read at the level DEBUG."""
    sent: set[str] = set()
    for vignette in (*PATIENT_VIEW, *ORDERS):
        request = service.request(*vignette.chart, hook=vignette.hook, drafts=vignette.drafts)
        witness.send(json.dumps(marked(request)).encode(), vignette.hook)
        birth = (request["prefetch"].get("patient") or {}).get("birthDate")
        sent |= {birth} if birth else set()
    whole = marked(service.request(*RICH))
    places = [p for p in paths(whole) if not isinstance(at(whole, p), dict | list)]
    for place in places[:: max(1, len(places) // 250)]:
        for value in (f"{SENTINEL}-{place[-1]}", {SENTINEL: SENTINEL}, [SENTINEL]):
            if place[-1] not in _SAID_ALOUD:
                witness.send(json.dumps(replaced(whole, place, value)).encode())
    for body in (b'{"Sentinel', b'{"hook": "Sentinel"}', b"\xffSentinel", b'"Sentinel"', b""):
        witness.send(body)
    witness.send(b"{}", jti="Sentinel-jti", iat=1, exp=2, tenant="Sentinel-tenant")
    witness.send(b"{}", iss="https://sentinel-issuer.example")
    assert {200, 400, 401, 412} == witness.statuses
    told = witness.said()
    assert len(re.findall(r" audit \{", told)) >= len(witness.tokens)
    assert SENTINEL.lower() not in told.lower()
    assert not [token for token in witness.tokens if token.rsplit(".", 1)[1] in told]
    assert not [day for day in sent if day in told]


def test_values_are_not_told_either(witness: Witness, service: Client) -> None:
    before = len(witness.said())
    chart = (patient(58), alp("27.3517", -45, 35), alp(31.7193, -300, 35))
    for request in (
        service.request(*chart),
        with_prefetch(
            service.request(*chart), patient={"resourceType": "Patient", "id": "17.9371"}
        ),
    ):
        witness.send(json.dumps(request).encode())
    told = witness.said()[before:]
    assert not [value for value in ("27.3517", "31.7193", "17.9371") if value in told]


def test_the_line_says_who_asked_what_about_whom(witness: Witness, service: Client) -> None:
    witness.send(json.dumps(marked(service.request(*LOW))).encode())
    line = [x for x in witness.said().splitlines() if " audit {" in x and '"cards"' in x][-1]
    told = json.loads(line.partition(" audit ")[2])
    assert told.pop("ms") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("at"))
    assert re.fullmatch(r"[0-9a-f]{32}", told.pop("request_id"))
    assert told.pop("situation")
    assert isinstance(told.pop("cards"), int), "which, depends on the day of the test"
    assert told == {
        "client": "ehr",
        "endpoint": "services.call",
        "hook": "patient-view",
        "patient": pseudonym(HASH_KEY, "ehr", "Sentinel-patient-id"),
        "user": pseudonym(HASH_KEY, "ehr", USER),
        "status": 200,
        "outcome": "answered",
    }
    assert VIEW.endswith(told["hook"])
