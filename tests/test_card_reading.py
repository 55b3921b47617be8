"""What clinicians missed on cards: a finding named in the summary, a value, a word on a button."""

from collections.abc import Sequence

import msgspec
import pytest

from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW, decode
from tests.charts import (
    PATIENT,
    REFERENCE,
    Json,
    alp,
    alpl,
    bundle,
    condition,
    dose,
    draft,
    lab,
    patient,
    taking,
)


def read(advisor: Advisor, *chart: Json, drafts: Sequence[Json] = ()) -> list[Json]:
    """The cards for a chart: at order-sign when there are drafts, else at patient-view."""
    hook = ORDER_SIGN if drafts else PATIENT_VIEW
    request = next(hook_requests(bundle(*chart), hook, advisor.rulebook.terminology, drafts))
    answer = advisor.answer(decode(msgspec.json.encode(request), (hook,)), REFERENCE)
    found: list[Json] = msgspec.to_builtins(answer.response.cards)
    return found


# Which of the three entries makes hypophosphatasia known


DIAGNOSED = condition("hypophosphatasia")
KNOWN = [
    ("Hypophosphatasia", [DIAGNOSED]),
    ("Pathogenic ALPL variant", [alpl("P")]),
    ("Likely pathogenic ALPL variant", [alpl("LP")]),
    ("Asfotase alfa (hypophosphatasia)", [taking("asfotase alfa", -500)]),
    ("Hypophosphatasia", [DIAGNOSED, alpl("P"), taking("asfotase alfa", -500)]),
    ("Likely pathogenic ALPL variant", [alpl("LP"), taking("asfotase alfa", -500)]),
]


@pytest.mark.parametrize("named, chart", KNOWN)
def test_the_summary_names_what_is_on_record(
    advisor: Advisor, named: str, chart: list[Json]
) -> None:
    adult = patient(50)
    (card,) = read(advisor, adult, *chart, taking("alendronate", -700))
    assert card["summary"] == (
        f"{named} on record, treated with alendronate. Consider metabolic bone review of the plan."
    )
    (card,) = read(advisor, adult, *chart, taking("denosumab", -700))
    assert card["summary"] == (
        f"{named} on record, treated with denosumab."
        " Consider specialist review; plan before any change."
    )
    (card,) = read(advisor, adult, *chart, drafts=[draft("alendronate")])
    assert card["summary"] == (
        f"{named} on record: antiresorptives are generally avoided."
        " Consider specialist review before signing."
    )


# Earlier lows and PTH in the summary


LIVER = lab("ggt", 310, "U/L", -15, high=40)
NOT_LOW = alp(88, -15, 35)
MASKED = [
    (
        "two lows long ago",
        [alp(25, -1500, 35), alp(27, -900, 35), LIVER],
        "ALP was low (25 and 27 U/L), not now; GGT raised (310 U/L):"
        " liver disease can mask low ALP. Consider bone ALP.",
    ),
    (
        "later lows on a drug are not what the card rests on",
        [
            *(alp(25, -3000, 35), alp(27, -2900, 35), alp(31, -1200, 35), alp(32, -1100, 35)),
            *(taking("alendronate", -1400, -1000), LIVER),
        ],
        "ALP was low (25 and 27 U/L), not now; GGT raised (310 U/L):"
        " liver disease can mask low ALP. Consider bone ALP.",
    ),
    (
        "a diagnosis of the liver, no raised test",
        [alp(25, -1500, 35), alp(27, -900, 35), condition("cholestasis", -30)],
        "ALP was low (25 and 27 U/L), not now; cholestasis or hepatitis on record:"
        " liver disease can mask low ALP. Consider bone ALP.",
    ),
    (
        "hypophosphatasia without an earlier ALP",
        [DIAGNOSED, LIVER],
        "ALP not low now, but GGT 310 U/L (limit 40 U/L):"
        " liver disease can mask low ALP. Consider bone-specific ALP.",
    ),
]


@pytest.mark.parametrize("chart, summary", [m[1:] for m in MASKED], ids=[m[0] for m in MASKED])
def test_a_masked_low_alp_names_the_earlier_lows(
    advisor: Advisor, chart: list[Json], summary: str
) -> None:
    (card,) = read(advisor, patient(57), NOT_LOW, *chart)
    assert card["summary"] == summary
    for low in ("25 U/L", "27 U/L") if "25 and 27" in summary else ():
        assert f"| ALP | {low} |" in card["detail"]


@pytest.mark.parametrize("sex", ["male", "female", None])
def test_pregnancy_is_not_thought_of_in_a_man(advisor: Advisor, sex: str | None) -> None:
    lows = (alp(25, -1500, 35), alp(27, -900, 35))
    (card,) = read(advisor, patient(57, sex), *lows, NOT_LOW, LIVER)
    background = card["detail"].partition("*Background:*")[2]
    assert ("pregnancy (reference table)" in background) == (sex != "male")
    assert ("perinatology.com" in background) == (sex != "male")


ON_DIALYSIS = [patient(66, "male"), alp(30, -30, 40), condition("dialysis", -2000)]
PTH = [
    (
        lab("pth", 55, "pg/mL", -30),
        "Low ALP (30 U/L), PTH 55 pg/mL, CKD/dialysis: low bone turnover possible."
        " Consider bone ALP, nephrology review.",
        "Low ALP (30 U/L), PTH 55 pg/mL, advanced CKD: low bone turnover possible."
        " Consider bone ALP before the drug.",
    ),
    (
        lab("pth", 55, "pg/mL", -200),  # too old to stand in a summary without its date
        "Low ALP (30 U/L) with advanced CKD/dialysis: low bone turnover possible."
        " Consider PTH, bone ALP and nephrology review.",
        "Low ALP (30 U/L) with advanced CKD: low bone turnover possible."
        " Consider PTH and bone ALP before an antiresorptive.",
    ),
]


@pytest.mark.parametrize("pth, in_view, at_order", PTH, ids=["recent", "old"])
def test_low_alp_in_kidney_disease_names_a_recent_pth(
    advisor: Advisor, pth: Json, in_view: str, at_order: str
) -> None:
    (card,) = read(advisor, *ON_DIALYSIS, pth)
    assert card["summary"] == in_view
    (card,) = read(advisor, *ON_DIALYSIS, pth, drafts=[draft("denosumab")])
    assert card["summary"] == at_order


# What is urgent in a suspect specimen


def in_sample(*results: Json, tube: str | None = None) -> list[Json]:
    """A low ALP with other results of its sample, and what is said of the tube."""
    specimen: Json = {
        "resourceType": "Specimen",
        "id": "S1",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "container": [{"additiveCodeableConcept": {"text": tube}}],
    }
    return [alp(20, -20, 35, specimen="S1"), *results, *([specimen] if tube else [])]


def measured(test: str, value: float, unit: str) -> Json:
    """Another result of that sample."""
    return lab(test, value, unit, -20, specimen="S1")


HIGH_K = measured("potassium", 7.9, "mmol/L")
LOW_CA = measured("calcium", 1.35, "mmol/L")
MG = measured("magnesium", 0.4, "mmol/L")
ACT_FIRST = (
    "If real, this is urgent: consider acting on it first, with the patient seen and a fresh sample,"
    " before ALP."
)
SUSPECT = [
    # story, chart, what is said to be urgent, what stands in the table beside ALP
    (
        "potassium and calcium",
        in_sample(HIGH_K, LOW_CA, MG),
        "potassium 7.9 mmol/L and total calcium 1.35 mmol/L",
        ["Potassium | 7.9 mmol/L", "Calcium (total) | 1.35 mmol/L", "Magnesium | 0.4 mmol/L"],
    ),
    (
        "a named tube, potassium alone",
        in_sample(HIGH_K, tube="K2-EDTA"),
        "potassium 7.9 mmol/L",
        ["Potassium | 7.9 mmol/L"],
    ),
    (
        "a named tube, nothing out of bounds",
        in_sample(measured("potassium", 4.1, "mmol/L"), tube="K2-EDTA"),
        None,
        ["Potassium | 4.1 mmol/L"],
    ),
    ("a named tube, nothing else measured", in_sample(tube="K2-EDTA"), None, []),
]


@pytest.mark.parametrize(
    "chart, urgent, beside", [s[1:] for s in SUSPECT], ids=[s[0] for s in SUSPECT]
)
def test_what_may_be_real_in_a_suspect_sample_comes_first(
    advisor: Advisor, chart: list[Json], urgent: str | None, beside: list[str]
) -> None:
    (card,) = read(advisor, patient(50), *chart)
    why, _, below = card["detail"].partition("\n\n**Values used**")
    first = why.splitlines()[2]
    if urgent is None:
        assert "urgent" not in card["detail"]
    else:
        assert first == f"- In the same sample: {urgent}. {ACT_FIRST}"
    rows = [row for row in below.splitlines() if row.endswith("same sample as ALP |")]
    assert [row.split(" | ", 1)[1].split(" |  | ")[0] for row in rows] == beside


def test_kidney_disease_is_named_beside_what_is_urgent(advisor: Advisor) -> None:
    (card,) = read(advisor, patient(50), *in_sample(HIGH_K, LOW_CA), condition("dialysis", -900))
    said = card["detail"].splitlines()[3]
    assert said == (
        "- With dialysis on record, potassium and calcium can be truly abnormal;"
        " a fresh specimen tells."
    )
    assert card["summary"] == (
        "K 7.9 mmol/L, Ca 1.35 mmol/L, ALP 20 U/L (12 Oct 2026): urgent if real, or EDTA in the tube."
        " Consider a fresh sample."
    )


# A second card without a button of its own


def test_the_second_card_says_that_the_first_offers_the_referral(advisor: Advisor) -> None:
    overdue = [patient(70), alp(27, -900, 35), alp(28, -20, 35), dose("denosumab", -300)]
    first, second = read(advisor, *overdue)
    assert "Refer: metabolic bone clinic" in [s["label"] for s in first["suggestions"]]
    assert "suggestions" not in second
    note = "- Offered on the first card: Refer: metabolic bone clinic."
    assert second["detail"].count(note) == 1
    assert "Offered on the first card" not in first["detail"]


def test_an_order_that_one_card_names_twice_is_offered_once(advisor: Advisor) -> None:
    """`low-on-antiresorptive-no-baseline` names PLP for two kinds of patients."""
    (card,) = read(advisor, patient(70), alp(27, -60, 35), taking("alendronate", -700))
    assert [s["label"] for s in card["suggestions"]] == ["Blood test: PLP (vitamin B6 level)"]
    assert "Offered on the first card" not in card["detail"]


# Words that were untrue of some patients


def test_the_age_is_that_of_the_sample(advisor: Advisor) -> None:
    """Its limit goes by that age, too: a child of 11 today was 9 when the blood was drawn."""
    (card,) = read(advisor, patient(11, "male"), alp(120, -400, None))
    assert "- At age 9 y, ALP 120 U/L, 27 Sep 2025, is below the lower limit" in card["detail"]


def test_a_result_of_the_sample_stands_in_the_table_once(advisor: Advisor) -> None:
    (card,) = read(advisor, patient(50), *in_sample(HIGH_K, LOW_CA, measured_low_magnesium()))
    assert card["detail"].count("| Magnesium |") == 1


def measured_low_magnesium() -> Json:
    """A magnesium that would be a possible cause of low ALP, were it not from that sample."""
    return lab("magnesium", 0.4, "mmol/L", -20, low=0.7, specimen="S1")


TREAT = "Consider treating the cause on its own merits"
KEEP = "A low ALP is not by itself a reason to change a drug"
MILD = [patient(53), alp(33, -300, 35), alp(34, -50, 35)]
ZINC = lab("zinc", 5, "umol/L", -50, low=10)
CAUSES = [
    ("a drug", [taking("oestrogen", -800)], [KEEP]),
    ("a deficiency", [ZINC], [TREAT]),
    ("both", [taking("oestrogen", -800), ZINC], [TREAT, KEEP]),
]


@pytest.mark.parametrize("chart, said", [c[1:] for c in CAUSES], ids=[c[0] for c in CAUSES])
def test_a_drug_is_no_cause_to_be_treated(
    advisor: Advisor, chart: list[Json], said: list[str]
) -> None:
    (card,) = read(advisor, *MILD, *chart)
    assert [text for text in (TREAT, KEEP) if text in card["detail"]] == said


INCOMPLETE = [
    (
        [lab("plp", 60, "nmol/L", -40, high=125)],
        "Low ALP (34 U/L), PLP normal, ALPL not tested: an ALPL variant is not excluded."
        " Consider whether a test would help.",
    ),
    (
        [alpl("VUS", -40)],
        "Low ALP (34 U/L), ALPL variant of uncertain significance: neither proof nor exclusion."
        " Consider genetics referral.",
    ),
]


@pytest.mark.parametrize("chart, summary", INCOMPLETE, ids=["normal PLP", "uncertain variant"])
def test_an_incomplete_workup_says_what_is_there(
    advisor: Advisor, chart: list[Json], summary: str
) -> None:
    (card,) = read(advisor, *MILD, *chart)
    assert card["summary"] == summary


def test_values_that_cannot_be_used_leave_no_empty_table(advisor: Advisor) -> None:
    unusable = alp(25, -40, None, unit=None)
    (card,) = read(advisor, patient(53), unusable, drafts=[draft("alendronate")])
    assert "**Values used**\n\nNo value that can be used.\n\n" in card["detail"]
