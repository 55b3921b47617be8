"""Every antiresorptive, by every code, in every shape and every resource: recognised, never missed."""

from collections.abc import Iterator

import msgspec
import pytest

from cds_service.decision import Decision
from cds_service.drugs import Drug
from cds_service.ehr import hook_requests
from cds_service.errors import DataUnavailable, RequestError
from cds_service.guidance import Advisor
from cds_service.hooks.request import HOOKS, decode
from cds_service.rulebook import load
from tests.charts import PATIENT, REFERENCE, Json, alp, bundle, concept, day
from tests.conftest import CANONICAL, Client

BOOK = load(CANONICAL)
ANTIRESORPTIVES = {key: drug for key, drug in BOOK.drugs.items() if drug.is_antiresorptive}
SHAPES = ("code", "contained", "referenced", "reference with display")
EXPOSURES = ("MedicationStatement", "MedicationAdministration", "MedicationDispense")


def resource(kind: str, medication: Json) -> Json:
    """A resource of that kind with the given way of naming its drug."""
    common: Json = {
        "resourceType": kind,
        "id": "use-1",
        "subject": {"reference": f"Patient/{PATIENT}"},
        **medication,
    }
    return {
        "MedicationRequest": {**common, "status": "draft", "intent": "order"},
        "MedicationStatement": {
            **common,
            "status": "active",
            "effectivePeriod": {"start": day(-200)},
        },
        "MedicationAdministration": {
            **common,
            "status": "completed",
            "effectiveDateTime": day(-200),
        },
        "MedicationDispense": {**common, "status": "completed", "whenHandedOver": day(-200)},
    }[kind]


def shaped(shape: str, code: Json) -> tuple[Json, list[Json]]:
    """How the resource names its drug, and what comes beside it."""
    medication: Json = {"resourceType": "Medication", "id": "med-1", "code": code}
    if shape == "code":
        return {"medicationCodeableConcept": code}, []
    if shape == "contained":
        return {"contained": [medication], "medicationReference": {"reference": "#med-1"}}, []
    if shape == "referenced":
        return {"medicationReference": {"reference": "Medication/med-1"}}, [medication]
    text = code.get("text", "")
    return {"medicationReference": {"reference": "Medication/gone", "display": text}}, []


def decided(advisor: Advisor, kind: str, medication: Json, beside: list[Json]) -> Decision:
    """The decision for a chart, or a draft, with that drug."""
    chart = [alp(26, -400, 35), alp(28, -60, 35)]
    written = [resource(kind, medication), *beside]
    hook, drafts = "patient-view", []
    if kind == "MedicationRequest":
        hook, drafts = "order-sign", written
    else:
        chart += written
    request = next(hook_requests(bundle(*chart), hook, advisor.rulebook.terminology, drafts))
    return advisor.answer(decode(msgspec.json.encode(request), HOOKS), REFERENCE).decision


def recognised(decision: Decision) -> set[str]:
    """The antiresorptives found in record and draft."""
    drugs = BOOK.drugs
    found = {u.drug for u in decision.assessment.record.drugs if drugs[u.drug].is_antiresorptive}
    return found | set(decision.assessment.call.draft.ordered)


def coded(drug: Drug) -> Iterator[tuple[str, str]]:
    """Every code of a drug."""
    if drug.value_set is not None:
        for found in BOOK.terminology.value_sets[drug.value_set].concepts:
            yield found.system, found.code


@pytest.mark.parametrize("kind", ["MedicationRequest", *EXPOSURES])
@pytest.mark.parametrize("key", ANTIRESORPTIVES)
def test_every_code_in_every_shape(advisor: Advisor, key: str, kind: str) -> None:
    """A code is enough: no text, no display."""
    for system, code in coded(ANTIRESORPTIVES[key]):
        for shape in SHAPES[:3]:
            medication, beside = shaped(shape, concept(system, code))
            decision = decided(advisor, kind, medication, beside)
            assert recognised(decision) == {key}, (system, code, shape)


@pytest.mark.parametrize("kind", ["MedicationRequest", *EXPOSURES])
@pytest.mark.parametrize("key", ANTIRESORPTIVES)
def test_every_name_in_every_shape(advisor: Advisor, key: str, kind: str) -> None:
    """Without a known code the name counts, and is marked as such."""
    for name in ANTIRESORPTIVES[key].names:
        text = f"{name.capitalize()}ic acid 70 mg" if name.endswith("dron") else name.upper()
        for shape in SHAPES:
            medication, beside = shaped(shape, {"text": text})
            decision = decided(advisor, kind, medication, beside)
            assert recognised(decision) == {key}, (text, shape)
            draft = decision.assessment.call.draft
            uses = decision.assessment.record.drugs
            assert draft.text_only or all(u.text_only for u in uses)


@pytest.mark.parametrize("system", ["http://www.whocc.no/atc"])
@pytest.mark.parametrize("code", ["M05BA99", "M05BB99"])
def test_a_code_below_a_known_group_is_a_bisphosphonate(
    advisor: Advisor, system: str, code: str
) -> None:
    medication, beside = shaped("code", concept(system, code))
    decision = decided(advisor, "MedicationStatement", medication, beside)
    assert recognised(decision) == {"bisphosphonate-unspecified"}


@pytest.mark.parametrize(
    "text", ["teriparatide", "raloxifene", "chloronaphthalene", "Vitamin D3", "atorvastatin", ""]
)
def test_other_drugs_are_not_taken_for_one(service: Client, text: str) -> None:
    medication, beside = shaped("code", {"text": text} if text else {})
    drafts = [resource("MedicationRequest", medication)]
    assert service.fire(alp(26, -400, 35), alp(28, -60, 35), hook="order-sign", drafts=drafts) == []
    assert beside == []


def test_the_unclassified_biologic_is_nobody(advisor: Advisor) -> None:
    """J3590 is billed for several drugs."""
    system = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
    medication, beside = shaped("code", concept(system, "J3590"))
    assert recognised(decided(advisor, "MedicationStatement", medication, beside)) == set()


def test_a_draft_that_only_refers_to_its_drug_is_not_passed_over(advisor: Advisor) -> None:
    """Nobody has checked such an order: 412, not silence."""
    medication = {"medicationReference": {"reference": "Medication/elsewhere"}}
    with pytest.raises(DataUnavailable, match="only referred to"):
        decided(advisor, "MedicationRequest", medication, [])


def test_a_draft_that_cannot_be_read_is_not_passed_over(advisor: Advisor) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        decided(advisor, "MedicationRequest", {"medicationCodeableConcept": "alendronate"}, [])


def test_an_exposure_that_only_refers_to_its_drug_is_named(service: Client) -> None:
    use = resource("MedicationStatement", {"medicationReference": {"reference": "Medication/x"}})
    cards = service.fire(alp(26, -400, 35), alp(28, -60, 35), use)
    assert "the drug of 1 medication entry" in cards[0]["detail"]
