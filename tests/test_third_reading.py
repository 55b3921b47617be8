"""What a third reading of every card would not have said to a colleague. No clinician has read them yet."""

import re

import pytest

from cds_service.guidance import Advisor
from tests.charts import Json, alp, condition, dose, draft, lab, ordered, patient, pregnant, taking
from tests.test_second_reading import read

ON_B6 = [taking("pyridoxine", -300), lab("plp", 900, "nmol/L", -20, high=125)]


def test_vitamin_b6_of_a_child_is_not_to_be_paused_for_a_test(advisor: Advisor) -> None:
    """A child may be given it against seizures."""
    found = read(advisor, patient(6), alp(75, -400), alp(75, -20), *ON_B6)
    assert found.said == "info: substrate-confounded-by-b6"
    assert found.text.startswith(
        "Child: low ALP (75 U/L), PLP 900 nmol/L drawn on B6."
        " Consider paediatric metabolic advice before any pause of B6.\n"
    )
    assert "- B6 that is given for seizures is not paused for this test." in found.text
    assert "Consider repeating PLP" not in found.text
    assert "overnight fast" not in found.text
    assert found.offered == ["refer_paediatric_metabolic"]


def test_a_raised_plp_stands_when_no_vitamin_b6_was_taken(advisor: Advisor) -> None:
    found = read(advisor, alp(28, -400, 35), alp(27, -20, 35), *ON_B6)
    assert found.said == "info: substrate-confounded-by-b6"
    assert found.text.startswith("PLP 900 nmol/L was drawn on vitamin B6. Consider repeating it")
    assert "B6 given with isoniazid or for seizures is not paused for a test." in found.text
    assert (
        "If the supplement was not in fact taken, the raised PLP stands:"
        " the pattern then suggests hypophosphatasia." in found.text
    )
    assert "No action is reasonable if the supplement" not in found.text
    assert found.offered == ["plp_off_b6"]


PERSISTENT = [alp(28, -1000, 35), alp(27, -20, 35)]
NO_REASON = "low ALP is no reason to delay or skip"
RENEWAL = [draft("denosumab")]
HPP = condition("hypophosphatasia")
AFF = condition("atypical femoral fracture")
DENOSUMAB: list[tuple[str, list[Json], list[Json]]] = [
    ("running", [*PERSISTENT, dose("denosumab", -100)], []),
    ("due", [*PERSISTENT, dose("denosumab", -180)], RENEWAL),
    ("overdue", [*PERSISTENT, dose("denosumab", -400)], RENEWAL),
    ("overdue, chart opened", [*PERSISTENT, dose("denosumab", -400)], []),
    ("being ended", [*PERSISTENT, dose("denosumab", -100)], [draft("denosumab", "stopped")]),
    ("hypophosphatasia", [HPP, *PERSISTENT, dose("denosumab", -187)], RENEWAL),
    ("kidney disease", [condition("dialysis"), *PERSISTENT, dose("denosumab", -100)], []),
    ("after a femoral fracture", [AFF, *PERSISTENT, dose("denosumab", -100)], RENEWAL),
    ("no ALP", [dose("denosumab", -180)], RENEWAL),
]


@pytest.mark.parametrize(
    ("chart", "drafts"), [case[1:] for case in DENOSUMAB], ids=[case[0] for case in DENOSUMAB]
)
def test_each_card_says_once_that_low_alp_is_no_reason_to_delay_denosumab(
    advisor: Advisor, chart: list[Json], drafts: list[Json]
) -> None:
    """As a finding, not as an order to give the dose: other reasons may speak against it."""
    found = read(advisor, *chart, drafts=drafts)
    for text in found.text.split("**Why this fired**")[1:]:
        options = text.partition("**Sources and rule version**")[0]
        assert len(re.findall(r"ow ALP (by itself )?is no reason to (delay|end)", options)) == 1
        assert "do not delay" not in text
        assert "not to be delayed" not in text


def test_a_dose_that_is_late_is_called_overdue(advisor: Advisor) -> None:
    late = read(advisor, *PERSISTENT, dose("denosumab", -400), drafts=RENEWAL)
    assert f"- Last denosumab 27 Sep 2025 (13 months ago), now overdue: {NO_REASON}" in late.text
    fresh = read(advisor, *PERSISTENT, dose("denosumab", -12), drafts=RENEWAL)
    assert f"- Last denosumab 20 Oct 2026 (12 days ago): {NO_REASON}" in fresh.text


def test_a_schedule_for_malignancy_is_not_called_overdue(advisor: Advisor) -> None:
    found = read(advisor, *PERSISTENT, dose("denosumab 120 mg", -300))
    assert f"- Last denosumab 5 Jan 2026 (9 months ago): {NO_REASON}" in found.text
    assert "overdue" not in found.text


def test_a_low_calcium_is_named_beside_denosumab_without_a_day_too(advisor: Advisor) -> None:
    calcium = lab("calcium", 1.9, "mmol/L", -30, low=2.15)
    found = read(advisor, *PERSISTENT, calcium, taking("denosumab", None), drafts=RENEWAL)
    assert (
        "without the date of a dose; calcium on file is low (1.9 mmol/L, 2 Oct 2026)" in found.text
    )


def test_a_low_calcium_is_named_beside_denosumab(advisor: Advisor) -> None:
    calcium = [lab("calcium", 1.9, "mmol/L", -30, low=2.15), dose("denosumab", -180)]
    found = read(advisor, *PERSISTENT, *calcium, drafts=RENEWAL)
    assert "(5 months ago); calcium on file is low (1.9 mmol/L, 2 Oct 2026): low" in found.text
    normal = [lab("calcium", 2.3, "mmol/L", -30, low=2.15), dose("denosumab", -180)]
    assert "calcium on file" not in read(advisor, *PERSISTENT, *normal, drafts=RENEWAL).text


@pytest.mark.parametrize(("since", "when"), [(-100, "before it falls overdue"), (-400, "now")])
def test_after_an_atypical_fracture_denosumab_is_weighed_both_ways(
    advisor: Advisor, since: int, when: str
) -> None:
    found = read(advisor, AFF, *PERSISTENT, dose("denosumab", since), drafts=RENEWAL)
    assert found.said == "critical: fracture-low-alp-antiresorptive-order"
    assert found.text.startswith(
        "Atypical femoral fracture, low ALP (27 U/L): giving or ending denosumab both carry risk."
        " Consider specialist advice.\n"
    )
    assert f"consider deciding with a specialist {when}." in found.text


def test_a_running_denosumab_is_not_to_be_delayed_for_hypophosphatasia(advisor: Advisor) -> None:
    found = read(advisor, HPP, *PERSISTENT, dose("denosumab", -187), drafts=RENEWAL)
    assert found.said == "critical: hpp-antiresorptive-order"
    assert found.text.startswith(
        "Hypophosphatasia on record; denosumab last given 28 Apr 2026:"
        " low ALP is no reason to delay it. Consider specialist advice.\n"
    )
    new = read(advisor, HPP, *PERSISTENT, drafts=RENEWAL)
    assert new.text.startswith("Hypophosphatasia on record: antiresorptives are generally avoided.")


def of_one_sample(on: int, value: float, *others: tuple[str, float, str]) -> list[Json]:
    """An ALP, and what else was measured in its specimen."""
    specimen = f"S{-on}"
    found = [lab(test, v, unit, on, specimen=specimen) for test, v, unit in others]
    return [alp(value, on, 35, specimen=specimen), *found]


HIGH_K, LOW_CA = ("potassium", 7.1, "mmol/L"), ("calcium", 1.35, "mmol/L")
REAL = "if real, this comes before ALP."


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (HIGH_K, "potassium 7.1 mmol/L"),
        (LOW_CA, "total calcium 1.35 mmol/L"),
    ],
    ids=["potassium", "calcium"],
)
def test_potassium_or_calcium_alone_keeps_the_value_and_comes_first(
    advisor: Advisor, other: tuple[str, float, str], said: str
) -> None:
    found = read(advisor, alp(28, -1000, 35), *of_one_sample(-20, 27, other))
    assert found.said == "warning: persistent-low-alp"
    assert f"**Why this fired**\n\n- Sample of 12 Oct 2026: {said}: {REAL}\n" in found.text
    assert "same sample as ALP |" in found.text


def test_the_limit_of_the_laboratory_stands_beside_it(advisor: Advisor) -> None:
    potassium = lab("potassium", 7.1, "mmol/L", -20, high=5.1, specimen="S1")
    found = read(advisor, alp(31, -20, 35, specimen="S1"), potassium)
    assert f"potassium 7.1 mmol/L (limit 5.1 mmol/L): {REAL}" in found.text


def test_a_potassium_that_was_normal_later_needs_no_note(advisor: Advisor) -> None:
    later = lab("potassium", 4.2, "mmol/L", -5)
    found = read(advisor, alp(28, -1000, 35), *of_one_sample(-20, 27, HIGH_K), later)
    assert REAL not in found.text


def test_a_suspect_sample_beside_another_low_value_is_told(advisor: Advisor) -> None:
    found = read(advisor, *PERSISTENT, *of_one_sample(-5, 9, HIGH_K, LOW_CA))
    assert found.said == "warning: persistent-low-alp"
    assert (
        "- Sample of 27 Oct 2026, whose ALP is not counted (suspect specimen):"
        f" potassium 7.1 mmol/L and total calcium 1.35 mmol/L: {REAL}" in found.text
    )


def test_the_summary_of_a_suspect_specimen_says_the_urgency_first(advisor: Advisor) -> None:
    found = read(advisor, *of_one_sample(-12, 9, ("potassium", 7.9, "mmol/L"), LOW_CA))
    assert found.said == "info: suspect-specimen"
    assert found.text.startswith(
        "K 7.9 mmol/L, Ca 1.35 mmol/L, ALP 9 U/L (20 Oct 2026): urgent if real, or EDTA in the tube."
        " Consider a fresh sample.\n"
    )
    assert REAL not in found.text


@pytest.mark.parametrize(
    ("chart", "situation"),
    [
        ([alp(30, -10, 35)], "info: single-low-alp-antiresorptive-order"),
        (
            [alp(29, -300, 35), alp(30, -10, 35)],
            "warning: persistent-low-alp-antiresorptive-order",
        ),
    ],
    ids=["single", "persistent"],
)
def test_a_pregnancy_is_named_first_at_an_order(
    advisor: Advisor, chart: list[Json], situation: str
) -> None:
    found = read(advisor, patient(31), *chart, *pregnant(34), drafts=[draft("alendronate")])
    assert found.said == situation
    assert found.text.startswith(
        "Pregnant: ALP 30 U/L, third-trimester limit 38 U/L."
        " Consider obstetric and specialist advice before any antiresorptive.\n"
    )
    assert "- Consider repeating ALP after delivery" in found.text
    assert "repeat_alp" not in found.offered


RAISED = lab("plp", 900, "nmol/L", -20, high=125)


def test_a_raised_substrate_of_a_child_goes_to_paediatrics(advisor: Advisor) -> None:
    found = read(advisor, patient(8), alp(75, -20), RAISED, dose("denosumab", -400))
    assert found.said == "warning: raised-substrate + warning: denosumab-gap"
    assert found.text.startswith(
        "Child: ALP 75 U/L, raised PLP: pattern suggests hypophosphatasia."
        " Consider paediatric metabolic referral.\n"
    )
    assert "- Ask about seizures, early loss of milk teeth" in found.text
    assert "refer_paediatric_metabolic" in found.offered
    assert "refer_metabolic_bone" not in found.offered
    assert "a metabolic bone specialist" not in found.text


def test_a_missing_alp_is_no_reason_to_delay_a_running_denosumab(advisor: Advisor) -> None:
    found = read(advisor, dose("denosumab", -180), drafts=RENEWAL)
    assert found.said == "info: no-baseline-alp"
    assert found.text.startswith(
        "No usable ALP of the last 24 months; last denosumab 5 May 2026:"
        " no reason to delay a due dose. Consider ALP.\n"
    )
    assert found.offered == ["alp_baseline"]
    assert "before treatment." not in found.text.partition("**Options to consider**")[2]
    new = read(advisor, drafts=RENEWAL)
    assert new.text.startswith("No usable recent ALP before antiresorptive.")
    assert new.offered == ["alp_baseline"]


@pytest.mark.parametrize(("before", "said"), [([], True), ([dose("denosumab", -180)], False)])
def test_before_the_drug_is_given_is_said_of_a_new_drug_only(
    advisor: Advisor, before: list[Json], said: bool
) -> None:
    found = read(advisor, HPP, *PERSISTENT, *before, drafts=RENEWAL)
    assert ("This order is the moment to look" in found.text) is said


def test_an_infant_has_an_age_in_months_and_no_milk_teeth(advisor: Advisor) -> None:
    found = read(advisor, patient(0.5), alp(90, -10))
    assert found.said == "info: child-single-low-alp"
    assert "- At age 6 months, ALP 90 U/L" in found.text
    assert "- Ask about seizures and growth." in found.text
    assert "milk teeth" not in found.text
    older = read(advisor, patient(4), alp(90, -10))
    assert "- At age 4 y, ALP 90 U/L" in older.text
    assert "- Ask about early loss of milk teeth" in older.text


def test_a_repeat_that_is_ordered_is_awaited_not_suggested(advisor: Advisor) -> None:
    pending = ordered("6768-6", -3)
    found = read(advisor, alp(31, -20, 35), pending, drafts=[draft("alendronate")])
    assert found.said == "info: single-low-alp-antiresorptive-order"
    assert found.text.startswith(
        "Low ALP (31 U/L, 12 Oct 2026), unexplained."
        " A repeat is already ordered: consider its result before a first dose.\n"
    )
    assert "Consider repeating ALP" not in found.text
    assert "repeat_alp" not in found.offered


def test_a_low_value_on_treatment_names_value_and_drug(advisor: Advisor) -> None:
    found = read(advisor, alp(31, -20, 35), taking("alendronate", -300))
    assert found.said == "info: low-on-antiresorptive-no-baseline"
    assert found.text.startswith(
        "ALP 31 U/L on alendronate, no baseline: often a drug effect;"
        " hypophosphatasia is not excluded.\n"
    )


def test_every_raised_liver_test_is_named(advisor: Advisor) -> None:
    liver = [
        lab("ggt", 300, "U/L", -5, high=40),
        lab("bilirubin", 60, "umol/L", -5, high=20),
        lab("alt", 90, "U/L", -5, high=40),
    ]
    found = read(advisor, alp(28, -900, 35), alp(27, -700, 35), alp(80, -5, 35), *liver)
    assert found.said == "info: masked-low-alp"
    assert (
        "GGT 300 U/L (limit 40 U/L), bilirubin 60 µmol/L (limit 20 µmol/L)"
        " and ALT 90 U/L (limit 40 U/L)." in found.text
    )


def test_a_feature_on_record_is_named(advisor: Advisor) -> None:
    found = read(advisor, alp(31, -20, 35), condition("metatarsal stress fracture, left"))
    assert found.said == "info: single-low-alp"
    assert re.search(r"- On record: .*stress fracture.* This makes a repeat", found.text)
    assert "or a new fracture or dental feature would raise concern" in found.text
    child = read(advisor, patient(8), alp(75, -20), RAISED, condition("early tooth loss"))
    assert re.search(r"- Also on record: .*(tooth|teeth)", child.text)
