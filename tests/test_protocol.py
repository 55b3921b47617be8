"""CDS Hooks, row by row of the requirements: each test names the rows that it checks."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests
from fhir.resources.R4B.servicerequest import ServiceRequest

from cds_service.app import create_app
from cds_service.guidance import Advisor
from tests.charts import (
    LOINC,
    PATIENT,
    SNOMED,
    Json,
    alp,
    lab,
    patient,
    taking,
)
from tests.conftest import CANONICAL, Client, open_settings, orders, slug
from tests.hostile import (
    ADDRESS,
    LOW,
    MEDICATIONS,
    bundle_of,
    send,
    serving,
    with_prefetch,
    without,
)
from tests.vignettes import PATIENT_VIEW, Vignette

ROOT = Path(__file__).parent.parent
LIBRARY = {  # hook: its published version (table of section 3)
    "patient-view": "1.0",
    "order-select": "1.0",
    "order-sign": "1.0",
}
EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
FAILED = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "timeout", "diagnostics": "Sentinel-db01 is down"}],
}
OPTIONAL = {  # prefetch key: what a card calls it when it did not come
    "laboratory": "other laboratory and ALPL results",
    "medicationStatements": "medication statements",
    "medicationRequests": "prescriptions",
    "medicationAdministrations": "administered doses and infusions",
    "medicationDispenses": "dispensed medicines",
    "conditions": "diagnoses",
    "procedures": "procedures",
    "encounters": "hospital stays",
    "serviceRequests": "orders already placed",
    "pregnancy": "pregnancy status and due date",
}
each_optional = pytest.mark.parametrize("key, name", OPTIONAL.items(), ids=OPTIONAL)
each_required = pytest.mark.parametrize("key", ["patient", "alp"])


@pytest.fixture(scope="module")
def low(service: Client) -> Json:
    """A call with everything that was asked for; the answer is one card with suggestions."""
    return service.request(*LOW)


@pytest.fixture(scope="module")
def discovery(service: Client) -> Json:
    """The discovery document."""
    document: Json = service.get("/cds-services").json()
    return document


@pytest.fixture(scope="module")
def offered(discovery: Json) -> list[Json]:
    """The services on offer."""
    services: list[Json] = discovery["services"]
    return services


def refused(response: requests.Response, status: int, *named: str) -> str:
    """The diagnostics of a refusal with that status, which name these words."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    document = response.json()
    assert document["resourceType"] == "OperationOutcome"
    diagnostics: str = document["issue"][0]["diagnostics"]
    assert all(word in diagnostics for word in named), diagnostics
    return diagnostics


def cards_of(service: Client, request: Any) -> list[Json]:
    """The cards for a request that is to be answered."""
    response = send(service, request)
    assert response.status_code == 200, response.text
    cards: list[Json] = response.json()["cards"]
    return cards


def same(cards: list[Json]) -> str:
    """Cards as text in which nothing differs from call to call."""
    return re.sub(r'"uuid": "[^"]+"', "", json.dumps(cards))


def empties(value: Any, where: str = "$") -> Iterator[str]:
    """The places of members that are null or empty."""
    if value is None or value == "" or value == [] or value == {}:
        yield where
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from empties(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from empties(inner, f"{where}[{index}]")


# --- 1 Discovery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/cds-services", "/cds-services/"])
def test_disc_1_discovery_is_always_available(service: Client, address: str) -> None:
    assert service.get(address).status_code == 200


def test_disc_2_disc_3_the_answer_is_an_object_with_a_list_of_services(discovery: Json) -> None:
    assert list(discovery) == ["services"]
    assert isinstance(discovery["services"], list)
    assert discovery["services"], "something is on offer"


@pytest.mark.parametrize(
    "row, member",
    [
        ("DISC-4", "hook"),
        ("DISC-5", "title"),
        ("DISC-6", "description"),
        ("DISC-7", "id"),
        ("DISC-9", "usageRequirements"),
        ("DISC-10", "version"),
        ("DISC-11", "hookVersion"),
    ],
)
def test_disc_4_to_11_members_are_strings(offered: list[Json], row: str, member: str) -> None:
    for service in offered:
        assert isinstance(service[member], str), row
        assert service[member].strip(), row


def test_disc_4_to_12_no_other_members(offered: list[Json]) -> None:
    """A strict client of 3.0 finds nothing that it does not know."""
    known = {"hook", "title", "description", "id", "prefetch", "usageRequirements", "version"}
    for service in offered:
        assert set(service) <= known | {"hookVersion", "extension"}


def test_disc_6_the_description_reads_well_as_plain_text(offered: list[Json]) -> None:
    for service in offered:
        assert not re.search(r"[<>`*_\[\]#|\n]", service["description"])


def test_disc_7_disc_18_the_id_is_the_address(service: Client, offered: list[Json]) -> None:
    for each in offered:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", each["id"])
        response = service.post(f"/cds-services/{each['id']}", json={})
        assert response.status_code == 400, "the service is there and wants a call"


def test_disc_8_prefetch_is_an_object_of_strings(offered: list[Json]) -> None:
    for service in offered:
        assert service["prefetch"]
        assert all(k and isinstance(v, str) and v for k, v in service["prefetch"].items())


def test_disc_10_version_is_that_of_the_specification(offered: list[Json]) -> None:
    assert {s["version"] for s in offered} == {"3.0.0"}


def test_disc_11_hook_version_is_the_published_one(offered: list[Json]) -> None:
    assert {s["hook"]: s["hookVersion"] for s in offered}.items() <= LIBRARY.items()


def test_disc_12_an_id_and_a_hook_name_one_service(offered: list[Json]) -> None:
    pairs = [(s["id"], s["hook"]) for s in offered]
    assert len(set(pairs)) == len(pairs)
    assert len({s["id"] for s in offered}) == len(pairs), "real clients key a service by its URL"


def test_disc_13_discovery_is_json(service: Client) -> None:
    response = service.get("/cds-services")
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.content.decode("utf-8"))


def test_disc_14_json_1_nothing_in_discovery_is_null_or_empty(discovery: Json) -> None:
    assert not list(empties(discovery))


def test_disc_15_ext_3_extensions_are_objects_with_reverse_dns_names(offered: list[Json]) -> None:
    for service in offered:
        assert_extension(service.get("extension", {"org.example.none": 1}))


def test_disc_16_hooks_are_those_of_the_library(offered: list[Json]) -> None:
    assert {s["hook"] for s in offered} <= LIBRARY.keys()


@pytest.mark.parametrize("accept", ["application/json", "text/html", "image/png", "*/*;q=0", ""])
def test_disc_17_discovery_does_not_depend_on_accept(
    service: Client, discovery: Json, accept: str
) -> None:
    response = service.get("/cds-services", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.json() == discovery


def test_disc_17_discovery_is_stable(service: Client) -> None:
    first, second = service.get("/cds-services"), service.get("/cds-services")
    assert first.content == second.content
    assert first.headers["ETag"] == second.headers["ETag"]
    known = service.get("/cds-services", headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_disc_17_pf_2_another_process_offers_the_same(service: Client, tmp_path: Path) -> None:
    """Another order of sets and dicts must not change a template: EHRs compare and cache them."""
    program = (
        "import sys; from cds_service.app import create_app; from cds_service.settings import Settings;"
        "app = create_app(Settings(auth='off', database_url=sys.argv[1])).test_client();"
        "sys.stdout.buffer.write(app.get('/cds-services').data)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/memory.sqlite3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        check=True,
    )
    assert told.stdout == service.get("/cds-services").content


def test_disc_19_the_readme_documents_every_service(offered: list[Json]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for service in offered:
        assert service["id"] in readme
        assert service["hook"] in readme


# --- 2 Request -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b'{"hook":', b"\xff", b'{"a":"\xc3("}', b'{"a":1,}', b"{}{}", b"a=1"]
)
def test_req_1_what_is_not_json_is_400(service: Client, body: bytes) -> None:
    refused(send(service, body), 400)


@pytest.mark.parametrize("body", [[], "patient-view", 1, True, None, [{}]], ids=repr)
def test_req_2_what_is_no_object_is_400(service: Client, body: Any) -> None:
    refused(send(service, body), 400)


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/fhir+json", "application/x-www-form-urlencoded", "json", ""],
)
def test_req_3_another_content_type_is_415(service: Client, low: Json, media: str) -> None:
    refused(send(service, low, headers={"Content-Type": media}), 415, "application/json")


def test_req_3_no_content_type_is_415(service: Client, low: Json) -> None:
    refused(service.post(ADDRESS, data=json.dumps(low).encode()), 415, "application/json")


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json;charset=UTF-8",
        "application/json; charset=utf-8",
        "Application/JSON",
        'application/json; charset="iso-8859-1"; x=y',
    ],
)
def test_req_3_json_with_any_parameter_is_accepted(service: Client, low: Json, media: str) -> None:
    assert send(service, low, headers={"Content-Type": media}).status_code == 200


each_member = pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])


@each_member
def test_req_4_a_required_member_that_is_missing_is_400(
    service: Client, low: Json, member: str
) -> None:
    refused(send(service, without(low, member)), 400, member)


@each_member
def test_req_5_a_required_member_that_is_null_is_400(
    service: Client, low: Json, member: str
) -> None:
    response = send(service, {**low, member: None})
    refused(response, 400)
    assert member in response.text


@pytest.mark.parametrize(
    "member, value",
    [
        ("hook", 1),
        ("hook", ["patient-view"]),
        ("hookInstance", 1),
        ("hookInstance", {}),
        ("fhirServer", 1),
        ("fhirServer", ["https://ehr.example"]),
        ("context", []),
        ("context", "x"),
        ("prefetch", []),
        ("prefetch", "x"),
        ("fhirAuthorization", "Bearer x"),
        ("fhirAuthorization", []),
    ],
)
def test_req_6_a_member_of_the_wrong_type_is_400(
    service: Client, low: Json, member: str, value: Any
) -> None:
    request = {**low, "fhirServer": "https://ehr.example/fhir", member: value}
    response = send(service, request)
    refused(response, 400)
    assert member in response.text


@pytest.mark.parametrize("member, value", [("hook", ""), ("hookInstance", ""), ("context", {})])
def test_req_7_a_required_member_that_is_empty_is_400(
    service: Client, low: Json, member: str, value: Any
) -> None:
    response = send(service, {**low, member: value})
    refused(response, 400)
    assert member in response.text


@pytest.mark.parametrize(
    "hook", ["order-sign", "order-select", "Patient-View", "patient-view ", "x"]
)
def test_req_8_disc_12_a_hook_that_is_not_advertised_here_is_400(
    service: Client, low: Json, hook: str
) -> None:
    refused(send(service, {**low, "hook": hook}), 400, "patient-view")


UUID_4 = "5f1c7d0e-9b1a-4c3e-8d2f-7a6b5c4d3e2f"


@pytest.mark.parametrize(
    "instance", [UUID_4, UUID_4.upper(), f"urn:uuid:{UUID_4}", "7", "not a uuid"]
)
def test_req_9_the_hook_instance_may_be_any_string(
    service: Client, low: Json, instance: str
) -> None:
    assert len(cards_of(service, {**low, "hookInstance": instance})) == 1


def test_req_10_deep_nesting_is_refused(service: Client) -> None:
    refused(send(service, b"[" * 100_000), 400)


def test_req_11_a_body_beyond_the_limit_is_413(service: Client) -> None:
    refused(send(service, b" " * (10 * 1024 * 1024 + 1)), 413)


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b'"\\ud800"', b'"\x00"', b"7" * 6000])
def test_req_12_odd_values_are_no_fault_of_ours(service: Client, low: Json, value: bytes) -> None:
    body = json.dumps({**low, "unread": "@"}).encode().replace(b'"@"', value)
    assert send(service, body).status_code in (200, 400)


@pytest.mark.parametrize(
    "server, status",
    [
        ("https://ehr.example/fhir", 200),
        ("http://localhost:8080/fhir/", 200),
        ("https://[2001:db8::1]:8443/r4", 200),
        ("ehr.example/fhir", 400),
        ("/fhir", 400),
        ("ftp://ehr.example", 400),
        ("file:///etc/passwd", 400),
        ("https://", 400),
        ("http://[", 400),
    ],
)
def test_req_14_fhir_server_is_an_http_url(
    service: Client, low: Json, server: str, status: int
) -> None:
    assert send(service, {**low, "fhirServer": server}).status_code == status


def test_req_14_an_authorization_without_its_server_is_400(service: Client, low: Json) -> None:
    token = {"access_token": "Sentinel-t0k3n", "token_type": "Bearer", "expires_in": 300}
    assert "Sentinel" not in refused(
        send(service, {**low, "fhirAuthorization": token}), 400, "fhirServer"
    )
    both = {**low, "fhirAuthorization": token, "fhirServer": "https://ehr.example/fhir"}
    assert len(cards_of(service, both)) == 1


UNKNOWN: dict[str, Any] = {
    "string": "x",
    "object": {"a": {"b": [1, None]}},
    "null": None,
    "array": [],
    "number": 1.5,
}
unknown = pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN)


@unknown
def test_req_20_unknown_members_are_ignored(service: Client, low: Json, value: Any) -> None:
    for member in ("user", "oauth", "redirect", "preferences"):
        assert same(cards_of(service, {**low, member: value})) == same(cards_of(service, low))


@unknown
def test_req_21_unknown_context_members_are_ignored(service: Client, low: Json, value: Any) -> None:
    changed = {**low, "context": {**low["context"], "tenantId": value}}
    assert same(cards_of(service, changed)) == same(cards_of(service, low))


@unknown
def test_ext_1_an_extension_never_breaks_the_call(service: Client, low: Json, value: Any) -> None:
    changed = {**low, "extension": value}
    changed["context"] = {**low["context"], "extension": value}
    changed["prefetch"] = {**low["prefetch"], "alp": {**low["prefetch"]["alp"], "extension": value}}
    assert same(cards_of(service, changed)) == same(cards_of(service, low))


@pytest.mark.parametrize("value", [None, "", {}], ids=repr)
def test_json_2_optional_members_that_are_empty_are_as_good_as_absent(
    service: Client, low: Json, value: Any
) -> None:
    if value != {}:
        assert len(cards_of(service, {**low, "fhirServer": value})) == 1
        context = {**low["context"], "encounterId": value}
        assert len(cards_of(service, {**low, "context": context})) == 1
    if value != "":
        assert send(service, {**low, "prefetch": value}).status_code == 412
        request = {**low, "fhirServer": "https://ehr.example/fhir", "fhirAuthorization": value}
        assert len(cards_of(service, request)) == 1


# --- 3 Context -----------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["userId", "patientId"])
def test_ctx_1_ctx_pv_a_missing_required_field_is_400(
    service: Client, low: Json, field: str
) -> None:
    response = send(service, {**low, "context": without(low["context"], field)})
    refused(response, 400, field)


def test_ctx_2_ctx_pv_encounter_id_is_optional(service: Client, low: Json) -> None:
    context = low["context"]
    (card,) = cards_of(service, {**low, "context": {**context, "encounterId": "enc-1"}})
    (other,) = cards_of(service, {**low, "context": without(context, "encounterId")})
    for suggestion in card["suggestions"]:
        draft = suggestion["actions"][0]["resource"]
        assert draft.pop("encounter") == {"reference": "Encounter/enc-1"}
    assert same([card]) == same([other])


@pytest.mark.parametrize(
    "kind, cards",
    [("Practitioner", 1), ("PractitionerRole", 1), ("Patient", 0), ("RelatedPerson", 0)],
)
def test_ctx_3_ctx_pv_every_type_of_user_is_accepted(
    service: Client, low: Json, kind: str, cards: int
) -> None:
    """Cards are for clinicians; a portal gets a proper answer all the same."""
    context = {**low["context"], "userId": f"{kind}/u-1"}
    assert len(cards_of(service, {**low, "context": context})) == cards


@pytest.mark.parametrize("user", ["Practitioner", "Practitioner/", "/1", "1", "practitioner/1", ""])
def test_ctx_pv_a_user_id_without_type_or_id_is_400(service: Client, low: Json, user: str) -> None:
    response = send(service, {**low, "context": {**low["context"], "userId": user}})
    refused(response, 400)
    assert "userId" in response.text


@pytest.mark.parametrize("field", ["patientId", "encounterId"])
@pytest.mark.parametrize("value", ["a/b", "a?b", "../a", "a|b", "a b", "Patient/1", "a" * 65])
def test_ctx_8_an_id_is_a_fhir_id(service: Client, low: Json, field: str, value: str) -> None:
    context = {**low["context"], field: value}
    assert value not in refused(send(service, {**low, "context": context}), 400, field)


# --- 4 Prefetch ----------------------------------------------------------------------------------

# Search parameters of R4, by resource type; what may be sorted by stands behind `_sort`.
SEARCH = {
    "Observation": {"patient", "code", "_sort=date"},
    "MedicationStatement": {"patient", "_sort=effective"},
    "MedicationRequest": {"patient", "_sort=authoredon"},
    "MedicationAdministration": {"patient", "_sort=effective-time"},
    "MedicationDispense": {"patient", "_sort=whenhandedover"},
    "Condition": {"patient", "_sort=recorded-date"},
    "Procedure": {"patient", "_sort=date"},
    "Encounter": {"patient", "_sort=date"},
    "ServiceRequest": {"patient", "status", "_sort=authored"},
}


def templates(offered: list[Json]) -> Iterator[tuple[str, str]]:
    for service in offered:
        yield from service["prefetch"].items()


def test_pf_2_templates_ask_for_one_patient_by_a_plain_token(offered: list[Json]) -> None:
    for key, template in templates(offered):
        assert re.findall(r"\{\{.*?\}\}", template) == ["{{context.patientId}}"], key
        assert not re.search(r"[{}%]", template.replace("{{context.patientId}}", "")), key


def test_pf_2_templates_are_reads_or_type_searches(offered: list[Json]) -> None:
    for key, template in templates(offered):
        if template != "Patient/{{context.patientId}}":
            kind, _, query = template.partition("?")
            assert kind in SEARCH, key
            assert query.startswith("patient={{context.patientId}}&"), key


def test_pf_2_templates_use_allowed_parameters_only(offered: list[Json]) -> None:
    for key, template in templates(offered):
        kind, _, query = template.partition("?")
        for parameter in filter(None, query.split("&")):
            name, _, value = parameter.partition("=")
            if name == "_sort":
                assert f"_sort={value.removeprefix('-')}" in SEARCH[kind], key
            elif name == "_count":
                assert 0 < int(value) <= 1000, key
            else:
                assert name in SEARCH[kind], f"{key}: {name}"


def test_pf_2_codes_are_given_with_their_system(offered: list[Json]) -> None:
    for key, template in templates(offered):
        for codes in re.findall(r"&code=([^&]*)", template):
            found = codes.split(",")
            assert len(set(found)) == len(found), key
            assert all(re.fullmatch(r"(https?://|urn:)[^|\s]+\|[^|\s]+", c) for c in found), key


def test_pf_2_a_template_is_short_enough_for_a_get(offered: list[Json]) -> None:
    for key, template in templates(offered):
        assert len(template) < 2000, key


@unknown
def test_pf_7_keys_that_were_not_asked_for_are_ignored(
    service: Client, low: Json, value: Any
) -> None:
    changed = with_prefetch(low, allergies=value, **{"": value, "ALP": bundle_of(alp(5, -1, 35))})
    assert same(cards_of(service, changed)) == same(cards_of(service, low))


@each_required
def test_pf_8_err_3_required_data_that_did_not_come_are_412(
    service: Client, low: Json, key: str
) -> None:
    refused(send(service, with_prefetch(low, **{key: ...})), 412, f"'{key}'")


def test_pf_8_no_prefetch_at_all_is_412(service: Client, low: Json) -> None:
    refused(send(service, without(low, "prefetch")), 412)
    refused(send(service, {**low, "prefetch": {}}), 412)


def test_pf_8_a_fhir_server_without_prefetch_is_412_until_it_is_asked(
    service: Client, low: Json
) -> None:
    """An address that is never called: the `.invalid` domain does not exist."""
    request = {**without(low, "prefetch"), "fhirServer": "https://ehr.invalid/fhir"}
    request["fhirAuthorization"] = {"access_token": "t", "token_type": "Bearer"}
    refused(send(service, request), 412)


def test_pf_8_pf_12_one_source_of_medications_is_required(service: Client, low: Json) -> None:
    none = dict.fromkeys(MEDICATIONS, ...)
    refused(send(service, with_prefetch(low, **none)), 412, *MEDICATIONS)
    for key in MEDICATIONS:
        one = with_prefetch(low, **{**none, key: None})
        (card,) = cards_of(service, one)
        assert all(OPTIONAL[k] in card["detail"] for k in MEDICATIONS if k != key)
        assert OPTIONAL[key] not in card["detail"]


@pytest.mark.parametrize("nothing", [None, EMPTY, {**EMPTY, "entry": []}], ids=repr)
@pytest.mark.parametrize("key", OPTIONAL)
def test_pf_14_null_and_an_empty_bundle_are_the_answer_that_there_is_none(
    service: Client, low: Json, key: str, nothing: Any
) -> None:
    (card,) = cards_of(service, with_prefetch(low, **{key: nothing}))
    assert "Not available" not in card["detail"]


@pytest.mark.parametrize("nothing", [None, EMPTY, {**EMPTY, "entry": []}], ids=repr)
def test_pf_14_no_alp_on_record_is_nothing_to_say(service: Client, low: Json, nothing: Any) -> None:
    assert cards_of(service, with_prefetch(low, alp=nothing)) == []


@pytest.mark.parametrize("nothing", [None, EMPTY], ids=repr)
def test_pf_14_no_patient_is_412(service: Client, low: Json, nothing: Any) -> None:
    refused(send(service, with_prefetch(low, patient=nothing)), 412, "'patient'")


@pytest.mark.parametrize("severity", ["fatal", "error", "warning", "information"])
@each_required
def test_pf_16_an_outcome_in_the_place_of_required_data_is_412(
    service: Client, low: Json, key: str, severity: str
) -> None:
    """Whatever it complains about, the data are not there."""
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "x"}]}
    refused(send(service, with_prefetch(low, **{key: outcome})), 412, f"'{key}'")


@each_required
def test_pf_16_an_outcome_as_the_only_entry_of_required_data_is_412(
    service: Client, low: Json, key: str
) -> None:
    changed = with_prefetch(low, **{key: bundle_of(FAILED)})
    assert "Sentinel" not in refused(send(service, changed), 412, f"'{key}'")


@pytest.mark.parametrize("value", [FAILED, bundle_of(FAILED), {"resourceType": "OperationOutcome"}])
@each_optional
def test_pf_16_an_outcome_in_the_place_of_other_data_is_named(
    service: Client, low: Json, key: str, name: str, value: Json
) -> None:
    (card,) = cards_of(service, with_prefetch(low, **{key: value}))
    assert f"Not available in this call: {name}" in card["detail"]
    assert "Sentinel" not in json.dumps(card)


def test_pf_16_an_outcome_beside_results_is_named(service: Client, low: Json) -> None:
    (card,) = cards_of(service, with_prefetch(low, alp=bundle_of(*LOW, FAILED)))
    assert slug(card) == "persistent-low-alp"
    assert re.search(r"Not available in this call: ALP results that .*not retrieve", card["detail"])


def test_pf_16_a_mere_hint_beside_results_is_no_gap(service: Client, low: Json) -> None:
    hint = {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "x"}]}
    (card,) = cards_of(service, with_prefetch(low, alp=bundle_of(*LOW, hint)))
    assert "Not available" not in card["detail"]
    assert cards_of(service, with_prefetch(low, alp=bundle_of(hint))) == []


@each_optional
def test_pf_12_an_absent_key_is_named_and_not_taken_as_none(
    service: Client, low: Json, key: str, name: str
) -> None:
    (card,) = cards_of(service, with_prefetch(low, **{key: ...}))
    assert f"Not available in this call: {name}" in card["detail"]


def test_pf_12_all_optional_keys_may_be_absent(service: Client, low: Json) -> None:
    absent = dict.fromkeys((k for k in OPTIONAL if k != "medicationStatements"), ...)
    (card,) = cards_of(service, with_prefetch(low, **absent))
    assert slug(card) == "persistent-low-alp"


def test_pf_24_a_page_that_is_not_the_last_is_named(service: Client, low: Json) -> None:
    page = {**bundle_of(*LOW), "link": [{"relation": "next", "url": "https://ehr.invalid/2"}]}
    (card,) = cards_of(service, with_prefetch(low, alp=page))
    assert "ALP results beyond the first page" in card["detail"]


FOREIGN = {"reference": "Patient/somebody-else"}


def test_pf_37_another_patient_is_refused(service: Client, low: Json) -> None:
    other = patient(id="somebody-else")
    diagnostics = refused(send(service, with_prefetch(low, patient=other)), 412, "'patient'")
    assert "somebody-else" not in diagnostics


def test_pf_37_rows_about_another_patient_are_never_used(service: Client, low: Json) -> None:
    own = alp(70, -10, 35)
    rows = [alp(5, -5, 35, subject=FOREIGN), alp(6, -300, 35, subject=FOREIGN)]
    assert cards_of(service, with_prefetch(low, alp=bundle_of(own, *rows))) == []
    drug = {**taking("alendronate", -900), "subject": FOREIGN}
    changed = with_prefetch(low, medicationStatements=bundle_of(drug))
    (card,) = cards_of(service, changed)
    assert slug(card) == "persistent-low-alp"
    assert "Not used: 1 entry (it belongs to another patient)" in card["detail"]
    assert "alendronate since" not in card["detail"]


def test_pf_37_alp_of_other_patients_only_is_412(service: Client, low: Json) -> None:
    rows = bundle_of(*(alp(5, on, 35, subject=FOREIGN) for on in (-5, -300)))
    refused(send(service, with_prefetch(low, alp=rows)), 412, "'alp'")


@pytest.mark.parametrize(
    "subject",
    [
        f"Patient/{PATIENT}",
        f"https://ehr.example/fhir/Patient/{PATIENT}",
        f"Patient/{PATIENT}/_history/2",
    ],
)
def test_pf_37_every_form_of_reference_to_the_patient_is_known(
    service: Client, low: Json, subject: str
) -> None:
    rows = bundle_of(*({**x, "subject": {"reference": subject}} for x in LOW))
    assert len(cards_of(service, with_prefetch(low, alp=rows))) == 1


@pytest.mark.parametrize(
    "entry",
    [
        alp(None, -5, 35),
        alp(20, -5, 35, effectiveDateTime="2026-10"),
        alp(20, -5, 35, effectiveDateTime="2026"),
        without(alp(20, -5, 35), "effectiveDateTime"),
        without(alp(20, -5, 35), "status"),
        without(alp(20, -5, 35), "id"),
        without(alp(20, -5, 35), "code"),
        alp(20, -5, 35, status="entered-in-error"),
        alp(20, -5, 35, code={"text": "ALP"}),
        alp(20, -5, 35, code={"coding": [{"display": "ALP"}]}),
        alp(20, -5, 35, code={}),
        alp(20, -5, 35, referenceRange=[{"text": "35-120"}]),
        alp(20, -5, 35, referenceRange=[{}, {"low": {}}]),
        alp("haemolysed", -5),
        lab("alp", None, None, -5, dataAbsentReason={"text": "specimen lost"}),
        {"resourceType": "Observation"},
        {**alp(20, -5, 35), "code": "6768-6"},
        {"resourceType": "Observation", "status": []},
    ],
    ids=lambda e: json.dumps(e)[:60],
)
def test_pf_38_odd_entries_never_break_the_answer(service: Client, low: Json, entry: Json) -> None:
    cards = cards_of(service, with_prefetch(low, alp=bundle_of(*LOW, entry)))
    assert len(cards) == 1


# --- 6 Response ----------------------------------------------------------------------------------

FIRING = [v for v in PATIENT_VIEW if v.indicator]
SILENT = [v for v in PATIENT_VIEW if not v.indicator]
each_answer = pytest.mark.parametrize("vignette", FIRING, ids=lambda v: v.id)
_answers: dict[str, requests.Response] = {}


def answer_to(service: Client, vignette: Vignette) -> Json:
    """The answer to a vignette, asked for once; every call comes with an encounter."""
    if vignette.id not in _answers:
        request = service.request(*vignette.chart)
        request["context"]["encounterId"] = "enc-1"
        _answers[vignette.id] = send(service, request)
    response = _answers[vignette.id]
    assert response.status_code == 200
    document: Json = response.json()
    return document


def cards_for(service: Client, vignette: Vignette) -> list[Json]:
    cards: list[Json] = answer_to(service, vignette)["cards"]
    assert cards
    return cards


def suggestions_for(service: Client, vignette: Vignette) -> list[Json]:
    return [s for c in cards_for(service, vignette) for s in c.get("suggestions", [])]


def assert_extension(extension: Any) -> None:
    assert isinstance(extension, dict)
    for name in extension:
        assert re.fullmatch(r"[a-z]+(\.[a-z0-9-]+){2,}", name), name


@each_answer
def test_rsp_1_json_1_the_answer_is_an_object_with_cards_and_nothing_empty(
    service: Client, vignette: Vignette
) -> None:
    document = answer_to(service, vignette)
    assert list(document) == ["cards"]
    assert not list(empties(document))
    assert _answers[vignette.id].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("vignette", SILENT, ids=lambda v: v.id)
def test_rsp_2_nothing_to_say_is_200_with_no_cards(service: Client, vignette: Vignette) -> None:
    assert answer_to(service, vignette) == {"cards": []}


@each_answer
def test_rsp_5_a_card_has_the_members_of_the_specification_only(
    service: Client, vignette: Vignette
) -> None:
    """SUG-7: none of them is `actionSelectionBehavior`."""
    for card in cards_for(service, vignette):
        assert set(card) <= {
            *("uuid", "summary", "detail", "indicator", "source", "suggestions"),
            *("selectionBehavior", "overrideReasons", "links", "extension"),
        }
        assert set(card["source"]) <= {"label", "url", "icon", "topic"}
    for suggestion in suggestions_for(service, vignette):
        assert set(suggestion) <= {"label", "uuid", "isRecommended", "actions"}
        for action in suggestion["actions"]:
            assert set(action) <= {"type", "description", "resource"}


@each_answer
def test_card_1_the_summary_is_one_line_below_140_characters(
    service: Client, vignette: Vignette
) -> None:
    for card in cards_for(service, vignette):
        assert 0 < len(card["summary"]) < 140
        assert card["summary"].isprintable()
        assert card["summary"] == card["summary"].strip()
        assert "{" not in card["summary"]


@each_answer
def test_card_4_the_detail_is_markdown_without_html(service: Client, vignette: Vignette) -> None:
    for card in cards_for(service, vignette):
        assert isinstance(card["detail"], str)
        assert not re.search(r"<[A-Za-z/!]", card["detail"])
        assert "{" not in card["detail"], "a placeholder was left"
        rows = [line for line in card["detail"].splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1


@each_answer
def test_card_6_the_indicator_is_one_of_three(service: Client, vignette: Vignette) -> None:
    for card in cards_for(service, vignette):
        assert card["indicator"] in ("info", "warning", "critical")


@each_answer
def test_card_7_sug_5_uuids_are_uuids_and_distinct(service: Client, vignette: Vignette) -> None:
    found = [c["uuid"] for c in cards_for(service, vignette)]
    found += [s["uuid"] for s in suggestions_for(service, vignette)]
    assert all(str(UUID(u)) == u for u in found)
    assert len(set(found)) == len(found)


def test_card_7_another_call_gets_other_uuids(service: Client, low: Json) -> None:
    (first,), (second,) = cards_of(service, low), cards_of(service, low)
    assert first["uuid"] != second["uuid"]
    assert same([first]) == same([second]), "and else the same answer"


@each_answer
def test_src_1_to_4_the_source_has_a_label_and_a_coded_topic(
    service: Client, vignette: Vignette
) -> None:
    for card in cards_for(service, vignette):
        source = card["source"]
        assert isinstance(source["label"], str), "SRC-1"
        for address in (source.get("url"), source.get("icon")):
            assert address is None or is_absolute(address), "SRC-2, SRC-3"
        assert is_absolute(source["topic"]["system"]), "SRC-4"
        assert source["topic"]["code"] == slug(card), "SRC-4"


def is_absolute(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in address


@each_answer
def test_sug_1_suggestions_have_labels(service: Client, vignette: Vignette) -> None:
    for card in cards_for(service, vignette):
        assert card.get("suggestions") != []
    for suggestion in suggestions_for(service, vignette):
        assert isinstance(suggestion["label"], str)
        assert suggestion["actions"]


@each_answer
def test_sug_2_sug_3_sug_4_suggestions_say_how_many_may_be_chosen(
    service: Client, vignette: Vignette
) -> None:
    for card in cards_for(service, vignette):
        suggestions = card.get("suggestions", [])
        assert ("selectionBehavior" in card) == bool(suggestions), "SUG-2"
        assert card.get("selectionBehavior", "any") in ("any", "at-most-one"), "SUG-3"
        flags = [s["isRecommended"] for s in suggestions if "isRecommended" in s]
        assert all(isinstance(f, bool) for f in flags), "SUG-4"
        assert sum(flags) < 2 or card["selectionBehavior"] == "any", "SUG-4"


@each_answer
def test_act_1_act_2_act_3_actions_create_new_resources(
    service: Client, vignette: Vignette
) -> None:
    for suggestion in suggestions_for(service, vignette):
        for action in suggestion["actions"]:
            assert action["type"] == "create", "ACT-1"
            assert action["description"].strip(), "ACT-2"
            assert "id" not in action["resource"], "ACT-3"
            ServiceRequest.model_validate(action["resource"])


@each_answer
def test_act_3_every_suggested_order_is_complete(service: Client, vignette: Vignette) -> None:
    """The row `on every suggested ServiceRequest` of the design."""
    measured = {
        f"Observation/{r['id']}" for r in vignette.chart if r["resourceType"] == "Observation"
    }
    for suggestion in suggestions_for(service, vignette):
        (action,) = suggestion["actions"]
        draft = action["resource"]
        assert draft["resourceType"] == "ServiceRequest"
        assert (draft["status"], draft["intent"]) == ("draft", "proposal")
        own, *others = draft["code"]["coding"]
        assert own["system"] == f"{CANONICAL}/fhir/CodeSystem/orders"
        assert {c["system"] for c in others} <= {LOINC, SNOMED}
        assert draft["code"]["text"]
        assert draft["subject"] == {"reference": f"Patient/{PATIENT}"}
        assert draft["encounter"] == {"reference": "Encounter/enc-1"}
        assert {r["reference"] for r in draft["reasonReference"]} <= measured
        assert draft["reasonCode"][0]["text"]
        assert all(note["text"].strip() for note in draft["note"])


@each_answer
def test_act_3_no_order_is_offered_twice_in_one_answer(service: Client, vignette: Vignette) -> None:
    codes = orders(cards_for(service, vignette))
    assert len(set(codes)) == len(codes)


REASONS = {
    "already-evaluated",
    "specialist-managing",
    "transient-or-known-cause",
    "laboratory-artefact",
    "benefit-judged-greater",
    "patient-declined",
    "palliative-goals",
    "record-wrong",
    "arranged-elsewhere",
}


@each_answer
def test_ovr_1_ovr_2_override_reasons_are_codings_with_display(
    service: Client, vignette: Vignette
) -> None:
    for card in cards_for(service, vignette):
        reasons = card["overrideReasons"]
        assert {r["system"] for r in reasons} == {f"{CANONICAL}/fhir/CodeSystem/override-reasons"}
        assert {r["code"] for r in reasons} <= REASONS
        assert len({r["code"] for r in reasons}) == len(reasons)
        assert all(r["display"].strip() for r in reasons), "OVR-2"


@each_answer
def test_ext_3_the_extension_of_a_card_is_the_agreed_one(
    service: Client, vignette: Vignette
) -> None:
    for card in cards_for(service, vignette):
        assert_extension(card["extension"])
        assert set(card["extension"]) == {
            "org.low-alp-cds.situation",
            "org.low-alp-cds.knowledge-version",
        }
        assert re.fullmatch(
            r"\d+\.\d+\.\d+", card["extension"]["org.low-alp-cds.knowledge-version"]
        )


# --- 7 Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, address, status",
    [
        ("POST", "/cds-services/no-such-service", 404),
        ("POST", "/cds-services/low-alp-patient-view/feedback/x", 404),
        ("POST", "/cds-services/low-alp-patient-view%2F..", 404),
        ("GET", "/cds-service", 404),
        ("POST", "/", 405),
        ("GET", "/no/such/page?patient=Sentinel", 404),
        ("GET", "/cds-services/../../etc/passwd", 404),
        ("GET", "/cds-services/low-alp-patient-view", 405),
        ("PUT", "/cds-services/low-alp-patient-view", 405),
        ("DELETE", "/cds-services/low-alp-patient-view", 405),
        ("POST", "/cds-services", 405),
        ("PATCH", "/cds-services", 405),
    ],
)
def test_err_1_err_2_err_20_err_21_refusals_are_outcomes_in_json(
    service: Client, method: str, address: str, status: int
) -> None:
    """Sent as it stands: `requests` would tidy the path."""
    prepared = requests.Request(method, service.base).prepare()
    prepared.url = service.base + address
    response = requests.Session().send(prepared, timeout=10)
    assert "Sentinel" not in refused(response, status)
    assert ("Allow" in response.headers) == (status == 405), "RFC 9110, 15.5.6"
    assert not list(empties(response.json())), "JSON-1"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png"])
def test_err_2_a_browser_gets_json_too(service: Client, accept: str) -> None:
    refused(service.get("/nothing", headers={"Accept": accept}), 404)


def test_err_3_a_412_names_the_key_and_has_code_processing(service: Client, low: Json) -> None:
    response = send(service, with_prefetch(low, alp=...))
    refused(response, 412, "alp")
    assert response.json()["issue"] == [
        {
            "severity": "error",
            "code": "processing",
            "diagnostics": response.json()["issue"][0]["diagnostics"],
            "expression": ["prefetch.alp"],
        }
    ]


@pytest.fixture
def failing(advisor: Advisor) -> Iterator[Client]:
    """A service whose clock fails with a patient's name in the message."""
    name = "-".join(("Sentinel", "Jane", "Doe"))  # not as it stands in a logged line of source

    def clock() -> date:
        raise RuntimeError(name)

    with serving(create_app(open_settings(), today=clock), advisor) as client:
        yield client


def test_err_21_a_fault_of_ours_is_500_without_a_word_of_the_cause(
    failing: Client, low: Json, caplog: pytest.LogCaptureFixture
) -> None:
    response = send(failing, low)
    diagnostics = refused(response, 500)
    assert not re.search(r"Sentinel|Traceback|RuntimeError|\.py", response.text)
    (reference,) = re.findall(r"[0-9a-f]{12}", diagnostics)
    assert reference in caplog.text
    assert "Sentinel-Jane-Doe" not in caplog.text


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-nothing"])
def test_err_20_an_encoded_body_is_refused(service: Client, low: Json, encoding: str) -> None:
    response = send(service, low, headers={"Content-Encoding": encoding})
    assert response.status_code in (400, 415)
    refused(response, response.status_code, "Content-Encoding")


# --- 11, 13, 14 Old and new clients --------------------------------------------------------------


def test_a_client_from_before_1_0(service: Client, low: Json) -> None:
    """REQ-20: `user` at the root and in it what is now in the context."""
    old = {**low, "user": "Practitioner/example", "patient": PATIENT, "oauth": None}
    assert same(cards_of(service, old)) == same(cards_of(service, low))


def test_a_client_of_1_0(service: Client, low: Json) -> None:
    """PF-12: it leaves out the keys that it could not fill, and sends null for empty searches."""
    prefetch = {
        k: v if v.get("entry") or k == "patient" else None for k, v in low["prefetch"].items()
    }
    request = with_prefetch({**low, "prefetch": prefetch}, encounters=..., laboratory=...)
    (card,) = cards_of(service, request)
    assert slug(card) == "persistent-low-alp"
    assert "other laboratory and ALPL results and hospital stays" in card["detail"]


def test_a_prefetch_of_before_1_0_is_412_and_not_silence(service: Client, low: Json) -> None:
    wrapped = {
        key: {"response": {"status": "200 OK"}, "resource": value}
        for key, value in low["prefetch"].items()
    }
    refused(send(service, {**low, "prefetch": wrapped}), 412)


def test_the_reference_sandbox(service: Client, low: Json) -> None:
    """No encounterId, an open server without token, failed keys left out, `//` in the address."""
    searched = {
        key: {
            **low["prefetch"][key],
            "id": UUID_4,
            "meta": {"lastUpdated": "2026-11-01T09:00:00.000+00:00"},
            "total": len(low["prefetch"][key]["entry"]),
            "link": [{"relation": "self", "url": f"https://open.example/r4/{key}/_search"}],
            "entry": [
                {**e, "fullUrl": f"https://open.example/r4/x/{i}", "search": {"mode": "match"}}
                for i, e in enumerate(low["prefetch"][key]["entry"])
            ],
        }
        for key in ("alp", "medicationStatements", "conditions")
    }
    request = {
        "hookInstance": UUID_4,
        "hook": "patient-view",
        "fhirServer": "https://open.example/r4",
        "context": {"userId": "Practitioner/COREPRACTITIONER1", "patientId": PATIENT},
        "prefetch": {"patient": low["prefetch"]["patient"], **searched},
    }
    headers = {"Accept": "application/json", "Origin": "https://sandbox.cds-hooks.org"}
    response = service.post(
        f"/cds-services//{ADDRESS.rsplit('/', 1)[1]}", json=request, headers=headers
    )
    assert response.status_code == 200, response.text
    (card,) = response.json()["cards"]
    assert slug(card) == "persistent-low-alp"
    assert "Not available in this call" in card["detail"]


def test_the_reference_sandbox_without_any_prefetch_is_412(service: Client, low: Json) -> None:
    request = {**without(low, "prefetch"), "fhirServer": "https://open.example/r4"}
    refused(send(service, request), 412)


def test_the_sandbox_shows_what_a_fuller_client_shows(service: Client, low: Json) -> None:
    """Nothing that only a client of 3.0 sends is needed for the same advice."""
    fuller = {
        **low,
        "fhirServer": "https://ehr.example/fhir",
        "fhirAuthorization": {
            "access_token": "t",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "patient/Observation.rs user/*.cruds launch",
            "subject": "low-alp-cds",
            "patient": PATIENT,
        },
    }
    assert same(cards_of(service, fuller)) == same(cards_of(service, low))


def test_pf_35_the_order_of_members_and_entries_tells_nothing(service: Client, low: Json) -> None:
    backwards = dict(reversed(low.items()))
    backwards["prefetch"] = dict(reversed(low["prefetch"].items()))
    backwards["prefetch"]["alp"] = bundle_of(*reversed(LOW))
    assert same(cards_of(service, backwards)) == same(cards_of(service, low))
