"""What an attacker, or a careless record system, once got through: each stays closed."""

import json
from typing import Any

import pytest

from tests.charts import (
    LOINC,
    PATIENT,
    RXNORM,
    SNOMED,
    Json,
    alp,
    concept,
    condition,
    day,
    draft,
    ordered,
    patient,
    procedure,
    stay,
    taking,
)
from tests.conftest import Client, quickest, slug

LOW = [alp(26, -400, 35), alp(28, -60, 35)]
HPP = condition("hypophosphatasia")
CRITICAL = ["hpp-antiresorptive-order: critical"]
PERSISTENT = ["persistent-low-alp-antiresorptive-order: warning"]
SOMEBODY = {"reference": "Patient/somebody-else"}


def signed(service: Client, chart: list[Json], *drafts: Json) -> list[str]:
    """The cards at order-sign."""
    cards = service.fire(*chart, hook="order-sign", drafts=drafts)
    return [f"{slug(c)}: {c['indicator']}" for c in cards]


def viewed(service: Client, *chart: Json) -> list[str]:
    """The cards at patient-view."""
    return [slug(c) for c in service.fire(*chart)]


def refused(service: Client, request: Json, status: int) -> str:
    """The diagnostics of a refusal."""
    answer = service.post(f"/cds-services/low-alp-{request['hook']}", json=request)
    assert answer.status_code == status, answer.text
    diagnostics: str = answer.json()["issue"][0]["diagnostics"]
    return diagnostics


# --- other people's data


@pytest.mark.parametrize(
    "subject",
    [
        "http://other.example/fhir/Patient/" + PATIENT,
        "Group/g/Patient/" + PATIENT,
        "http://ehr.example/fhir/Patient/x?y=/Patient/" + PATIENT,
    ],
)
def test_a_subject_that_only_looks_like_ours(service: Client, subject: str) -> None:
    request = service.request(*LOW)
    request["fhirServer"] = "http://ehr.example/fhir"
    for entry in request["prefetch"]["alp"]["entry"]:
        entry["resource"]["subject"] = {"reference": subject}
    assert "not about context.patientId" in refused(service, request, 412)


def test_an_absolute_subject_on_the_server_of_the_call_is_ours(service: Client) -> None:
    request = service.request(*LOW)
    request["fhirServer"] = "http://ehr.example/fhir/"
    ours = {"reference": f"http://ehr.example/fhir/Patient/{PATIENT}/_history/3"}
    for entry in request["prefetch"]["alp"]["entry"]:
        entry["resource"]["subject"] = ours
    assert [slug(c) for c in service.send(request)] == ["persistent-low-alp"]


def test_a_foreign_copy_does_not_displace_the_patients_result(service: Client) -> None:
    newer = {**LOW[1], "subject": SOMEBODY, "meta": {"lastUpdated": "2030-01-01T00:00:00Z"}}
    assert viewed(service, *LOW, newer) == ["persistent-low-alp"]


def test_a_result_about_a_donor_or_a_fetus_is_not_the_patients(service: Client) -> None:
    donor = alp(9, -10, 35, focus=[{"reference": "RelatedPerson/donor"}])
    assert viewed(service, alp(70, -20, 35), donor) == []


@pytest.mark.parametrize("more", [{"subject": SOMEBODY}, {"verificationStatus": "refuted"}])
def test_a_reason_that_is_not_the_patients_softens_nothing(service: Client, more: Json) -> None:
    if "verificationStatus" in more:
        more = {"verificationStatus": {"coding": [{"code": "Refuted"}]}}
    cancer = condition("bone metastases", id="why", **more)
    order = draft("alendronate", reasonReference=[{"reference": "Condition/why"}])
    assert signed(service, [*LOW, HPP, cancer], order) == CRITICAL


@pytest.mark.parametrize(
    "reference", ["Medication/7/_history/2", "http://other.example/Medication/2"]
)
def test_a_reference_means_no_other_resource(service: Client, reference: str) -> None:
    """Version 2 of Medication 7 is not Medication 2, and neither is that of another server."""
    medication = {"resourceType": "Medication", "id": "2", "code": {"text": "alendronate"}}
    address = {"fullUrl": "http://ehr.example/Medication/2", "resource": medication}
    order = draft("alendronate")
    del order["medicationCodeableConcept"]
    order["medicationReference"] = {"reference": reference, "display": "paracetamol"}
    request = service.request(*LOW, hook="order-sign", drafts=[order])
    request["context"]["draftOrders"]["entry"].append(address)
    assert service.send(request) == []


def test_a_draft_means_the_medication_that_came_with_it(service: Client) -> None:
    def named(text: str) -> Json:
        return {"resourceType": "Medication", "id": "m1", "code": {"text": text}}

    order = draft("alendronate")
    del order["medicationCodeableConcept"]
    order["medicationReference"] = {"reference": "Medication/m1"}
    other = taking("atorvastatin", -100)
    request = service.request(*LOW, HPP, other, hook="order-sign", drafts=[order])
    request["context"]["draftOrders"]["entry"].append({"resource": named("alendronate")})
    request["prefetch"]["medicationStatements"]["entry"].append({"resource": named("atorvastatin")})
    assert [slug(c) for c in service.send(request)] == ["hpp-antiresorptive-order"]


# --- orders that nobody checked


@pytest.mark.parametrize(
    "entry",
    [
        {"resource": {**draft("alendronate"), "id": 5}},
        {"resource": {**draft("alendronate"), "resourceType": 5}},
        draft("alendronate"),
        "alendronate",
    ],
    ids=["numeric id", "numeric type", "no resource wrapper", "text"],
)
def test_a_draft_that_cannot_be_read_is_refused(service: Client, entry: Any) -> None:
    request = service.request(*LOW, HPP, hook="order-sign")
    request["context"]["draftOrders"]["entry"] = [entry]
    assert "nobody has checked it" in refused(service, request, 400)


@pytest.mark.parametrize(
    "medication",
    [
        {"medicationCodeableConcept": concept("urn:local", "1234")},
        {"medication": {"concept": concept("urn:local", "1234")}},
        {"medication": {"reference": {"reference": "Medication/1"}}},
        {"medication": "alendronate"},
    ],
    ids=["local code without text", "R5 concept", "R5 reference", "neither R4 nor R5"],
)
def test_a_drug_that_nobody_can_recognise_is_refused(service: Client, medication: Json) -> None:
    order = draft("alendronate")
    del order["medicationCodeableConcept"]
    request = service.request(*LOW, HPP, hook="order-sign", drafts=[{**order, **medication}])
    assert "cannot be recognised" in refused(service, request, 412)


@pytest.mark.parametrize("text", ["ácido zoledrónico 5 mg", "Dénosumab", "TEVA_ALENDRONATE 70"])
def test_names_in_other_spellings(service: Client, text: str) -> None:
    order = draft("alendronate", medicationCodeableConcept={"text": text})
    assert signed(service, LOW, order) == PERSISTENT


@pytest.mark.parametrize(
    "code",
    [
        {"text": "Dental clearance before zoledronate"},
        concept(LOINC, "17861-6", "Calcium (prior to Prolia)"),
    ],
)
def test_a_test_that_mentions_a_drug_is_no_order_for_it(service: Client, code: Json) -> None:
    test = {"resourceType": "ServiceRequest", "id": "t", "status": "draft", "code": code}
    assert signed(service, [*LOW, HPP], test) == []


def test_another_coded_drug_whose_text_mentions_one(service: Client) -> None:
    vitamin = concept(RXNORM, "2418", "Vitamin D to go with Prolia")
    order = draft("alendronate", medicationCodeableConcept=vitamin)
    assert signed(service, [*LOW, HPP], order) == []


@pytest.mark.parametrize("status", ["Refuted", "entered in error", "differential"])
def test_hypophosphatasia_that_is_not_recorded(service: Client, status: str) -> None:
    doubt = condition("hypophosphatasia", verificationStatus={"text": status})
    assert signed(service, [*LOW, doubt], draft("alendronate")) == PERSISTENT


@pytest.mark.parametrize("status", ["Not Taken", "entered in error", "not-taken "])
def test_asfotase_that_was_not_taken(service: Client, status: str) -> None:
    untaken = taking("asfotase alfa", -300, status=status)
    assert signed(service, [*LOW, untaken], draft("alendronate")) == PERSISTENT


# --- spellings that made data vanish


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("https://loinc.org", "6768-6"),
        ("http://loinc.org/", "6768-6"),
        ("urn:oid:2.16.840.1.113883.6.1", "6768-6"),
        ("http://loinc.org|2.77", "6768-6 "),
    ],
)
def test_alp_under_another_spelling_of_its_code(service: Client, system: str, code: str) -> None:
    request = service.request(*LOW)
    for entry in request["prefetch"]["alp"]["entry"]:
        entry["resource"]["code"] = concept(system, code)
    assert [slug(c) for c in service.send(request)] == ["persistent-low-alp"]


def test_results_of_which_none_is_recognised_as_alp_are_refused(service: Client) -> None:
    request = service.request(*LOW)
    for entry in request["prefetch"]["alp"]["entry"]:
        entry["resource"]["code"] = {"text": "Alkaline phosphatase"}
    assert "none with a code of its template" in refused(service, request, 412)


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "total": 12},
        {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://e.example/2"}]},
        {
            "resourceType": "Bundle",
            "entry": [
                {
                    "resource": {
                        "resourceType": "OperationOutcome",
                        "issue": [{"severity": "warning", "code": "suppressed"}],
                    }
                }
            ],
        },
    ],
    ids=["total", "next page", "suppressed"],
)
def test_an_empty_answer_that_says_there_is_more_is_refused(service: Client, bundle: Json) -> None:
    request = service.request(*LOW)
    request["prefetch"]["alp"] = bundle
    assert "'alp'" in refused(service, request, 412)


# --- placeholders that would silence for ever


@pytest.mark.parametrize("died", ["0001-01-01", "9999-12-31", "unknown", "2090-01-01"])
def test_a_placeholder_is_no_death(service: Client, died: str) -> None:
    assert viewed(service, patient(deceasedDateTime=died), *LOW) == ["persistent-low-alp"]


@pytest.mark.parametrize(
    "entry",
    [
        stay("IMP", -2000, None, period={"start": day(-2000), "end": "2099-12-31"}),
        procedure("71493000", -2000, performedPeriod={"start": day(-2000), "end": "2099-12-31"}),
        ordered("62236-5", -5, authoredOn="2099-01-01"),
        ordered("62236-5", -5, authoredOn=None),
        ordered("103735009", -5, system=SNOMED, authoredOn=None),
        ordered("103735009", -5, system=SNOMED, authoredOn="2050-01-01"),
        procedure("103735009", 9000),
    ],
)
def test_an_entry_without_end_or_date_does_not_silence(service: Client, entry: Json) -> None:
    entry.pop("performedDateTime", None) if "performedPeriod" in entry else None
    if entry.get("authoredOn", "") is None:
        del entry["authoredOn"]
    assert viewed(service, *LOW, entry) == ["persistent-low-alp"]


# --- time and space


def test_a_result_text_cannot_hold_the_worker(service: Client) -> None:
    harmless = quickest(lambda: service.fire(alp("x" * 200_040, -5, 35), *LOW))
    held = quickest(lambda: service.fire(alp(" " * 200_000 + "x" * 40, -5, 35), *LOW))
    assert held < 20 * harmless


def test_ids_of_others_and_long_ids_stay_off_cards_and_answers(service: Client) -> None:
    foreign = alp(12, -3, 35, subject=SOMEBODY, id="MRN-4711-Mustermann")
    broken = {**alp(12, -3, 35), "id": "x" * 5000, "valueQuantity": {"value": {}}}
    card = service.fire(*LOW, foreign, broken)[0]
    assert "Mustermann" not in card["detail"]
    assert "xxxxx" not in card["detail"]
    assert "it belongs to another patient" in card["detail"]


@pytest.mark.parametrize("text", ["no EDTA", "EDTA-free tube", "without EDTA"])
def test_a_tube_without_edta_is_sound(service: Client, text: str) -> None:
    named = {"display": text}
    assert viewed(service, alp(26, -400, 35), alp(28, -60, 35, specimen=None)) == [
        "persistent-low-alp"
    ]
    sound = {**alp(28, -60, 35), "specimen": named}
    assert viewed(service, alp(26, -400, 35), sound) == ["persistent-low-alp"]


def test_an_unreadable_date_does_not_hide_a_good_one(service: Client) -> None:
    placed = {**alp(28, -60, 35), "effectiveDateTime": "0001-01-01", "issued": day(-60)}
    assert viewed(service, alp(26, -400, 35), placed) == ["persistent-low-alp"]


def test_what_was_planned_beyond_the_stop_does_not_explain(service: Client) -> None:
    stopped = taking("alendronate", -2900, -2800)
    bounds = {"timing": {"repeat": {"boundsPeriod": {"start": day(-2900), "end": day(1500)}}}}
    request = {
        "resourceType": "MedicationRequest",
        "id": "rx",
        "status": "stopped",
        "intent": "order",
        "medicationCodeableConcept": stopped["medicationCodeableConcept"],
        "subject": stopped["subject"],
        "dosageInstruction": [bounds],
    }
    assert viewed(service, *LOW, request) == ["persistent-low-alp"]


def test_many_drafts_and_conditions_stay_quick(service: Client) -> None:
    drafts = [{**draft("atorvastatin"), "id": f"d{n}"} for n in range(3000)]
    for order in drafts:
        order["reasonReference"] = [{"reference": "Condition/c1"}]
    chart = [{**condition("E83.39"), "id": f"c{n}"} for n in range(3000)]
    request = service.request(*LOW, *chart, hook="order-select", drafts=drafts)
    body = json.dumps(request)
    assert service.send(request) == []
    assert quickest(lambda: service.send(request)) < 25 * quickest(lambda: json.loads(body))


def test_a_specimen_of_somebody_else_says_nothing(service: Client) -> None:
    tube = {
        "resourceType": "Specimen",
        "id": "S1",
        "subject": SOMEBODY,
        "container": [{"additiveCodeableConcept": {"text": "EDTA"}}],
    }
    low = alp(28, -60, 35, specimen="S1")
    assert viewed(service, alp(26, -400, 35), low, tube) == ["persistent-low-alp"]
