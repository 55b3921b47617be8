"""Patients found by trying to break the model: each had once a wrong row, or a card untrue of them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor
from cds_service.hooks.request import decode
from tests.charts import (
    REFERENCE,
    Json,
    alp,
    bundle,
    condition,
    day,
    dose,
    draft,
    lab,
    patient,
    taking,
)
from tests.conftest import orders, slug

SIGN = "order-sign"
GAP = "warning: denosumab-gap"


class Reading(msgspec.Struct, frozen=True):
    """What a clinician gets to read."""

    said: str
    """Each card with its indicator, or the silence by name."""
    text: str
    offered: list[str]


def read(advisor: Advisor, *chart: Json, drafts: Sequence[Json] = ()) -> Reading:
    """The answer for a chart: at order-sign when there are drafts, else at patient-view."""
    hook = SIGN if drafts else "patient-view"
    request = next(hook_requests(bundle(*chart), hook, advisor.rulebook.terminology, drafts))
    answer = advisor.answer(decode(msgspec.json.encode(request), (hook,)), REFERENCE)
    cards = msgspec.to_builtins(answer.response.cards)
    said = [f"{c['indicator']}: {slug(c)}" for c in cards]
    if answer.decision.silence is not None:
        said.append(f"silence: {answer.decision.silence.slug}")
    text = "\n".join(f"{c['summary']}\n{c['detail']}" for c in cards)
    return Reading(" + ".join(said), text, orders(cards))


def dispensed(drug: str, on: int, days_supply: int) -> Json:
    """A MedicationDispense with the days that the supply lasts."""
    resource = {**dose(drug, on), "resourceType": "MedicationDispense"}
    del resource["effectiveDateTime"]
    return {**resource, "whenHandedOver": day(on), "daysSupply": {"value": days_supply}}


def row(story: str, expected: str, *chart: Json, drafts: Sequence[Json] = ()) -> Any:
    """One patient of a table."""
    return pytest.param(chart, drafts, expected, id=story)


ALENDRONATE = [draft("alendronate")]
RESTARTED = [
    patient(75),
    alp(72, -8000, 35),
    taking("alendronate", -7900, -7000),
    taking("alendronate", -1000),
]
NO_DOSE_SINCE = [alp(60, -500, 35), alp(31, -20, 35)]
OFTEN_NORMAL = [alp(50, -360 + 40 * i, 35) for i in range(7)]

ROWS = [
    row(
        "persistently low between two courses: the second course does not explain it",
        "warning: persistent-low-alp",
        *RESTARTED,
        alp(28, -1500, 35),
        alp(27, -1400, 35),
        alp(26, -50, 35),
    ),
    row(
        "the same at the renewal",
        "warning: persistent-low-alp-antiresorptive-order",
        *RESTARTED,
        alp(28, -1500, 35),
        alp(27, -1400, 35),
        alp(26, -50, 35),
        drafts=ALENDRONATE,
    ),
    row(
        "normal between two courses: explained",
        "info: low-explained-by-antiresorptive",
        *RESTARTED,
        alp(60, -1400, 35),
        alp(26, -50, 35),
    ),
    row(
        "low in the rebound zone of denosumab, then low on alendronate: not explained",
        "info: persistent-low-alp",
        alp(60, -1500, 35),
        dose("denosumab", -1300),
        alp(31, -1000, 35),
        taking("alendronate", -900),
        alp(32, -50, 35),
    ),
    row(
        "denosumab handed over with 180 days of supply, 10 months ago: the dose is 10 months old",
        f"info: single-low-alp + {GAP}",
        *NO_DOSE_SINCE,
        dispensed("denosumab", -300, 180),
    ),
    row(
        "the same with a supply of one day",
        f"info: single-low-alp + {GAP}",
        *NO_DOSE_SINCE,
        dispensed("denosumab", -300, 1),
    ),
    row(
        "denosumab handed over with 180 days of supply, 6 months ago: not overdue",
        "info: low-explained-by-antiresorptive",
        *NO_DOSE_SINCE,
        dispensed("denosumab", -180, 180),
    ),
    row(
        "three yearly infusions handed over with a year of supply each: three doses",
        "info: low-explained-by-antiresorptive",
        alp(60, -2600, 35),
        *(dispensed("zoledronate", on, 365) for on in (-2500, -2135, -1770)),
        alp(31, -20, 35),
    ),
    row(
        "denosumab overdue beside a bisphosphonate of no date: that one is not known to follow",
        f"info: low-on-antiresorptive-no-baseline + {GAP}",
        alp(31, -90, 35),
        alp(31, -20, 35),
        dose("denosumab", -300),
        taking("alendronate", None, status="completed"),
    ),
    row(
        "denosumab overdue beside a bisphosphonate that goes on",
        "info: low-on-antiresorptive-no-baseline",
        alp(31, -90, 35),
        alp(31, -20, 35),
        dose("denosumab", -300),
        taking("alendronate", None),
    ),
    row(
        "a new course decades after the first: the ALP from before the first is no baseline",
        "info: no-baseline-alp",
        patient(70),
        alp(60, -9000, 35),
        taking("alendronate", -8900, -7000),
        drafts=ALENDRONATE,
    ),
    row(
        "the order being signed stands in the list already: it is no earlier treatment",
        "info: no-baseline-alp",
        alp(60, -4000, 35),
        taking("alendronate", 0),
        drafts=ALENDRONATE,
    ),
    row(
        "treated since yesterday with a baseline on file",
        "silence: nothing-low",
        alp(60, -4000, 35),
        taking("alendronate", -1),
        drafts=ALENDRONATE,
    ),
    row(
        "on treatment, two mild lows three days apart are one at an order",
        "silence: explained-by-antiresorptive",
        alp(33, -40, 35),
        alp(32, -37, 35),
        taking("alendronate", -300),
        drafts=ALENDRONATE,
    ),
    row(
        "on treatment, two mild lows 30 days apart",
        "info: low-on-antiresorptive-no-baseline",
        alp(33, -67, 35),
        alp(32, -37, 35),
        taking("alendronate", -300),
        drafts=ALENDRONATE,
    ),
    row(
        "a normal value of some day in October beside a low one of the 12th: the low one counts",
        "info: single-low-alp",
        {**alp(60, 0, 35), "effectiveDateTime": "2026-10"},
        alp(28, -20, 35),
    ),
    row(
        "a normal value of some day of the year beside a low one of October",
        "info: single-low-alp",
        {**alp(60, 0, 35), "effectiveDateTime": "2026"},
        alp(28, -20, 35),
    ),
    row(
        "a low value of some day in September, then a normal one in October",
        "silence: nothing-low",
        {**alp(28, 0, 35), "effectiveDateTime": "2026-09"},
        alp(60, -20, 35),
    ),
    row(
        "oestrogen begun after the last low value does not explain it",
        "warning: persistent-low-alp",
        alp(28, -400, 35),
        alp(28, -200, 35),
        taking("oestrogen", -100),
    ),
    row(
        "oestrogen begun on the day of the sample does not either",
        "warning: persistent-low-alp",
        alp(28, -400, 35),
        alp(28, -200, 35),
        taking("oestrogen", -200),
    ),
    row(
        "oestrogen begun before the last low value may explain it",
        "info: reversible-cause",
        alp(28, -400, 35),
        alp(28, -200, 35),
        taking("oestrogen", -201),
    ),
    row(
        "oestrogen of unknown start",
        "info: reversible-cause",
        alp(28, -400, 35),
        alp(28, -200, 35),
        taking("oestrogen", None),
    ),
    row(
        "PLP with a limit in a unit that nobody reads: the fallback limit decides",
        "warning: raised-substrate",
        alp(31, -20, 35),
        lab("plp", 300, "nmol/L", -15, referenceRange=[{"high": {"value": 12.5, "unit": "ug/dL"}}]),
    ),
    row(
        "PLP and its limit both without a unit: compared as printed",
        "warning: raised-substrate",
        alp(31, -20, 35),
        lab("plp", 130, None, -15, high=125),
    ),
    row(
        "PLP without a unit, its limit with one: not usable",
        "info: single-low-alp",
        alp(31, -20, 35),
        lab("plp", 130, None, -15, high=125, range_unit="nmol/L"),
    ),
    row(
        "denosumab overdue beside a bisphosphonate that nobody took off the list",
        f"warning: low-before-antiresorptive + {GAP}",
        patient(75),
        alp(28, -4000, 35),
        alp(28, -20, 35),
        taking("alendronate", -3000, -2800),
        {**taking("risedronate", -2500), "status": "active"},
        dose("denosumab", -300),
    ),
    row(
        "an order that ends denosumab beside a bisphosphonate from before it",
        GAP,
        alp(28, -400, 35),
        alp(28, -20, 35),
        taking("alendronate", -3000),
        dose("denosumab", -170),
        drafts=[draft("denosumab", status="stopped")],
    ),
    row(
        "an order that ends denosumab, said to go on, beside a bisphosphonate from before it",
        GAP,
        alp(28, -400, 35),
        alp(28, -20, 35),
        taking("alendronate", -3000),
        taking("denosumab", -700),
        drafts=[draft("denosumab", status="stopped")],
    ),
    row(
        "an order that ends denosumab beside a bisphosphonate begun since",
        "silence: nothing-low",
        alp(28, -400, 35),
        alp(28, -20, 35),
        taking("alendronate", -100),
        dose("denosumab", -170),
        drafts=[draft("denosumab", status="stopped")],
    ),
]


@pytest.mark.parametrize("chart, drafts, expected", ROWS)
def test_the_row(
    advisor: Advisor, chart: Sequence[Json], drafts: Sequence[Json], expected: str
) -> None:
    assert read(advisor, *chart, drafts=drafts).said == expected


def test_two_lows_far_apart_on_treatment_ask_for_plp(advisor: Advisor) -> None:
    """A minority of the values, but two lows: the next step is PLP, not one more ALP."""
    found = read(
        advisor, alp(33, -400, 35), *OFTEN_NORMAL, alp(32, -37, 35), taking("alendronate", -800)
    )
    assert found.said == "info: low-on-antiresorptive-no-baseline"
    assert found.offered == ["plp"]
    assert "Consider PLP" in found.text
    assert "Consider repeating ALP" not in found.text


def test_a_low_between_two_courses_is_told(advisor: Advisor) -> None:
    found = read(advisor, *RESTARTED, alp(27, -1400, 35), alp(26, -50, 35))
    assert "low off treatment as well: 27 U/L, 1 Jan 2023" in found.text
    assert "| 1 Jan 2023 | ALP | 27 U/L |" in found.text
    assert "No antiresorptive is on record" not in found.text


def test_the_value_from_before_treatment_is_not_called_still_low(advisor: Advisor) -> None:
    before = [alp(24, -400, 35), taking("alendronate", -300)]
    found = read(advisor, *before)
    assert found.said == "warning: low-before-antiresorptive"
    assert "still low" not in found.text.split("**Values used**")[0]
    assert "No ALP that counts is on file since the first dose" in found.text
    assert found.offered == ["plp", "refer_metabolic_bone"]
    since = read(advisor, *before, alp(25, -20, 35))
    assert "It is still low: 25 U/L, 12 Oct 2026" in since.text
    assert "No ALP that counts" not in since.text


@pytest.mark.parametrize("lows", [[-600], [-700, -600]])
def test_treatment_after_the_value_is_no_past_treatment(advisor: Advisor, lows: list[int]) -> None:
    found = read(advisor, *(alp(31, on, 35) for on in lows), dose("denosumab", -560))
    assert found.said.endswith(GAP)
    assert "past treatment" not in found.text
    assert "ALP was low before antiresorptive treatment: 31 U/L, 11 Mar 2025" in found.text


def test_treatment_that_goes_on_is_not_told_as_past(advisor: Advisor) -> None:
    """Treated long ago, low since, and treated again: only the first course is past."""
    chart = [
        alp(31, -600, 35),
        alp(32, -500, 35),
        dose("pamidronate", -2200),
        taking("risedronate", -200),
    ]
    found = read(advisor, patient(70), *chart)
    told = next(line for line in found.text.splitlines() if "past treatment" in line)
    assert "pamidronate: dose on 23 Oct 2020" in told
    assert "risedronate" not in told


def test_a_plp_drawn_on_vitamin_b6_is_not_called_raised_beside_pea(advisor: Advisor) -> None:
    found = read(
        advisor,
        alp(31, -20, 35),
        lab("plp", 300, "nmol/L", -15, high=125),
        taking("pyridoxine", -100),
        lab("pea", 90, "umol/g{creat}", -15, high=50),
    )
    assert found.said == "warning: raised-substrate"
    assert found.text.startswith("Low ALP with raised urine PEA:")
    assert "PLP (300 nmol/L, 17 Oct 2026) was drawn on vitamin B6 and does not count" in found.text


def test_a_bisphosphonate_from_before_denosumab_is_told(advisor: Advisor) -> None:
    found = read(
        advisor,
        alp(28, -400, 35),
        alp(28, -20, 35),
        taking("alendronate", -3000),
        dose("denosumab", -170),
        drafts=[draft("denosumab", status="stopped")],
    )
    assert "alendronate: since 15 Aug 2018" in found.text.split("**Values used**")[0]
    assert "check whether it is taken" in found.text


CITED = {
    "hpp-antiresorptive-order": ["iwg-criteria-2024", "rassie-2019", "warren-2021"],
    "hpp-antiresorptive-exposure": ["rassie-2019", "warren-2021", "ects-denosumab-2021"],
    "fracture-low-alp-antiresorptive-order": [
        "melbourne-clinic-2023",
        "aff-case-control",
        "asbmr-aff-second-report",
    ],
    "fracture-low-alp": ["melbourne-clinic-2023", "vienna-rheumatology"],
    "raised-substrate": ["iwg-criteria-2024", "riancho-2016"],
    "substrate-confounded-by-b6": ["nhanes-plp", "mayo-b6-profile"],
    "ckd-low-alp-antiresorptive-order": [
        "fda-denosumab-2024",
        "sprague-2016",
        "adynamic-bone-review",
    ],
    "ckd-low-alp": ["nhanes-plp", "sprague-2016", "csn-dialysate-review"],
    "denosumab-gap": ["ects-denosumab-2021", "anastasilakis-2021", "fda-denosumab-2024"],
    "incomplete-workup": ["riancho-2016", "jandl-2021"],
    "persistent-low-alp-antiresorptive-order": [
        "spanish-persistent-low-alp",
        "us-rural-clinic-2014",
        "six-french-hospitals",
        "melbourne-clinic-2023",
    ],
    "low-before-antiresorptive": ["six-french-hospitals", "melbourne-clinic-2023"],
    "persistent-low-alp": [
        "riancho-2016",
        "spanish-persistent-low-alp",
        "us-rural-clinic-2014",
        "vienna-rheumatology",
    ],
    "single-low-alp-antiresorptive-order": ["six-french-hospitals", "melbourne-clinic-2023"],
    "low-on-antiresorptive-no-baseline": [
        "six-french-hospitals",
        "turnover-markers-hpp",
        "ects-denosumab-2021",
    ],
    "low-explained-by-antiresorptive": [
        "six-french-hospitals",
        "khan-1997",
        "ects-denosumab-2021",
    ],
}


@pytest.mark.parametrize("situation", CITED)
def test_the_sources_that_the_model_names_are_cited(advisor: Advisor, situation: str) -> None:
    assert set(CITED[situation]) <= set(advisor.rulebook.situations[situation].sources)


FRACTURED = [condition("atypical femoral fracture"), alp(28, -20, 35)]
RAISED_PLP = lab("plp", 300, "nmol/L", -200, high=125)


@pytest.mark.parametrize(
    "chart, drafts, said",
    [
        (FRACTURED, [], "warning: fracture-low-alp"),
        (FRACTURED, ALENDRONATE, "critical: fracture-low-alp-antiresorptive-order"),
        (
            [patient(8), alp(100, -20)],
            ALENDRONATE,
            "warning: child-low-alp-antiresorptive-order",
        ),
    ],
    ids=["fracture, chart opened", "fracture, order", "child, order"],
)
def test_a_raised_plp_is_not_asked_for_again(
    advisor: Advisor, chart: list[Json], drafts: list[Json], said: str
) -> None:
    """Rows that outrank the one for a raised PLP tell of it, and do not ask for what is known."""
    found = read(advisor, *chart, RAISED_PLP, drafts=drafts)
    assert found.said == said
    assert "raised PLP" in found.text.split("**Why this fired**")[0]
    assert "is raised: 300 nmol/L, 15 Apr 2026, upper limit 125 nmol/L" in found.text
    assert "Consider PLP" not in found.text
    assert "plp" not in found.offered
    unknown = read(advisor, *chart, drafts=drafts)
    assert unknown.said == said
    assert "raised PLP" not in unknown.text.split("**Why this fired**")[0]
    assert "Consider PLP" in unknown.text
    assert "plp" in unknown.offered


def test_a_raised_plp_is_told_beside_an_old_low_from_before_treatment(advisor: Advisor) -> None:
    found = read(advisor, alp(28, -900, 35), taking("alendronate", -800), RAISED_PLP)
    assert found.said == "warning: low-before-antiresorptive"
    assert "is raised: 300 nmol/L" in found.text
    assert "Consider PLP" not in found.text
    assert found.offered == ["refer_metabolic_bone", "repeat_alp"]


@pytest.mark.parametrize("drafts", [[], ALENDRONATE], ids=["chart opened", "order"])
def test_a_normal_plp_of_a_child_is_not_asked_for_again(
    advisor: Advisor, drafts: list[Json]
) -> None:
    normal = lab("plp", 60, "nmol/L", -15, high=125)
    found = read(
        advisor,
        patient(8),
        alp(100, -400),
        alp(100, -20),
        normal,
        condition("rickets"),
        drafts=drafts,
    )
    assert found.said.startswith("warning: child-")
    assert "PLP on file was normal (60 nmol/L, 17 Oct 2026)" in found.text
    assert "Consider PLP" not in found.text


SWITCHED = [dose("denosumab", -600), dose("denosumab", -420), taking("alendronate", -240)]


@pytest.mark.parametrize("drafts", [[], ALENDRONATE], ids=["chart opened", "renewal"])
def test_no_dose_of_denosumab_is_due_once_another_drug_has_followed(
    advisor: Advisor, drafts: list[Json]
) -> None:
    found = read(advisor, alp(28, -1000, 35), alp(27, -20, 35), *SWITCHED, drafts=drafts)
    assert "a due" not in found.text
    assert "Last denosumab" not in found.text
    assert "denosumab: 2 doses" in found.text
    overdue = read(advisor, alp(28, -1000, 35), alp(27, -20, 35), *SWITCHED[:2], drafts=drafts)
    assert "now overdue: low ALP is no reason to delay or skip a due dose" in overdue.text


@pytest.mark.parametrize("unit", ["mmol/mol", "umol/mmol"])
def test_pea_over_creatinine_needs_no_annotation_in_its_unit(advisor: Advisor, unit: str) -> None:
    """The code of the test says that the ratio is one to creatinine; the unit need not."""
    found = read(advisor, alp(31, -20, 35), lab("pea", 20, unit, -15, high=5))
    assert found.said == "warning: raised-substrate"
