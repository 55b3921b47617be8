"""What R5 and STU3 write in other places or words than R4 is read as the same fact."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cds_service.decision import Decision
from cds_service.hooks.request import HOOKS, decode
from cds_service.record import DrugUse, RecordedDate
from tests.charts import (
    DRUGS,
    REFERENCE,
    Json,
    alp,
    concept,
    condition,
    day,
    dose,
    draft,
    ordered,
    prescribed,
    procedure,
    stay,
    taking,
)
from tests.conftest import Client, slug

LOW = (alp(29, -300, 35), alp(27, -45, 35))
HPP = condition("hypophosphatasia")
ALENDRONATE = concept(*DRUGS["alendronate"], "alendronate")


def decided(service: Client, *chart: Json) -> Decision:
    request = service.request(*chart)
    return service.advisor.answer(decode(msgspec.json.encode(request), HOOKS), REFERENCE).decision


def uses(service: Client, *chart: Json) -> list[DrugUse]:
    record = decided(service, *LOW, *chart).assessment.record
    assert not record.unread
    return list(record.drugs)


def changed(resource: Json, *left_out: str, **more: Any) -> Json:
    return {k: v for k, v in {**resource, **more}.items() if k not in left_out}


def r5(resource: Json, **more: Any) -> Json:
    drug = resource["medicationCodeableConcept"]
    changes = {"medication": {"concept": drug}, **more}
    return changed(resource, "medicationCodeableConcept", **changes)


def adherence(code: str) -> Json:
    return {"code": {"coding": [{"code": code}]}}


STATEMENT = taking("alendronate", -400)
ENDED = taking("alendronate", -400, -100)


@pytest.mark.parametrize(
    "other, same",
    [
        (r5(STATEMENT, status="recorded"), STATEMENT),
        (r5(STATEMENT, status="recorded", adherence=adherence("taking")), STATEMENT),
        (
            r5(STATEMENT, status="recorded", adherence=adherence("taking-not-as-directed")),
            STATEMENT,
        ),
        (
            r5(STATEMENT, status="recorded", adherence=adherence("stopped-as-directed")),
            changed(STATEMENT, status="stopped"),
        ),
        (
            r5(STATEMENT, status="recorded", adherence=adherence("on-hold")),
            changed(STATEMENT, status="on-hold"),
        ),
        (
            r5(STATEMENT, status="recorded", adherence=adherence("unknown")),
            changed(STATEMENT, status="unknown"),
        ),
        (r5(ENDED, status="recorded"), ENDED),
        (r5(STATEMENT, status="recorded", adherence=adherence("not-taking")), None),
        (r5(STATEMENT, status="draft"), None),
        (r5(STATEMENT, status="entered-in-error"), None),
        (r5(prescribed("alendronate", -100)), prescribed("alendronate", -100)),
        (
            changed(r5(dose("zoledronate", -50)), "effectiveDateTime", occurenceDateTime=day(-50)),
            dose("zoledronate", -50),
        ),
        (
            changed(
                r5(dose("zoledronate", -50)),
                "effectiveDateTime",
                occurencePeriod={"start": day(-50), "end": day(-50)},
            ),
            dose("zoledronate", -50),
        ),
        (changed(STATEMENT, taken="y"), STATEMENT),
        (changed(STATEMENT, taken="unk"), STATEMENT),
        (changed(STATEMENT, taken="n"), None),
        (changed(dose("zoledronate", -50), notGiven=True), None),
        (
            changed(prescribed("alendronate", -100), context={"reference": "Encounter/1"}),
            prescribed("alendronate", -100),
        ),
    ],
    ids=lambda v: str(v.get("status", "")) + str(list(v)[-1]) if v else "no exposure",
)
def test_exposure_in_other_versions(service: Client, other: Json, same: Json | None) -> None:
    assert uses(service, other) == (uses(service, same) if same else [])


def test_an_r5_drug_that_is_only_referred_to(service: Client) -> None:
    drug = {"resourceType": "Medication", "id": "m1", "code": ALENDRONATE}
    for more in ({"contained": [drug]}, {}):
        target = "#m1" if more else "Medication/m1"
        statement = changed(
            STATEMENT,
            "medicationCodeableConcept",
            status="recorded",
            medication={"reference": {"reference": target}},
            **more,
        )
        assert [u.drug for u in uses(service, statement, *([] if more else [drug]))] == [
            "alendronate"
        ]


@pytest.mark.parametrize(
    "medication, situation",
    [
        ({"concept": ALENDRONATE}, "hpp-antiresorptive-order"),
        ({"concept": {"text": "alendronate 70 mg"}}, "hpp-antiresorptive-order"),
        ({"reference": {"reference": "#m1"}}, "hpp-antiresorptive-order"),
        ({"reference": {"display": "alendronate"}}, "hpp-antiresorptive-order"),
        ({"concept": {"text": "paracetamol"}}, None),
    ],
)
def test_an_r5_draft_is_read(service: Client, medication: Json, situation: str | None) -> None:
    order = changed(draft("alendronate"), "medicationCodeableConcept", medication=medication)
    order["contained"] = [{"resourceType": "Medication", "id": "m1", "code": ALENDRONATE}]
    cards = service.fire(*LOW, HPP, hook="order-sign", drafts=[order])
    assert [slug(c) for c in cards] == ([situation] if situation else [])


def test_an_r5_draft_says_why_in_another_place(service: Client) -> None:
    cancer = condition("bone metastases", id="why")
    plain = service.fire(*LOW, HPP, hook="order-sign", drafts=[draft("alendronate")])
    assert plain[0]["indicator"] == "critical"
    for reason in ({"concept": cancer["code"]}, {"reference": {"reference": "Condition/why"}}):
        order = draft("alendronate", reason=[reason])
        far = {**cancer, "clinicalStatus": {"coding": [{"code": "active"}]}}
        (card,) = service.fire(*LOW, HPP, far, hook="order-sign", drafts=[order])
        assert card["indicator"] == "warning"


def test_an_r5_service_request_is_an_order_all_the_same(service: Client) -> None:
    order = ordered("62236-5", -5)
    other = changed(order, code={"concept": order["code"]})
    for pending in (order, other):
        assert decided(service, *LOW, pending).silence is not None


def test_r5_encounters_have_classes_and_an_actual_period(service: Client) -> None:
    r4 = stay("IMP", -50, -40)
    other = changed(r4, "period", actualPeriod=r4["period"], status="completed")
    other["class"] = [{"coding": [{"code": "AMB"}]}, {"coding": [r4["class"]]}]
    found = [decided(service, *LOW, e).assessment.record for e in (r4, other)]
    assert found[0].stays == found[1].stays != ()
    assert not found[1].unread


def test_r5_procedures_occur(service: Client) -> None:
    r4 = procedure("302497006", -50)
    other = changed(r4, "performedDateTime", occurrenceDateTime=day(-50))
    found = [decided(service, *LOW, p).assessment.record.procedures for p in (r4, other)]
    assert found[0] == found[1] != ()
    assert decided(service, *LOW, changed(r4, notDone=True)).assessment.record.procedures == ()


@pytest.mark.parametrize("clinical, active", [("active", True), ("resolved", False)])
def test_stu3_conditions_have_bare_codes(service: Client, clinical: str, active: bool) -> None:
    stu3 = changed(
        condition("zinc deficiency"),
        "onsetDateTime",
        clinicalStatus=clinical,
        verificationStatus="confirmed",
        assertedDate=day(-60),
    )
    record = decided(service, *LOW, stu3).assessment.record
    (diagnosis,) = record.diagnoses
    assert (diagnosis.active, diagnosis.onset) == (
        active,
        RecordedDate(*[REFERENCE - timedelta(days=60)] * 2),
    )
    assert not record.unread
    refuted = changed(stu3, verificationStatus="refuted")
    assert decided(service, *LOW, refuted).assessment.record.diagnoses == ()


def test_stu3_observations_name_the_encounter_as_context(service: Client) -> None:
    admitted = stay("IMP", -46, None, id="e1")
    during = {"reference": "Encounter/e1"}
    r4, stu3 = (alp(27, -44, 35, **{name: during}) for name in ("encounter", "context"))
    found = [decided(service, x, admitted).assessment.alp.values[0] for x in (r4, stu3)]
    assert [v.exclusion for v in found] == ["acute illness", "acute illness"]
    plain = changed(alp(27, -44, 35), "category")
    assert decided(service, plain).assessment.alp.values[0].low
