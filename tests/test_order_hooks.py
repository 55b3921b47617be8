"""The ordering moment: which drafts decide, what is background, and what is never done."""

from typing import Any

import pytest

from tests.charts import (
    ICD,
    LOINC,
    SNOMED,
    Json,
    alp,
    alpl,
    concept,
    condition,
    day,
    dose,
    draft,
    draft_test,
    lab,
    ordered,
    patient,
    pregnant,
    taking,
)
from tests.conftest import CANONICAL, Client, orders, slug

HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
LOW = [alp(26, -400, 35), alp(28, -60, 35)]
PERSISTENT = "persistent-low-alp-antiresorptive-order"
SINGLE = "single-low-alp-antiresorptive-order"


def fired(service: Client, chart: list[Json], *drafts: Json, hook: str = "order-sign") -> list[str]:
    """The situations of the cards, with their indicators."""
    cards = service.fire(*chart, hook=hook, drafts=drafts)
    return [f"{slug(c)}: {c['indicator']}" for c in cards]


# --- which drafts decide


def test_only_the_selected_draft_decides_at_order_select(service: Client) -> None:
    """CTX-11"""
    drafts = [draft("alendronate"), draft("atorvastatin")]
    request = service.request(*LOW, hook="order-select", drafts=drafts)
    request["context"]["selections"] = ["MedicationRequest/draft-atorvastatin"]
    assert service.send(request) == []
    request["context"]["selections"] = ["MedicationRequest/draft-alendronate"]
    assert [slug(c) for c in service.send(request)] == [PERSISTENT]


def test_every_draft_decides_at_order_sign(service: Client) -> None:
    drafts = [draft("atorvastatin"), draft("zoledronate")]
    assert fired(service, LOW, *drafts) == [f"{PERSISTENT}: warning"]


def test_an_unselected_test_is_background_and_not_offered_again(service: Client) -> None:
    request = service.request(
        *LOW, hook="order-select", drafts=[draft("alendronate"), draft_test("62236-5")]
    )
    request["context"]["selections"] = ["MedicationRequest/draft-alendronate"]
    assert orders(service.send(request)) == ["mineral_panel"]


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_no_card_for_atorvastatin(service: Client, hook: str) -> None:
    assert fired(service, LOW, draft("atorvastatin"), hook=hook) == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_value_without_unit_is_not_normal_by_a_limit_of_nothing(
    service: Client, limit: int
) -> None:
    """A range of 0 to 120 is no lower limit: the value cannot be used, and there is no baseline."""
    chart = [alp(31, -20, limit, unit=None)]
    assert fired(service, chart, draft("alendronate")) == ["no-baseline-alp: info"]


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_no_drafts_at_all_is_silent(service: Client, hook: str) -> None:
    assert fired(service, LOW, hook=hook) == []


@pytest.mark.parametrize(
    "unfinished",
    [
        {"resourceType": "MedicationRequest", "id": "a", "status": "draft"},
        {"resourceType": "MedicationOrder", "id": "a", "status": "draft"},
        {"resourceType": "DeviceRequest", "id": "a", "codeCodeableConcept": {"text": "shoe"}},
        {"resourceType": "NutritionOrder", "id": "a"},
        {"resourceType": "SomethingNew", "id": "a", "status": 5},
    ],
    ids=lambda r: r["resourceType"],
)
def test_unfinished_and_unknown_drafts_are_background(service: Client, unfinished: Json) -> None:
    """CTX-6, CTX-10"""
    assert fired(service, LOW, unfinished) == []
    assert fired(service, LOW, unfinished, draft("alendronate")) == [f"{PERSISTENT}: warning"]


def test_the_drafts_of_the_reference_sandbox(service: Client) -> None:
    """A Bundle without type, no intent, `category` as an object."""
    written = draft("alendronate", category={"coding": [{"code": "outpatient"}]})
    del written["intent"]
    request = service.request(*LOW, hook="order-sign", drafts=[written])
    del request["context"]["draftOrders"]["type"]
    assert [slug(c) for c in service.send(request)] == [PERSISTENT]


def test_a_selection_of_nothing_that_was_sent_is_refused(service: Client) -> None:
    """Silence would say that somebody had checked it."""
    request = service.request(*LOW, hook="order-select", drafts=[draft("alendronate")])
    request["context"]["selections"] = ["draft-alendronate"]
    answer = service.post("/cds-services/low-alp-order-select", json=request)
    assert answer.status_code == 400
    assert "names none of the drafts" in answer.json()["issue"][0]["diagnostics"]


def test_a_draft_of_another_patient_is_refused(service: Client) -> None:
    """PF-37"""
    other = draft("alendronate", subject={"reference": "Patient/somebody-else"})
    request = service.request(*LOW, hook="order-sign", drafts=[other])
    answer = service.post("/cds-services/low-alp-order-sign", json=request)
    assert answer.status_code == 400
    assert "another patient" in answer.json()["issue"][0]["diagnostics"]


def test_a_test_that_is_not_to_be_done_is_not_pending(service: Client) -> None:
    chart = [alp(70, -760, 35), ordered("6768-6", -5, doNotPerform=True)]
    assert fired(service, chart, draft("alendronate")) == ["no-baseline-alp: info"]


def test_a_draft_that_says_do_not_perform_is_no_order(service: Client) -> None:
    assert fired(service, LOW, draft("alendronate", doNotPerform=True)) == []


@pytest.mark.parametrize("status", ["draft", "active", "on-hold", None])
def test_statuses_that_order(service: Client, status: str | None) -> None:
    written = draft("alendronate")
    if status is None:
        del written["status"]
    else:
        written["status"] = status
    assert fired(service, LOW, written) == [f"{PERSISTENT}: warning"]


@pytest.mark.parametrize("status", ["stopped", "cancelled", "completed", "entered-in-error"])
def test_statuses_that_do_not_order(service: Client, status: str) -> None:
    assert fired(service, LOW, draft("alendronate", status)) == []


@pytest.mark.parametrize(
    "code", [concept(HCPCS, "J0897"), concept("urn:local", "1", "Zoledronic acid infusion")]
)
def test_the_same_drug_as_a_procedure_order(service: Client, code: Json) -> None:
    infusion = {
        "resourceType": "ServiceRequest",
        "id": "infusion",
        "status": "draft",
        "code": code,
    }
    assert fired(service, LOW, infusion) == [f"{PERSISTENT}: warning"]


# --- context


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
@pytest.mark.parametrize("value", ["absent", None, "text", 5, [], {}])
def test_draft_orders_are_required(service: Client, hook: str, value: Any) -> None:
    """CTX-1, CTX-os, CTX-sg"""
    request = service.request(*LOW, hook=hook, drafts=[draft("alendronate")])
    if value == "absent":
        del request["context"]["draftOrders"]
    else:
        request["context"]["draftOrders"] = value
    answer = service.post(f"/cds-services/low-alp-{hook}", json=request)
    assert answer.status_code == 400
    assert "draftOrders" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("value", ["absent", None, "MedicationRequest/a", [5]])
def test_selections_are_required_at_order_select(service: Client, value: Any) -> None:
    request = service.request(*LOW, hook="order-select", drafts=[draft("alendronate")])
    if value == "absent":
        del request["context"]["selections"]
    else:
        request["context"]["selections"] = value
    answer = service.post("/cds-services/low-alp-order-select", json=request)
    assert answer.status_code == 400
    assert "selections" in answer.json()["issue"][0]["diagnostics"]


def test_a_service_answers_its_own_hook_only(service: Client) -> None:
    """REQ-8"""
    request = service.request(*LOW, hook="order-sign", drafts=[draft("alendronate")])
    for other in ("patient-view", "order-select"):
        assert service.post(f"/cds-services/low-alp-{other}", json=request).status_code == 400


# --- rows


def test_denosumab_being_ended_is_the_one_card(service: Client) -> None:
    chart = [alp(27, -60, 35), dose("denosumab", -180)]
    for status in ("stopped", "cancelled"):
        drafts = draft("denosumab", status)
        assert fired(service, chart, drafts) == ["denosumab-gap: warning"]


def test_denosumab_being_ended_with_a_follow_on_is_silent(service: Client) -> None:
    chart = [alp(66, -200, 35), alp(33, -60, 35), dose("denosumab", -180)]
    drafts = [draft("denosumab", "stopped"), draft("alendronate")]
    assert fired(service, chart, *drafts) == []


def test_denosumab_being_ended_without_low_alp_is_silent(service: Client) -> None:
    chart = [alp(67, -60, 35), dose("denosumab", -180)]
    assert fired(service, chart, draft("denosumab", "stopped")) == []


def test_a_due_denosumab_dose_is_not_to_be_delayed(service: Client) -> None:
    chart = [alp(28, -100, 35), alp(27, -10, 35), dose("denosumab", -365), dose("denosumab", -182)]
    cards = service.fire(*chart, hook="order-sign", drafts=[draft("denosumab")])
    assert [slug(c) for c in cards] == ["low-on-antiresorptive-no-baseline"]
    assert cards[0]["detail"].count("low ALP is no reason to delay or skip a due dose") == 1


TREATED_BEFORE: list[tuple[list[Json], str, str, str]] = [
    (
        [*LOW, taking("alendronate", -5000, -4800)],
        "alendronate",
        "alongside this order.",
        "Not explained by past treatment",
    ),
    (
        [alp(27, -1500, 35), LOW[1], dose("denosumab", -400)],
        "denosumab",
        "no reason to delay a due denosumab dose.",
        "Options to consider**\n\n- Last denosumab 27 Sep 2025 (13 months ago), now overdue: low ALP",
    ),
    (
        [LOW[1], dose("denosumab", -400)],
        "denosumab",
        "no reason to delay a due denosumab dose.",
        "Options to consider**\n\n- Last denosumab 27 Sep 2025 (13 months ago), now overdue: low ALP",
    ),
]


@pytest.mark.parametrize(("chart", "drug", "summary", "why"), TREATED_BEFORE)
def test_nobody_treated_before_is_told_of_a_first_dose(
    service: Client, chart: list[Json], drug: str, summary: str, why: str
) -> None:
    card = service.fire(*chart, hook="order-sign", drafts=[draft(drug)])[0]
    assert card["summary"].endswith(summary)
    assert why in card["detail"]
    assert "first dose" not in card["summary"] + card["detail"].split("**Values used**")[0]


def test_denosumab_of_long_ago_is_not_due(service: Client) -> None:
    chart = [*LOW, dose("denosumab", -2500)]
    card = service.fire(*chart, hook="order-sign", drafts=[draft("alendronate")])[0]
    assert "denosumab" not in card["summary"]
    assert "due dose" not in card["detail"]


def test_what_is_known_of_denosumab_comes_first(service: Client) -> None:
    chart = [*LOW, condition("dialysis"), dose("denosumab", -100)]
    card = service.fire(*chart)[0]
    assert "**Why this fired**\n\n- Denosumab carries a boxed warning" in card["detail"]
    assert (
        "**Options to consider**\n\n- Last denosumab 24 Jul 2026 (3 months ago):"
        " low ALP is no reason to delay or skip a due dose" in card["detail"]
    )


def test_denosumab_being_ended_without_a_dose_on_record(service: Client) -> None:
    card = service.fire(*LOW, hook="order-sign", drafts=[draft("denosumab", "stopped")])[0]
    assert card["summary"].startswith("This order ends denosumab")
    assert "- No denosumab dose is on record: check the date of the last one." in card["detail"]


def test_pregnancy_at_an_order_is_named_first(service: Client) -> None:
    chart = [patient(31), alp(20, -10, 35), *pregnant(20)]
    card = service.fire(*chart, hook="order-sign", drafts=[draft("alendronate")])[0]
    assert card["detail"].startswith(
        "**Why this fired**\n\n- Pregnant: judged by the second-trimester limit (25 U/L)"
    )
    assert "first oral dose" not in card["detail"]
    assert "72.6%" not in card["detail"]


ONCOLOGY: list[tuple[list[Json], Json]] = [
    ([condition("bone metastases")], draft("denosumab")),
    ([], draft("denosumab 120 mg")),
    ([], draft("zoledronate", reasonCode=[concept(ICD, "C90.00")])),
    (
        [],
        {
            "resourceType": "ServiceRequest",
            "id": "xgeva",
            "status": "draft",
            "code": concept(HCPCS, "J0897"),
            "quantityQuantity": {"value": 120},
        },
    ),
]


@pytest.mark.parametrize(("chart", "order"), ONCOLOGY)
def test_an_oncology_indication_lowers_by_one_level(
    service: Client, chart: list[Json], order: Json
) -> None:
    hpp = [condition("hypophosphatasia")]
    fracture = [condition("atypical femoral fracture")]
    kidney = [condition("dialysis")]
    assert fired(service, [*LOW, *chart], order) == [f"{PERSISTENT}: info"]
    assert fired(service, [*LOW[1:], *chart], order) == [f"{SINGLE}: info"]
    assert fired(service, [*LOW, *chart, *hpp], order) == ["hpp-antiresorptive-order: warning"]
    assert fired(service, [*LOW, *chart, *fracture], order) == [
        "fracture-low-alp-antiresorptive-order: warning"
    ]
    assert fired(service, [*LOW, *chart, *kidney], order) == [
        "ckd-low-alp-antiresorptive-order: info"
    ]


def test_the_osteoporosis_dose_by_units_is_not_lowered(service: Client) -> None:
    prolia = {
        "resourceType": "ServiceRequest",
        "id": "prolia",
        "status": "draft",
        "code": concept(HCPCS, "J0897"),
        "quantityQuantity": {"value": 60},
    }
    assert fired(service, LOW, prolia) == [f"{PERSISTENT}: warning"]


def test_hypercalcaemia_of_malignancy_is_silent_unless_hypophosphatasia_is_recorded(
    service: Client,
) -> None:
    chart = [
        *LOW,
        condition("bone metastases"),
        condition("bone metastases", -1, code=concept(SNOMED, "66931009"), id="calcium"),
    ]
    assert fired(service, chart, draft("zoledronate")) == []
    assert fired(service, [*chart, condition("hypophosphatasia")], draft("zoledronate")) == [
        "hpp-antiresorptive-order: warning"
    ]


def test_a_pathogenic_variant_is_critical_at_the_order(service: Client) -> None:
    assert fired(service, [alpl("LP")], draft("alendronate")) == [
        "hpp-antiresorptive-order: critical"
    ]


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (-1826 + 40, [f"{SINGLE}: warning"]),
        (-1826 - 40, ["no-baseline-alp: info"]),
    ],
)
def test_orders_look_back_sixty_months(service: Client, on: int, expected: list[str]) -> None:
    assert fired(service, [alp(28, on, 35)], draft("alendronate")) == expected


@pytest.mark.parametrize(
    ("chart", "expected"),
    [
        ([], ["no-baseline-alp: info"]),
        ([alp(70, -700, 35)], []),
        ([alp(70, -760, 35)], ["no-baseline-alp: info"]),
        ([alp(70, -760, 35), ordered("6768-6", -5)], []),
        ([alp(70, -1500, 35), taking("alendronate", -1000)], []),
        ([taking("alendronate", -1000)], ["no-baseline-alp: info"]),
    ],
)
def test_no_usable_recent_alp(service: Client, chart: list[Json], expected: list[str]) -> None:
    assert fired(service, chart, draft("alendronate")) == expected


@pytest.mark.parametrize("code", ["6768-6", "24323-8", "24325-3"])
def test_an_alp_in_the_draft_needs_no_reminder(service: Client, code: str) -> None:
    drafts = [draft("alendronate"), draft_test(code)]
    assert fired(service, [], *drafts) == []
    assert fired(service, LOW[1:], *drafts) == []


def test_our_own_draft_of_an_alp_counts_as_one(service: Client) -> None:
    own = draft_test("alp_baseline", f"{CANONICAL}/fhir/CodeSystem/orders")
    assert fired(service, [], draft("alendronate"), own) == []


def test_explained_by_treatment_is_silent_at_an_order(service: Client) -> None:
    chart = [alp(68, -420, 35), alp(27, -30, 35), taking("alendronate", -400)]
    assert fired(service, chart, draft("alendronate")) == []


def test_one_mild_low_on_treatment_is_silent_at_an_order(service: Client) -> None:
    chart = [alp(33, -30, 35), taking("alendronate", -400)]
    assert fired(service, chart, draft("alendronate")) == []


def test_pending_work_up_does_not_silence_an_order(service: Client) -> None:
    """The drug is about to be signed: the card stands, the pending test is not offered again."""
    cards = service.fire(
        *LOW, ordered("62236-5", -5), hook="order-sign", drafts=[draft("alendronate")]
    )
    assert [slug(c) for c in cards] == [PERSISTENT]
    assert orders(cards) == ["mineral_panel"]
    assert "Not offered, already ordered: Blood test: PLP (vitamin B6 level)." in cards[0]["detail"]


def test_a_secondary_cause_is_listed_not_silencing(service: Client) -> None:
    chart = [*LOW, condition("zinc deficiency")]
    cards = service.fire(*chart, hook="order-sign", drafts=[draft("alendronate")])
    assert [slug(c) for c in cards] == [PERSISTENT]
    assert "zinc deficiency" in cards[0]["detail"]


def test_kidney_tests_that_are_recent_are_not_offered(service: Client) -> None:
    chart = [
        *LOW,
        condition("dialysis"),
        lab("pth", 48, "pg/mL", -20),
        lab("calcium", 9.1, "mg/dL", -20),
    ]
    cards = service.fire(*chart, hook="order-sign", drafts=[draft("denosumab")])
    assert orders(cards) == ["bone_alp", "refer_nephrology"]


def test_nothing_touches_the_drug_order(service: Client) -> None:
    """Only creations of ServiceRequests, and no system action."""
    request = service.request(*LOW, hook="order-sign", drafts=[draft("alendronate")])
    answer = service.post("/cds-services/low-alp-order-sign", json=request).json()
    assert set(answer) == {"cards"}
    actions = [a for c in answer["cards"] for s in c["suggestions"] for a in s["actions"]]
    assert {(a["type"], a["resource"]["resourceType"]) for a in actions} == {
        ("create", "ServiceRequest")
    }
    assert all(len(s["actions"]) == 1 for c in answer["cards"] for s in c["suggestions"])


def test_the_card_that_a_clinician_reads_in_ten_seconds(service: Client) -> None:
    card = service.fire(*LOW, hook="order-sign", drafts=[draft("alendronate")])[0]
    assert card["summary"] == (
        "ALP low (26 and 28 U/L), not explained by treatment."
        " Consider PLP and hypophosphatasia work-up before a first dose."
    )
    assert card["detail"].startswith(
        "**Why this fired**\n\n"
        "- ALP is persistently low: 2 of 2 counted values, latest 28 U/L, 2 Sep 2026"
        " (lower limit 35 U/L).\n"
        "- No antiresorptive is on record before this order, so treatment does not explain it.\n"
        "- This order is the moment to look: a value from before treatment is easier to read,"
        " because antiresorptives lower ALP.\n"
    )
    assert "No action is reasonable if" in card["detail"]
    assert orders([card]) == ["plp", "mineral_panel"]
    assert day(-60) == "2026-09-02"
    assert LOINC in str(card["suggestions"])
