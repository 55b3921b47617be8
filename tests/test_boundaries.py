"""Every threshold and window of the decision model at patient-view: at it, just inside, just outside.

Each row is one patient: a story, what the clinician sees, and the chart. Days count from the
reference day, 1 November 2026; where a window is counted in months, the row gives dates.
"""

import tomllib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds_service import rulebook
from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor, Answer
from cds_service.hooks.request import PATIENT_VIEW, decode
from cds_service.rulebook.files import KNOWLEDGE
from tests.charts import (
    DRUGS,
    ICD,
    LOINC,
    PATIENT,
    REFERENCE,
    RXNORM,
    UCUM,
    Json,
    alp,
    alpl,
    bundle,
    concept,
    condition,
    day,
    dose,
    lab,
    ordered,
    patient,
    pregnant,
    prescribed,
    procedure,
    stay,
    taking,
)
from tests.conftest import CANONICAL, orders, slug

SINGLE = "info: single-low-alp"
PERSISTENT = "info: persistent-low-alp"
CLEARLY_PERSISTENT = "warning: persistent-low-alp"
ON_TREATMENT = "info: low-on-antiresorptive-no-baseline"
EXPLAINED = "info: low-explained-by-antiresorptive"
LOW_BEFORE = "warning: low-before-antiresorptive"
CHILD = "info: child-single-low-alp"
CHILD_PERSISTENT = "warning: child-persistent-low-alp"
PREGNANT = "info: pregnancy-low-alp"
FRACTURE = "warning: fracture-low-alp"
RAISED = "warning: raised-substrate"
CONFOUNDED = "info: substrate-confounded-by-b6"
INCOMPLETE = "info: incomplete-workup"
KIDNEY = "info: ckd-low-alp"
REVERSIBLE = "info: reversible-cause"
MASKED = "info: masked-low-alp"
SUSPECT = "info: suspect-specimen"
HPP_EXPOSED = "warning: hpp-antiresorptive-exposure"
GAP = " + warning: denosumab-gap"
NOTHING = "silence: nothing-low"
ACUTE = "silence: acute-illness-only"
MANAGED = "silence: specialist-managed"
IN_PROGRESS = "silence: workup-in-progress"
COMPLETE = "silence: workup-complete-negative"
OUT_OF_SCOPE = "silence: out-of-scope"


def ask(advisor: Advisor, *chart: Json) -> tuple[Answer, str]:
    """The answer for a chart, and in short: each card with its indicator, or the silence by name."""
    request = next(hook_requests(bundle(*chart), PATIENT_VIEW, advisor.rulebook.terminology))
    answer = advisor.answer(decode(msgspec.json.encode(request), (PATIENT_VIEW,)), REFERENCE)
    said = [f"{c['indicator']}: {slug(c)}" for c in msgspec.to_builtins(answer.response.cards)]
    if answer.decision.silence is not None:
        said.append(f"silence: {answer.decision.silence.slug}")
    return answer, " + ".join(said)


def row(story: str, expected: object, *chart: Json) -> Any:
    """One patient of a table."""
    return pytest.param(chart, expected, id=story)


# --- Charts in still fewer words -----------------------------------------------------------------


def on(text: str) -> int:
    """The days from the reference day to a date."""
    return (date.fromisoformat(text) - REFERENCE).days


def girl(born: str) -> Json:
    """A girl or woman with an exact birth date."""
    return patient(sex="female", birthDate=born)


def boy(born: str) -> Json:
    """A boy or man with an exact birth date."""
    return patient(sex="male", birthDate=born)


def expecting(weeks: int, value: float, taken: int = 0) -> list[Json]:
    """An ALP of a woman who is this many weeks pregnant on the reference day."""
    return [patient(31), alp(value, taken), *pregnant(weeks)]


def due(when: int) -> Json:
    """A due date alone, without any statement of pregnancy."""
    return {**pregnant(0)[1], "effectiveDateTime": day(-150), "valueDateTime": day(when)}


def low_on(text: str) -> Json:
    """A mild low value by its date, which may be a month or a year only."""
    return {**alp(31, 0, 35), "id": f"alp-{text}".replace(":", "-"), "effectiveDateTime": text}


def normal_on(text: str) -> Json:
    """A normal value by its date."""
    return alp(60, on(text), 35)


def normals(*days: int) -> list[Json]:
    """Normal values."""
    return [alp(60, taken, 35) for taken in days]


def signed(comparator: str, value: float, limit: float = 35, taken: int = -20) -> Json:
    """An ALP that lies somewhere beyond a value."""
    return alp(value, taken, limit, comparator=comparator)


def ranges(value: float, *found: Json, taken: int = -20) -> Json:
    """An ALP with these reference ranges."""
    return alp(value, taken, referenceRange=list(found))


def limit(value: float, unit: str | None = "U/L", **more: Any) -> Json:
    """A reference range with a lower limit."""
    return {"low": {"value": value} | ({"unit": unit} if unit else {}), **more}


def plp(value: float, high: float | None = 125, unit: str = "nmol/L", **more: Any) -> Json:
    """A PLP with the laboratory's upper limit, a hundred days ago."""
    return lab("plp", value, unit, more.pop("taken", -100), high=high, **more)


def pea(value: float, high: float | None = 50) -> Json:
    """A urine phosphoethanolamine."""
    return lab("pea", value, "umol/g{creat}", -100, high=high)


def b6(end: int | None, start: int | None = -900, **more: Any) -> Json:
    """Vitamin B6 over a time."""
    return taking("pyridoxine", start, end, **more)


def ggt(taken: int, value: float = 90) -> Json:
    """A GGT against a limit of 40."""
    return lab("ggt", value, "U/L", taken, high=40)


def potassium(value: float, unit: str = "mmol/L", taken: int = -20, **more: Any) -> Json:
    """A potassium."""
    return lab("potassium", value, unit, taken, **more)


def calcium(value: float, unit: str = "mmol/L", taken: int = -20, **more: Any) -> Json:
    """A total calcium."""
    return lab("calcium", value, unit, taken, **more)


def sample(k: float, ca: float, unit: str = "mmol/L") -> list[Json]:
    """A low ALP with potassium and calcium of the same specimen."""
    same: Any = {"specimen": "S1"}
    return [alp(20, -20, 35, **same), potassium(k, **same), calcium(ca, unit, **same)]


def at_times(first: str, second: str) -> list[Json]:
    """A low ALP at one time; high potassium and low calcium at another."""
    return [alp(20, -20, 35, time=first), potassium(7, time=second), calcium(1.5, time=second)]


def in_tube(text: str) -> list[Json]:
    """A low ALP whose specimen names what was in the tube."""
    specimen = {
        "resourceType": "Specimen",
        "id": "S1",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "container": [{"additiveCodeableConcept": {"text": text}}],
    }
    return [alp(20, -20, 35, specimen="S1"), specimen]


def course(start: str | None, end: str | None, drug: str = "alendronate", **more: Any) -> Json:
    """A course of a drug by its dates."""
    return taking(drug, on(start) if start else None, on(end) if end else None, **more)


def given(drug: str, *dates: str) -> list[Json]:
    """Doses of a drug by their dates."""
    return [dose(drug, on(text)) for text in dates]


def dispensed(drug: str, when: int, status: str = "completed", **more: Any) -> Json:
    """A MedicationDispense."""
    return {
        "resourceType": "MedicationDispense",
        "id": f"{drug}-dispense-{abs(when)}",
        "status": status,
        "medicationCodeableConcept": concept(*DRUGS[drug], drug),
        "subject": {"reference": f"Patient/{PATIENT}"},
        "whenHandedOver": day(when),
        **more,
    }


def verified(status: str) -> Any:
    """The verificationStatus of a condition."""
    return {"verificationStatus": {"coding": [{"code": status}]}}


LOW = alp(31, -20, 35)
"""One mild low value: on its own a card, `single-low-alp`."""
TWO_LOWS = (alp(32, -120, 35), LOW)
"""Two of them: `persistent-low-alp`."""
OLDER_LOW = alp(31, -200, 35)
HPP = condition("hypophosphatasia", -2000)
AFF = condition("atypical femoral fracture")
UNDERACTIVE = condition("hypothyroidism")
REFUTED = verified("refuted")
IN_ERROR = verified("entered-in-error")


# --- 2.3 The limit -------------------------------------------------------------------------------

ADULT_LIMITS = [
    row(f"{who}: {value}, no limit printed", answer, patient(58, sex), alp(value, -20))
    for who, sex, below, at, above in (
        ("man", "male", 39.9, 40, 40.1),
        ("woman", "female", 34.9, 35, 35.1),
        ("sex other", "other", 34.9, 35, 35.1),
        ("sex unknown", "unknown", 34.9, 35, 35.1),
        ("sex not recorded", None, 34.9, 35, 35.1),
    )
    for value, answer in ((below, SINGLE), (at, NOTHING), (above, NOTHING))
]

PRINTED_LIMITS = [
    row("just below the printed limit", SINGLE, alp(37.9, -20, 38)),
    row("at the printed limit", NOTHING, alp(38, -20, 38)),
    row("just above the printed limit", NOTHING, alp(38.1, -20, 38)),
    row("a man is judged by the printed limit too", NOTHING, patient(58, "male"), alp(36, -20, 35)),
    row("floor: just below 30 with 25 printed", SINGLE, alp(29.9, -20, 25)),
    row("floor: at 30 with 25 printed", NOTHING, alp(30, -20, 25)),
    row("floor: just above 30 with 25 printed", NOTHING, alp(30.1, -20, 25)),
    row("floor: just below 30 with 29.9 printed", SINGLE, alp(29.95, -20, 29.9)),
    row("floor: just below 30 with 30 printed", SINGLE, alp(29.9, -20, 30)),
    row("floor: at 30 with 30 printed", NOTHING, alp(30, -20, 30)),
    row("floor: at 30 with 30.1 printed", SINGLE, alp(30, -20, 30.1)),
    row("cap: just below 45 with 55 printed", SINGLE, alp(44.9, -20, 55)),
    row("cap: at 45 with 55 printed", NOTHING, alp(45, -20, 55)),
    row("cap: just above 45 with 55 printed", NOTHING, alp(45.1, -20, 55)),
    row("cap: just below 45 with 45 printed", SINGLE, alp(44.9, -20, 45)),
    row("cap: at 45 with 45 printed", NOTHING, alp(45, -20, 45)),
    row("cap: at 45 with 45.1 printed", NOTHING, alp(45, -20, 45.1)),
    row("implausible: 9.9 printed, result unusable", NOTHING, alp(9, -20, 9.9)),
    row("implausible: 0.7 printed as U/L, result unusable", NOTHING, alp(0.5, -20, 0.7)),
    row("plausible: 10 printed, just below the floor", SINGLE, alp(29.9, -20, 10)),
    row("plausible: 10 printed, at the floor", NOTHING, alp(30, -20, 10)),
    row("plausible: 10.1 printed, just below the floor", SINGLE, alp(29.9, -20, 10.1)),
]

TURNED_18 = girl("2008-11-01")
UP_TO_17 = limit(100, age={"high": {"value": 17, "unit": "a"}})
FROM_18 = limit(35, age={"low": {"value": 18, "unit": "a"}})
THERAPEUTIC = limit(60, type={"coding": [{"code": "therapeutic"}]})
NORMAL = limit(35, type={"coding": [{"code": "normal"}]})

RANGES = [
    row(
        "18 at sampling: below its range",
        SINGLE,
        TURNED_18,
        ranges(34.9, UP_TO_17, FROM_18, taken=0),
    ),
    row("18 at sampling: in its range", NOTHING, TURNED_18, ranges(35, UP_TO_17, FROM_18, taken=0)),
    row(
        "17 at sampling: below its range",
        SINGLE,
        TURNED_18,
        ranges(99, UP_TO_17, FROM_18, taken=-1),
    ),
    row(
        "17 at sampling: in its range", NOTHING, TURNED_18, ranges(100, UP_TO_17, FROM_18, taken=-1)
    ),
    row("a therapeutic range is none", NOTHING, ranges(40, THERAPEUTIC, NORMAL)),
    row("a normal range is one", SINGLE, ranges(34.9, THERAPEUTIC, NORMAL)),
    row("limit in µkat/L: just below", SINGLE, ranges(35.9, limit(0.6, "ukat/L"))),
    row("limit in µkat/L: at it", NOTHING, ranges(36, limit(0.6, "ukat/L"))),
    row("limit without unit: just below", SINGLE, ranges(37.9, limit(38, None))),
    row("limit without unit: at it", NOTHING, ranges(38, limit(38, None))),
    row(
        "limit in an unknown unit: just below the built-in one",
        SINGLE,
        ranges(34.9, limit(60, "g/L")),
    ),
    row("limit in an unknown unit: at the built-in one", NOTHING, ranges(35, limit(60, "g/L"))),
    row("upper limit only: just below the built-in one", SINGLE, alp(34.9, -20, high=120)),
    row("upper limit only: at the built-in one", NOTHING, alp(35, -20, high=120)),
]

CHILD_TABLE = [
    row(f"{age}, {sex}: {value}", answer, patient(sex=sex, birthDate=born), alp(value, 0))
    for age, born, boys, girls, low in (
        ("day 0", "2026-11-01", 83, 83, CHILD),
        ("day 14", "2026-10-18", 83, 83, CHILD),
        ("day 15", "2026-10-17", 122, 122, CHILD),
        ("1 year less a day", "2025-11-02", 122, 122, CHILD),
        ("1 year", "2025-11-01", 142, 142, CHILD),
        ("10 years less a day", "2016-11-02", 142, 142, CHILD),
        ("10 years", "2016-11-01", 129, 129, CHILD),
        ("13 years less a day", "2013-11-02", 129, 129, CHILD),
        ("13 years", "2013-11-01", 116, 57, CHILD),
        ("15 years less a day", "2011-11-02", 116, 57, CHILD),
        ("15 years", "2011-11-01", 82, 50, CHILD),
        ("17 years less a day", "2009-11-02", 82, 50, CHILD),
        ("17 years", "2009-11-01", 55, 45, CHILD),
        ("18 years less a day", "2008-11-02", 55, 45, CHILD),
        ("18 years", "2008-11-01", 55, 45, SINGLE),
        ("19 years less a day", "2007-11-02", 55, 45, SINGLE),
        ("19 years", "2007-11-01", 40, 35, SINGLE),
    )
    for sex, lower in (("male", boys), ("female", girls), ("unknown", min(boys, girls)))
    for value, answer in ((lower - 0.1, low), (lower, NOTHING), (lower + 0.1, NOTHING))
]

GIRL_8, BOY_8 = girl("2018-06-01"), boy("2018-06-01")
GIRL_16, BOY_16 = girl("2010-06-01"), boy("2010-06-01")
BOY_17 = boy("2009-06-01")
TEETH = condition("early tooth loss")

CHILDREN = [
    row("sampled the day before the 10th birthday", CHILD, girl("2016-11-01"), alp(130, -1)),
    row("sampled on the 10th birthday", NOTHING, girl("2016-11-01"), alp(130, 0)),
    row("sampled the day before the 19th birthday", SINGLE, girl("2007-11-01"), alp(40, -1)),
    row("sampled on the 19th birthday", NOTHING, girl("2007-11-01"), alp(40, 0)),
    row("sampled at 17, grown up today", SINGLE, girl("2008-10-31"), alp(44, -2)),
    row("50 printed is an adult range: 141 is low", CHILD, GIRL_8, alp(141, -20, 50)),
    row("50 printed is an adult range: 142 is not", NOTHING, GIRL_8, alp(142, -20, 50)),
    row("49.9 printed is an adult range", CHILD, GIRL_8, alp(141, -20, 49.9)),
    row("50.1 printed is a child's range: 141 is not low", NOTHING, GIRL_8, alp(141, -20, 50.1)),
    row("50.1 printed is a child's range: 50 is low", CHILD, GIRL_8, alp(50, -20, 50.1)),
    row("an adult range in µkat/L", CHILD, GIRL_8, alp(2.35, -20, 0.83, unit="ukat/L")),
    row("boy of 16, own limit 82, 50 printed", CHILD, BOY_16, alp(81.9, -20, 50)),
    row("girl of 16, own limit 50, 40 printed: above it", NOTHING, GIRL_16, alp(45, -20, 40)),
    row("girl of 16, own limit 50, 40 printed: below it", CHILD, GIRL_16, alp(39.9, -20, 40)),
    row("boy of 17, own limit 55, 40 printed", NOTHING, BOY_17, alp(54, -20, 40)),
    row("110 printed: just below", CHILD, GIRL_8, alp(109.9, -20, 110)),
    row("110 printed: at it", NOTHING, GIRL_8, alp(110, -20, 110)),
    row("no cap for children", CHILD, BOY_8, alp(45, -20, 110)),
    row("child: lows 30 days apart", CHILD_PERSISTENT, BOY_8, alp(120, -50), alp(121, -20)),
    row("child: lows 29 days apart", CHILD, BOY_8, alp(120, -49), alp(121, -20)),
    row("child: one low and early tooth loss", CHILD_PERSISTENT, BOY_8, alp(120, -50), TEETH),
    row("child: one low and rickets", CHILD_PERSISTENT, BOY_8, alp(120, -50), condition("rickets")),
]

UNDATED_PREGNANCY = condition("pregnancy", -30)

PREGNANCY = [
    row("13 weeks 6 days: just below 17", PREGNANT, *expecting(14, 16.9, -1)),
    row("13 weeks 6 days: at 17", NOTHING, *expecting(14, 17, -1)),
    row("13 weeks 6 days: just above 17", NOTHING, *expecting(14, 17.1, -1)),
    row("13 weeks 6 days: 24.9", NOTHING, *expecting(14, 24.9, -1)),
    row("14 weeks: just below 25", PREGNANT, *expecting(14, 24.9)),
    row("14 weeks: at 25", NOTHING, *expecting(14, 25)),
    row("14 weeks: just above 25", NOTHING, *expecting(14, 25.1)),
    row("27 weeks 6 days: just below 25", PREGNANT, *expecting(28, 24.9, -1)),
    row("27 weeks 6 days: at 25", NOTHING, *expecting(28, 25, -1)),
    row("27 weeks 6 days: 37.9", NOTHING, *expecting(28, 37.9, -1)),
    row("28 weeks: just below 38", PREGNANT, *expecting(28, 37.9)),
    row("28 weeks: at 38", NOTHING, *expecting(28, 38)),
    row("28 weeks: just above 38", NOTHING, *expecting(28, 38.1)),
    row("pregnant: no floor", NOTHING, *expecting(10, 20)),
    row("pregnant: printed limit above", NOTHING, patient(31), alp(20, 0, 35), *pregnant(10)),
    row("pregnant: printed limit below", PREGNANT, patient(31), alp(37, 0, 35), *pregnant(35)),
    row("pregnant at 16: just below 38", PREGNANT, GIRL_16, alp(37.9, 0), *pregnant(35)),
    row("pregnant at 16: at 38", NOTHING, GIRL_16, alp(38, 0), *pregnant(35)),
    row("280 days before the due date", NOTHING, patient(31), alp(34, -100), due(180)),
    row("281 days before the due date", SINGLE, patient(31), alp(34, -101), due(180)),
    row("14 days after the due date", PREGNANT, patient(31), alp(37, 0), due(-14)),
    row("15 days after the due date", NOTHING, patient(31), alp(37, 0), due(-15)),
    row("no due date: just below 17", PREGNANT, patient(31), alp(16.9, -20), UNDATED_PREGNANCY),
    row("no due date: at 17", NOTHING, patient(31), alp(17, -20), UNDATED_PREGNANCY),
    row(
        "no due date: 98 days before the entry",
        NOTHING,
        patient(31),
        alp(34, -128),
        UNDATED_PREGNANCY,
    ),
    row(
        "no due date: 99 days before the entry",
        SINGLE,
        patient(31),
        alp(34, -129),
        UNDATED_PREGNANCY,
    ),
    row("pregnant at 55", NOTHING, patient(55), alp(34, -5), UNDATED_PREGNANCY),
    row("an old entry at 56", SINGLE, patient(56), alp(34, -5), UNDATED_PREGNANCY),
    row("an entry of a man", SINGLE, patient(31, "male"), alp(34, -5), UNDATED_PREGNANCY),
]

FIRST_LOW = alp(33, -120, 35)

TIERS = [
    row("persistent: just above 30", PERSISTENT, FIRST_LOW, alp(30.1, -20, 35)),
    row("persistent: at 30", PERSISTENT, FIRST_LOW, alp(30, -20, 35)),
    row("persistent: just below 30", CLEARLY_PERSISTENT, FIRST_LOW, alp(29.9, -20, 35)),
    row("persistent: the latest decides", PERSISTENT, alp(20, -120, 35), LOW),
    row("persistent: 0.5 µkat/L", PERSISTENT, FIRST_LOW, alp(0.5, -20, 0.6, unit="ukat/L")),
    row(
        "persistent: 0.499 µkat/L",
        CLEARLY_PERSISTENT,
        FIRST_LOW,
        alp(0.499, -20, 0.6, unit="ukat/L"),
    ),
    row("persistent: <30 is below 30", CLEARLY_PERSISTENT, FIRST_LOW, signed("<", 30)),
    row("persistent: <=30 may be 30", PERSISTENT, FIRST_LOW, signed("<=", 30)),
    row("persistent: tooth loss", CLEARLY_PERSISTENT, *TWO_LOWS, TEETH),
    row("single: just below 30", SINGLE, alp(29.9, -20, 35)),
    row("single: just below 25", SINGLE, alp(24.9, -20, 35)),
    row("normal PLP: just above 25", INCOMPLETE, alp(25.1, -20, 35), plp(60)),
    row("normal PLP: at 25", INCOMPLETE, alp(25, -20, 35), plp(60)),
    row("normal PLP: just below 25", SINGLE, alp(24.9, -20, 35), plp(60)),
    row("normal PLP: <25 is below 25", SINGLE, signed("<", 25), plp(60)),
    row("reversible cause: just above 25", REVERSIBLE, alp(25.1, -20, 35), UNDERACTIVE),
    row("reversible cause: at 25", REVERSIBLE, alp(25, -20, 35), UNDERACTIVE),
    row("reversible cause: just below 25", SINGLE, alp(24.9, -20, 35), UNDERACTIVE),
    row("reversible cause: <25 is below 25", SINGLE, signed("<", 25), UNDERACTIVE),
]


@pytest.mark.parametrize(
    "chart, expected",
    [*ADULT_LIMITS, *PRINTED_LIMITS, *RANGES, *CHILD_TABLE, *CHILDREN, *PREGNANCY, *TIERS],
)
def test_limits(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


# --- 2.2 Which results count ---------------------------------------------------------------------

STATUSES = [
    row(f"ALP {status}", answer, alp(31, -20, 35, status=status))
    for status, answer in (
        ("final", SINGLE),
        ("amended", SINGLE),
        ("corrected", SINGLE),
        ("registered", NOTHING),
        ("preliminary", NOTHING),
        ("cancelled", NOTHING),
        ("entered-in-error", NOTHING),
        ("unknown", NOTHING),
        (None, NOTHING),
    )
]

ABSENT: Any = {"dataAbsentReason": {"coding": [{"code": "error"}]}}

VALUES = [
    row("<34, limit 35", SINGLE, signed("<", 34)),
    row("<35, limit 35", SINGLE, signed("<", 35)),
    row("<36, limit 35", NOTHING, signed("<", 36)),
    row("<=34, limit 35", SINGLE, signed("<=", 34)),
    row("<=35, limit 35", NOTHING, signed("<=", 35)),
    row("<30, limit 25, floor 30", SINGLE, signed("<", 30, 25)),
    row("<45, limit 55, cap 45", SINGLE, signed("<", 45, 55)),
    row("<46, limit 55, cap 45", NOTHING, signed("<", 46, 55)),
    row("a low, then >34", SINGLE, LOW, signed(">", 34, taken=-5)),
    row("a low, then >35", NOTHING, LOW, signed(">", 35, taken=-5)),
    row("a low, then >36", NOTHING, LOW, signed(">", 36, taken=-5)),
    row("a low, then >=34", SINGLE, LOW, signed(">=", 34, taken=-5)),
    row("a low, then >=35", NOTHING, LOW, signed(">=", 35, taken=-5)),
    row("a comparator of R5", NOTHING, signed("ad", 31)),
    row(
        "two lows and three <36",
        PERSISTENT,
        *TWO_LOWS,
        *(signed("<", 36, 35, -d) for d in (200, 300, 400)),
    ),
    row("'31 U/L' as text", SINGLE, alp("31 U/L", -20, 35, range_unit="U/L")),
    row("'<35 U/L' as text", SINGLE, alp("<35 U/L", -20, 35, range_unit="U/L")),
    row("'<36 U/L' as text", NOTHING, alp("<36 U/L", -20, 35, range_unit="U/L")),
    row("'low' as text", NOTHING, alp("low", -20, 35, range_unit="U/L")),
    row("no value", NOTHING, alp(None, -20, 35)),
    row("no value, with the reason", NOTHING, alp(None, -20, 35, **ABSENT)),
    row("a value that is said to be absent", NOTHING, alp(31, -20, 35, **ABSENT)),
    row("zero", NOTHING, alp(0, -20, 35)),
    *(
        row(f"{name} is no total ALP", NOTHING, lab(name, 20, "U/L", -20, low=35))
        for name in ("alp_bone", "alp_urine", "alp_liver")
    ),
]

SPELLINGS = {
    "U/L": (27, 36),
    "U/l": (27, 36),
    "[IU]/L": (27, 36),
    "[IU]/l": (27, 36),
    "[iU]/L": (27, 36),
    "[iU]/l": (27, 36),
    "mU/mL": (27, 36),
    "m[IU]/mL": (27, 36),
    "umol/min/L": (27, 36),
    "U/dL": (2.7, 3.6),
    "ukat/L": (0.45, 0.6),
    "ukat/l": (0.45, 0.6),
    "nkat/L": (450, 600),
    "nkat/l": (450, 600),
    "nmol/(s.L)": (450, 600),
    "IU/L": (27, 36),
    "IU/l": (27, 36),
    "UI/L": (27, 36),
    "UI/l": (27, 36),
    "E/L": (27, 36),
    "u/L": (27, 36),
    "\u00b5kat/L": (0.45, 0.6),  # micro sign
    "\u00b5kat/l": (0.45, 0.6),
    "\u03bckat/L": (0.45, 0.6),  # Greek mu
    "\u03bckat/l": (0.45, 0.6),
}
"""27 U/L and a limit of 36 U/L in every accepted unit."""

UNITS = [
    *(
        row(f"{value} {unit} of {lower}", answer, alp(value, -20, lower, unit=unit))
        for unit, (low, lower) in SPELLINGS.items()
        for value, answer in ((low, SINGLE), (lower, NOTHING))
    ),
    *(
        row(
            f"{low} {unit} twice", CLEARLY_PERSISTENT, *(alp(low, d, unit=unit) for d in (-60, -20))
        )
        for unit, (low, _) in SPELLINGS.items()
    ),
    *(
        row(f"unit {unit!r}", NOTHING, alp(27, -20, 36, unit=unit))
        for unit in ("mkat/L", "kat/L", "U/mL", "mg/dL", "g/L", "%", "U", "units", "U/24h", "1")
    ),
    row("no unit, limit without unit: below", SINGLE, alp(31, -20, 35, unit=None)),
    row("no unit, limit without unit: at it", NOTHING, alp(35, -20, 35, unit=None)),
    row("no unit, no limit", NOTHING, alp(31, -20, unit=None)),
    row("no unit, limit in U/L", NOTHING, alp(31, -20, 35, unit=None, range_unit="U/L")),
    row("no unit: no tier", PERSISTENT, *(alp(20, d, 35, unit=None) for d in (-60, -20))),
    *(
        row(f"unit {unit}, code {code}", answer, alp(31, -20, 35, valueQuantity=quantity))
        for unit, code, answer in (
            ("U/L", "ukat/L", NOTHING),
            ("IU/L", None, SINGLE),
            (None, "U/L", SINGLE),
        )
        for quantity in ({"value": 31, "unit": unit, "system": UCUM, "code": code},)
    ),
]

DATES = [
    row("no sampling date, issued", SINGLE, {**LOW, "effectiveDateTime": None, "issued": day(-20)}),
    row("no date at all", NOTHING, {**LOW, "effectiveDateTime": None}),
    row("a date that is none", NOTHING, low_on("yesterday")),
    row("a time without zone", SINGLE, low_on("2026-10-12T08:00:00")),
    row("a time in a zone ahead", SINGLE, low_on("2026-10-12T08:00:00+14:00")),
    row("the month in which the look-back begins", SINGLE, low_on("2024-11")),
    row("the month before", NOTHING, low_on("2024-10")),
    row("the year in which the look-back begins", SINGLE, low_on("2024")),
    row("the year before", NOTHING, low_on("2023")),
    row("this month", SINGLE, low_on("2026-11")),
    row("this year", SINGLE, low_on("2026")),
    row("next month", NOTHING, low_on("2026-12")),
    row("next year", NOTHING, low_on("2027")),
    row("30 days after the end of a month", PERSISTENT, low_on("2026-08"), low_on("2026-09-30")),
    row("29 days after the end of a month", SINGLE, low_on("2026-08"), low_on("2026-09-29")),
    row("today", SINGLE, alp(31, 0, 35)),
    row("tomorrow, in a zone ahead", SINGLE, alp(31, 1, 35)),
    row("in two days", NOTHING, alp(31, 2, 35)),
    row("a low, and a normal of the future", SINGLE, LOW, alp(60, 2, 35)),
    row("a low, and a low of the future", SINGLE, LOW, alp(31, 60, 35)),
]

DUPLICATES = [
    row("one result under two ids", SINGLE, LOW, {**LOW, "id": "again"}),
    row("one result sent twice", SINGLE, LOW, LOW),
    row("two lows of one day", SINGLE, LOW, alp(30, -20, 35)),
    row("normals 29 days apart: 2 of 4", PERSISTENT, *TWO_LOWS, *normals(-400, -300, -271)),
    row("normals 30 days apart: 2 of 5", SINGLE, *TWO_LOWS, *normals(-400, -300, -270)),
]

IN_STAY: Any = {"encounter": {"reference": "Encounter/enc-imp-400"}}
RED_CELLS, MASSIVE, BYPASS = "71493000", "277360004", "63697000"

ACUTE_ILLNESS = [
    row("the day before admission", SINGLE, LOW, stay("IMP", -19, -10)),
    row("on the day of admission", ACUTE, LOW, stay("IMP", -20, -10)),
    row("29 days after discharge", ACUTE, LOW, stay("IMP", -60, -49)),
    row("30 days after discharge", ACUTE, LOW, stay("IMP", -60, -50)),
    row("31 days after discharge", SINGLE, LOW, stay("IMP", -60, -51)),
    row("30 days after the emergency room", ACUTE, LOW, stay("EMER", -50, -50)),
    row("31 days after the emergency room", SINGLE, LOW, stay("EMER", -51, -51)),
    row("30 days after observation", ACUTE, LOW, stay("OBSENC", -51, -50)),
    row("30 days after an acute inpatient stay", ACUTE, LOW, stay("ACUTE", -51, -50)),
    row("an outpatient visit", SINGLE, LOW, stay("AMB", -20, -20)),
    *(
        row(f"a stay {status}", SINGLE, LOW, stay("IMP", -25, -10, status=status))
        for status in ("planned", "cancelled", "entered-in-error")
    ),
    row("120 days into a stay never closed", ACUTE, LOW, stay("IMP", -140, None)),
    row("121 days into a stay never closed", SINGLE, LOW, stay("IMP", -141, None)),
    row("30 days after a stay without end", ACUTE, LOW, stay("IMP", -50, None, status="finished")),
    row("31 days after a stay without end", SINGLE, LOW, stay("IMP", -51, None, status="finished")),
    row(
        "a sample that names its stay", ACUTE, alp(31, -20, 35, **IN_STAY), stay("IMP", -400, -390)
    ),
    row("the day before a transfusion", SINGLE, LOW, procedure(RED_CELLS, -19)),
    row("on the day of a transfusion", ACUTE, LOW, procedure(RED_CELLS, -20)),
    row("29 days after a transfusion", ACUTE, LOW, procedure(RED_CELLS, -49)),
    row("30 days after a transfusion", ACUTE, LOW, procedure(RED_CELLS, -50)),
    row("31 days after a transfusion", SINGLE, LOW, procedure(RED_CELLS, -51)),
    row("30 days after massive transfusion", ACUTE, LOW, procedure(MASSIVE, -50)),
    row("30 days after cardiopulmonary bypass", ACUTE, LOW, procedure(BYPASS, -50)),
    row("31 days after cardiopulmonary bypass", SINGLE, LOW, procedure(BYPASS, -51)),
    row("a transfusion not done", SINGLE, LOW, procedure(RED_CELLS, -20, status="not-done")),
    row("an acute low and another", SINGLE, alp(25, -120, 35), LOW, stay("IMP", -121, -119)),
    row("a low and an acute normal", SINGLE, LOW, alp(60, -5, 35), stay("IMP", -6, -4)),
]

SUSPICIOUS = sample(7, 1.5)
K_AND_CA = SUSPICIOUS[1:]
PRELIMINARY = [{**result, "status": "preliminary"} for result in K_AND_CA]

SPECIMENS = [
    row("K 5.4", SINGLE, *sample(5.4, 1.9)),
    row("K 5.5", SINGLE, *sample(5.5, 1.9)),
    row("K 5.6", SUSPECT, *sample(5.6, 1.9)),
    row("Ca 1.99 mmol/L", SUSPECT, *sample(7, 1.99)),
    row("Ca 2.0 mmol/L", SINGLE, *sample(7, 2.0)),
    row("Ca 2.01 mmol/L", SINGLE, *sample(7, 2.01)),
    row("Ca 7.9 mg/dL", SUSPECT, *sample(7, 7.9, "mg/dL")),
    row("Ca 8.0 mg/dL", SINGLE, *sample(7, 8.0, "mg/dL")),
    row("Ca 8.1 mg/dL", SINGLE, *sample(7, 8.1, "mg/dL")),
    row("K 5.5 mEq/L", SINGLE, *SUSPICIOUS[::2], potassium(5.5, "mEq/L", specimen="S1")),
    row("K 5.6 mEq/L", SUSPECT, *SUSPICIOUS[::2], potassium(5.6, "mEq/L", specimen="S1")),
    row("high K alone", SINGLE, *SUSPICIOUS[:2]),
    row("low Ca alone", SINGLE, *SUSPICIOUS[::2]),
    row("K and Ca not final", SINGLE, SUSPICIOUS[0], *PRELIMINARY),
    row("K and Ca of another specimen", SINGLE, alp(20, -20, 35, specimen="S2"), *K_AND_CA),
    row("same time", SUSPECT, *at_times("08:00:00Z", "08:00:00Z")),
    row("10 minutes later", SUSPECT, *at_times("08:00:00Z", "08:10:00Z")),
    row("10 minutes and a second later", SINGLE, *at_times("08:00:00Z", "08:10:01Z")),
    row("10 minutes earlier", SUSPECT, *at_times("08:10:00Z", "08:00:00Z")),
    row("10 minutes and a second earlier", SINGLE, *at_times("08:10:01Z", "08:00:00Z")),
    row("same moment in another zone", SUSPECT, *at_times("10:00:00+02:00", "08:00:00Z")),
    row("same digits in another zone", SINGLE, *at_times("08:00:00+02:00", "08:00:00Z")),
    row("one of the times without zone", SUSPECT, *at_times("08:00:00", "08:10:00Z")),
    row("same day, no time", SUSPECT, alp(20, -20, 35), potassium(7), calcium(1.5)),
    row("same day, one time", SINGLE, alp(20, -20, 35), *at_times("08:00:00Z", "09:00:00Z")[1:]),
    row("EDTA tube", SUSPECT, *in_tube("K2-EDTA")),
    row("citrate tube", SUSPECT, *in_tube("sodium citrate 3.2 %")),
    row("oxalate tube", SUSPECT, *in_tube("potassium oxalate")),
    row("fluoride tube", SUSPECT, *in_tube("Sodium Fluoride")),
    row("heparin tube", SINGLE, *in_tube("lithium heparin")),
    row("a sound low beside it", SINGLE, *SUSPICIOUS, OLDER_LOW),
    row("a sound normal after it", NOTHING, *SUSPICIOUS, alp(60, -10, 35)),
    row("then K 5.5, Ca 2.0", NOTHING, *SUSPICIOUS, potassium(5.5, taken=-9), calcium(2, taken=-9)),
    row("then K 5.6, Ca 2.0", SUSPECT, *SUSPICIOUS, potassium(5.6, taken=-9), calcium(2, taken=-9)),
    row("then K 5.5, no Ca", SUSPECT, *SUSPICIOUS, potassium(5.5, taken=-9)),
]


@pytest.mark.parametrize(
    "chart, expected",
    [*STATUSES, *VALUES, *UNITS, *DATES, *DUPLICATES, *ACUTE_ILLNESS, *SPECIMENS],
)
def test_what_counts(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


def test_every_accepted_unit_of_alp_has_its_rows() -> None:
    table = tomllib.loads((KNOWLEDGE / "units.toml").read_text(encoding="utf-8"))
    assert set(SPELLINGS) == set(table["alp-total"]["factors"])


@pytest.mark.parametrize(
    "taken, exclusion",
    [
        pytest.param(-501, None, id="the day before"),
        pytest.param(-500, "asfotase alfa", id="on the first day"),
        pytest.param(-140, "asfotase alfa", id="60 days after the last"),
        pytest.param(-139, None, id="61 days after the last"),
    ],
)
def test_alp_on_asfotase_alfa(advisor: Advisor, taken: int, exclusion: str | None) -> None:
    """Whoever was given it is known to have hypophosphatasia, so no card can show the window."""
    answer, said = ask(advisor, alp(31, taken, 35), taking("asfotase alfa", -500, -200))
    found = [v.exclusion for v in answer.decision.assessment.alp.values]
    assert (said, found) == (MANAGED, [exclusion])


# --- 2.4 Persistent, single, resolved, recent ----------------------------------------------------

SERIES = [
    row("24 months ago less a day", SINGLE, low_on("2024-11-02")),
    row("24 months ago", SINGLE, low_on("2024-11-01")),
    row("24 months and a day ago", NOTHING, low_on("2024-10-31")),
    row("persistent to 24 months ago", PERSISTENT, low_on("2020-01-01"), low_on("2024-11-01")),
    row(
        "persistent to 24 months and a day ago", NOTHING, low_on("2020-01-01"), low_on("2024-10-31")
    ),
    row("lows 29 days apart", SINGLE, alp(32, -49, 35), LOW),
    row("lows 30 days apart", PERSISTENT, alp(32, -50, 35), LOW),
    row("lows 31 days apart", PERSISTENT, alp(32, -51, 35), LOW),
    row("lows twenty years apart", PERSISTENT, alp(32, -7300, 35), LOW),
    row("lows, the latest at the limit", NOTHING, *TWO_LOWS, alp(35, -5, 35)),
    row("2 of 3 low", PERSISTENT, *TWO_LOWS, *normals(-200)),
    row("2 of 4 low", PERSISTENT, *TWO_LOWS, *normals(-200, -300)),
    row("2 of 5 low", SINGLE, *TWO_LOWS, *normals(-200, -300, -400)),
    row("2 of 5 low in 5 years", SINGLE, *TWO_LOWS, *normals(-200, -300), normal_on("2021-11-01")),
    row(
        "2 of 4 low in 5 years",
        PERSISTENT,
        *TWO_LOWS,
        *normals(-200, -300),
        normal_on("2021-10-31"),
    ),
    row("a low of 5 years ago", PERSISTENT, LOW, *normals(-200, -300), low_on("2021-11-01")),
    row("a low of 5 years and a day ago", SINGLE, LOW, *normals(-200, -300), low_on("2021-10-31")),
]


@pytest.mark.parametrize("chart, expected", SERIES)
def test_series(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


# --- 2.5 Exposure and residual windows -----------------------------------------------------------


def window(
    story: str, *uses: Json, last: str = "2026-03-01", after: str = "2026-03-02"
) -> list[Any]:
    """A mild low on the last day of a window, which is 1 March 2026, and on the day after it."""
    return [
        row(story, ON_TREATMENT, low_on(last), *uses),
        row(f"{story} and a day", SINGLE, low_on(after), *uses),
    ]


def split(end: str, gap: int) -> list[Json]:
    """Two courses of 500 days."""
    last = on(end)
    first = last - 500 - gap
    return [taking("alendronate", first - 500, first), taking("alendronate", last - 500, last)]


INJECTION = concept(RXNORM, "1659718", "ibandronic acid 1 MG/ML Injection")
YEARLY = ("2019-03-01", "2020-03-01", "2021-03-01")

WINDOWS = [
    *window("a year of alendronate: 24 months", course("2023-03-01", "2024-03-01")),
    *window("a year of risedronate: 24 months", course("2023-03-01", "2024-03-01", "risedronate")),
    *window("a year of ibandronate: 24 months", course("2023-03-01", "2024-03-01", "ibandronate")),
    *window(
        "to a leap day: 24 months",
        course("2023-03-01", "2024-02-29"),
        last="2026-02-28",
        after="2026-03-01",
    ),
    *window(
        "3 years less two days: 24 months",
        course("2021-02-03", "2024-02-01"),
        last="2026-02-01",
        after="2026-02-02",
    ),
    row(
        "3 years: 24 months and a day",
        ON_TREATMENT,
        low_on("2026-02-02"),
        course("2021-02-01", "2024-02-01"),
    ),
    *window("3 years with a leap day: 60 months", course("2018-03-01", "2021-03-01")),
    *window("3 years and a day: 60 months", course("2018-02-28", "2021-03-01")),
    *window("4 years of risedronate: 60 months", course("2017-03-01", "2021-03-01", "risedronate")),
    *window(
        "4 years of ibandronate by mouth: 60 months",
        course("2017-03-01", "2021-03-01", "ibandronate"),
    ),
    *window("start not recorded: 60 months", course(None, "2021-03-01")),
    row(
        "end not recorded",
        ON_TREATMENT,
        low_on("2025-03-01"),
        course("2021-03-01", None, status="completed"),
    ),
    row("no dates, stopped", ON_TREATMENT, LOW, taking("alendronate", None, status="stopped")),
    row("no dates, taken", ON_TREATMENT, LOW, taking("alendronate", None)),
    *window(
        "2 years, and 2 years again: 60 months",
        course("2016-03-01", "2018-03-01"),
        course("2019-03-01", "2021-03-01"),
    ),
    *window("courses 180 days apart are one: 60 months", *split("2021-03-01", 180)),
    *window("courses 181 days apart are two: 24 months", *split("2024-03-01", 181)),
    *window("one dispense: 24 months", dispensed("alendronate", on("2024-03-01"))),
    *window(
        "one dispense for 28 days: 24 months",
        dispensed("alendronate", on("2024-02-02"), daysSupply={"value": 28}),
    ),
    row("on the day of the first tablet", LOW_BEFORE, LOW, taking("alendronate", -20)),
    row("on the day after the first tablet", ON_TREATMENT, LOW, taking("alendronate", -21)),
    row("first tablet tomorrow", SINGLE, LOW, taking("alendronate", 1)),
    *window("pamidronate: 24 months", *given("pamidronate", "2024-03-01")),
    *window("6 years of pamidronate: 24 months", course("2018-03-01", "2024-03-01", "pamidronate")),
    *window(
        "4 years of ibandronate by injection: 24 months",
        course("2020-03-01", "2024-03-01", "ibandronate", medicationCodeableConcept=INJECTION),
    ),
    *window(
        "4 years of ibandronate, each dose recorded: 24 months",
        *(
            dose("ibandronate", on("2024-03-01") - 90 * n, medicationCodeableConcept=INJECTION)
            for n in range(17)
        ),
    ),
    *window(
        "4 years of alendronate, each tablet given by a nurse: 60 months",
        *(dose("alendronate", on("2021-03-01") - 7 * n) for n in range(209)),
    ),
    *window("zoledronate once: 36 months", *given("zoledronate", "2023-03-01")),
    *window("zoledronate twice: 36 months", *given("zoledronate", "2022-03-01", "2023-03-01")),
    *window("zoledronate three times: 60 months", *given("zoledronate", *YEARLY)),
    *window("zoledronate four times: 60 months", *given("zoledronate", "2018-03-01", *YEARLY)),
    *window(
        "zoledronate twice, one dose recorded twice: 36 months",
        *given("zoledronate", "2022-03-01", "2023-03-01"),
        dispensed("zoledronate", on("2023-03-01")),
    ),
    row(
        "denosumab: 7 months",
        ON_TREATMENT + GAP,
        low_on("2026-03-01"),
        *given("denosumab", "2025-08-01"),
    ),
    row(
        "denosumab: 7 months and a day",
        SINGLE + GAP,
        low_on("2026-03-02"),
        *given("denosumab", "2025-08-01"),
    ),
    row(
        "denosumab: 7 months, dose later",
        ON_TREATMENT,
        low_on("2026-03-01"),
        *given("denosumab", "2025-08-01", "2026-05-01"),
    ),
    row(
        "denosumab: 7 months and a day, dose later",
        SINGLE,
        low_on("2026-03-02"),
        *given("denosumab", "2025-08-01", "2026-05-01"),
    ),
    row("denosumab: rebound", SINGLE + GAP, LOW, *given("denosumab", "2024-11-15")),
]

DENOSUMAB_GAP = [
    row("last dose 7 months ago less a day", ON_TREATMENT, LOW, *given("denosumab", "2026-04-02")),
    row("last dose 7 months ago", ON_TREATMENT, LOW, *given("denosumab", "2026-04-01")),
    row(
        "last dose 7 months and a day ago",
        ON_TREATMENT + GAP,
        LOW,
        *given("denosumab", "2026-03-31"),
    ),
    row("last dose 24 months ago less a day", SINGLE + GAP, LOW, *given("denosumab", "2024-11-02")),
    row("last dose 24 months ago", SINGLE + GAP, LOW, *given("denosumab", "2024-11-01")),
    row("last dose 24 months and a day ago", SINGLE, LOW, *given("denosumab", "2024-10-31")),
    row("a later dose", ON_TREATMENT, LOW, *given("denosumab", "2025-06-01", "2026-08-01")),
    row(
        "a later zoledronate",
        SINGLE,
        LOW,
        *given("denosumab", "2025-06-01"),
        dose("zoledronate", -10),
    ),
    row(
        "an earlier zoledronate",
        ON_TREATMENT + GAP,
        LOW,
        *given("zoledronate", "2024-06-01"),
        *given("denosumab", "2025-06-01"),
    ),
    row("at the dose for malignancy", SINGLE, LOW, *given("denosumab 120 mg", "2025-06-01")),
    row("not low", NOTHING, alp(60, -20, 35), *given("denosumab", "2025-06-01")),
    row("hypophosphatasia, 7 months ago", HPP_EXPOSED, HPP, *given("denosumab", "2026-04-01")),
    row(
        "hypophosphatasia, 7 months and a day ago",
        "warning: denosumab-gap",
        HPP,
        *given("denosumab", "2026-03-31"),
    ),
    row(
        "hypophosphatasia, rebound, atypical fracture",
        "warning: denosumab-gap",
        *(HPP, AFF, LOW),
        *given("denosumab", "2026-03-31"),
    ),
    row(
        "hypophosphatasia, denosumab 24 months and a day ago",
        MANAGED,
        HPP,
        *given("denosumab", "2024-10-31"),
    ),
    row(
        "hypophosphatasia, denosumab followed by zoledronate long ago",
        HPP_EXPOSED,
        HPP,
        *given("denosumab", "2025-06-01"),
        *given("zoledronate", "2025-12-01"),
    ),
]

BEFORE_2023 = low_on("2022-06-01")

STILL_EXPOSED = [
    row("hypophosphatasia, 24 months ago", HPP_EXPOSED, HPP, course("2023-01-01", "2024-11-01")),
    row(
        "hypophosphatasia, 24 months and a day ago",
        MANAGED,
        HPP,
        course("2023-01-01", "2024-10-31"),
    ),
    row("hypophosphatasia, first dose today", HPP_EXPOSED, HPP, dose("zoledronate", 0)),
    row("hypophosphatasia, first dose tomorrow", MANAGED, HPP, dose("zoledronate", 1)),
    row(
        "low before, 24 months ago",
        LOW_BEFORE,
        BEFORE_2023,
        LOW,
        course("2023-01-01", "2024-11-01"),
    ),
    row(
        "low before, 24 months and a day ago",
        PERSISTENT,
        BEFORE_2023,
        LOW,
        course("2023-01-01", "2024-10-31"),
    ),
]


def statuses(name: str, build: Callable[[str], Json], counted: str, ignored: str) -> list[Any]:
    """A low value on a drug that is recorded with each of these statuses."""
    return [
        row(f"{name} {status}", answer, LOW, build(status))
        for answer, found in ((ON_TREATMENT, counted), (SINGLE, ignored))
        for status in found.split()
    ]


FOSAMAX: Any = {"medicationCodeableConcept": {"text": "Fosamax 70 mg"}}

MEDICATIONS = [
    *statuses(
        "statement",
        lambda status: taking("alendronate", -400, -30, status=status),
        counted="active completed stopped on-hold unknown",
        ignored="entered-in-error intended not-taken",
    ),
    *statuses(
        "prescription",
        lambda status: prescribed("alendronate", -400, status),
        counted="active completed stopped on-hold unknown",
        ignored="entered-in-error cancelled draft",
    ),
    *statuses(
        "prescription of intent",
        lambda intent: prescribed("alendronate", -400, intent=intent),
        counted="order original-order reflex-order filler-order instance-order",
        ignored="proposal plan",
    ),
    *statuses(
        "administration",
        lambda status: dose("zoledronate", -400, status=status),
        counted="completed in-progress stopped unknown",
        ignored="entered-in-error not-done",
    ),
    *statuses(
        "dispense",
        lambda status: dispensed("alendronate", -400, status),
        counted="completed in-progress on-hold stopped unknown",
        ignored="entered-in-error cancelled declined preparation",
    ),
    row("not to be taken", SINGLE, LOW, prescribed("alendronate", -400, doNotPerform=True)),
    row("known by name only", ON_TREATMENT, LOW, taking("alendronate", -400, **FOSAMAX)),
    row("another drug", SINGLE, LOW, taking("atorvastatin", -400)),
    row("status code", ON_TREATMENT, LOW, condition("long-term bisphosphonate", -400)),
]

# --- 2.6 Timing ----------------------------------------------------------------------------------

TREATED = course("2025-06-01", None)
FROM_JUNE = taking("alendronate", None, effectivePeriod={"start": "2025-06"})
FROM_2021 = course("2021-06-01", None)

TIMING = [
    row("normal 24 months before, less a day", EXPLAINED, TREATED, LOW, normal_on("2023-06-02")),
    row("normal 24 months before", EXPLAINED, TREATED, LOW, normal_on("2023-06-01")),
    row("normal 24 months and a day before", ON_TREATMENT, TREATED, LOW, normal_on("2023-05-31")),
    row("normal on the first day", EXPLAINED, TREATED, LOW, normal_on("2025-06-01")),
    row("normal on the second day", ON_TREATMENT, TREATED, LOW, normal_on("2025-06-02")),
    row("low on the first day", LOW_BEFORE, TREATED, LOW, low_on("2025-06-01")),
    row("low on the second day", ON_TREATMENT, TREATED, LOW, low_on("2025-06-02")),
    row("low twenty years before", LOW_BEFORE, TREATED, LOW, low_on("2005-06-01")),
    row(
        "low before and three years ago",
        LOW_BEFORE,
        FROM_2021,
        low_on("2020-01-01"),
        low_on("2023-11-01"),
    ),
    row(
        "1 of 4 before low, the last",
        LOW_BEFORE,
        TREATED,
        LOW,
        alp(32, -600, 35),
        *normals(-700, -800, -900),
    ),
    row(
        "1 of 2 before low, the first", LOW_BEFORE, TREATED, LOW, alp(32, -700, 35), *normals(-600)
    ),
    row(
        "1 of 3 before low, the first",
        EXPLAINED,
        TREATED,
        LOW,
        alp(32, -800, 35),
        *normals(-600, -700),
    ),
    row("1 of 2 episodes low", LOW_BEFORE, TREATED, LOW, alp(32, -700, 35), *normals(-600, -571)),
    row("1 of 3 episodes low", EXPLAINED, TREATED, LOW, alp(32, -700, 35), *normals(-600, -570)),
    row(
        "acutely low before", ON_TREATMENT, TREATED, LOW, alp(32, -600, 35), stay("IMP", -601, -599)
    ),
    row("low before an unknown start", ON_TREATMENT, taking("alendronate", None), *TWO_LOWS),
    row("low in the month of the start", ON_TREATMENT, TREATED, LOW, low_on("2025-06")),
    row("low in the month before the start", LOW_BEFORE, TREATED, LOW, low_on("2025-05")),
    row("start in the month of the low", ON_TREATMENT, FROM_JUNE, LOW, low_on("2025-06-15")),
    row("start in the month after the low", LOW_BEFORE, FROM_JUNE, LOW, low_on("2025-05-31")),
]


@pytest.mark.parametrize(
    "chart, expected", [*WINDOWS, *DENOSUMAB_GAP, *STILL_EXPOSED, *MEDICATIONS, *TIMING]
)
def test_exposure(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


# --- 2.7 Work-up ---------------------------------------------------------------------------------

MULTIVITAMIN: Any = {"medicationCodeableConcept": {"text": "Multivitamin tablet"}}

SUBSTRATES = [
    row("PLP just below the printed limit", INCOMPLETE, *TWO_LOWS, plp(124.9)),
    row("PLP at the printed limit", INCOMPLETE, *TWO_LOWS, plp(125)),
    row("PLP just above the printed limit", RAISED, *TWO_LOWS, plp(125.1)),
    row("PLP above 200, below the printed limit", INCOMPLETE, *TWO_LOWS, plp(240, 250)),
    row("PLP 199.9, no limit printed", INCOMPLETE, *TWO_LOWS, plp(199.9, None)),
    row("PLP 200, no limit printed", INCOMPLETE, *TWO_LOWS, plp(200, None)),
    row("PLP 200.1, no limit printed", RAISED, *TWO_LOWS, plp(200.1, None)),
    row("PLP 49.4 µg/L, no limit printed", INCOMPLETE, *TWO_LOWS, plp(49.4, None, "ug/L")),
    row("PLP 49.5 µg/L, no limit printed", RAISED, *TWO_LOWS, plp(49.5, None, "ug/L")),
    row("PLP at 50 µg/L", INCOMPLETE, *TWO_LOWS, plp(50, 50, "ug/L")),
    row("PLP just above 50 µg/L", RAISED, *TWO_LOWS, plp(50.1, 50, "ug/L")),
    row("PLP in an unknown unit", PERSISTENT, *TWO_LOWS, plp(900, None, "mg/dL")),
    row("PLP >200, no limit printed", RAISED, *TWO_LOWS, plp(200, None, comparator=">")),
    row("PLP <200, no limit printed", INCOMPLETE, *TWO_LOWS, plp(200, None, comparator="<")),
    row("PLP raised, then normal", INCOMPLETE, *TWO_LOWS, plp(300, taken=-110), plp(60)),
    row("PEA at its limit", PERSISTENT, *TWO_LOWS, pea(50)),
    row("PEA just above its limit", RAISED, *TWO_LOWS, pea(50.1)),
    row("PEA without limit", PERSISTENT, *TWO_LOWS, pea(900, None)),
    row("B6 to the day of the sample", CONFOUNDED, *TWO_LOWS, plp(300), b6(-100)),
    row("B6 to 6 days before", CONFOUNDED, *TWO_LOWS, plp(300), b6(-106)),
    row("B6 to 7 days before", CONFOUNDED, *TWO_LOWS, plp(300), b6(-107)),
    row("B6 to 8 days before", RAISED, *TWO_LOWS, plp(300), b6(-108)),
    row("B6 from the day after", RAISED, *TWO_LOWS, plp(300), b6(None, -99)),
    row("B6 from an unknown day", CONFOUNDED, *TWO_LOWS, plp(300), b6(None, None)),
    row("B6 that was not taken", RAISED, *TWO_LOWS, plp(300), b6(None, status="not-taken")),
    row("a multivitamin", CONFOUNDED, *TWO_LOWS, plp(300), b6(None, **MULTIVITAMIN)),
    row("B6 and PLP within its limit", PERSISTENT, *TWO_LOWS, plp(60), b6(None)),
    row("PLP normal, ALPL negative", COMPLETE, *TWO_LOWS, plp(60), alpl("negative")),
    row(
        "PLP normal on B6, ALPL negative",
        PERSISTENT,
        *TWO_LOWS,
        plp(60),
        b6(None),
        alpl("negative"),
    ),
    row("PLP normal, ALPL uncertain", INCOMPLETE, *TWO_LOWS, plp(60), alpl("VUS")),
    row("ALPL likely pathogenic", MANAGED, *TWO_LOWS, plp(60), alpl("LP")),
    row("ALPL pathogenic", MANAGED, *TWO_LOWS, plp(60), alpl("P")),
]

NORMAL_NOW = alp(80, -20, 35)
KNOWN = (HPP, NORMAL_NOW)
TWICE = (alp(28, -600, 35), NORMAL_NOW)
CHOLESTASIS = condition("cholestasis", -2000)

MASKING = [
    row("GGT 8 days before", MANAGED, *KNOWN, ggt(-28)),
    row("GGT 7 days before", MASKED, *KNOWN, ggt(-27)),
    row("GGT 6 days before", MASKED, *KNOWN, ggt(-26)),
    row("GGT 7 days after", MASKED, *KNOWN, ggt(-13)),
    row("GGT 8 days after", MANAGED, *KNOWN, ggt(-12)),
    row("GGT at its limit", MANAGED, *KNOWN, ggt(-20, 40)),
    *(
        row(f"{test} just above its limit", MASKED, *KNOWN, lab(test, 40.1, "U/L", -20, high=40))
        for test in ("ggt", "bilirubin", "alt", "ast")
    ),
    row("cholestasis", MASKED, *KNOWN, CHOLESTASIS),
    row("cholestasis that is over", MANAGED, *KNOWN, condition("cholestasis", status="resolved")),
    row("two earlier lows", MASKED, alp(27, -900, 35), *TWICE, ggt(-20)),
    row("two earlier lows, GGT 8 days before", NOTHING, alp(27, -900, 35), *TWICE, ggt(-28)),
    row("earlier lows 30 days apart", MASKED, alp(27, -630, 35), *TWICE, ggt(-20)),
    row("earlier lows 29 days apart", NOTHING, alp(27, -629, 35), *TWICE, ggt(-20)),
    row("one earlier low", NOTHING, *TWICE, ggt(-20)),
    row("hypophosphatasia, ALP at its limit", MASKED, HPP, alp(35, -20, 35), ggt(-20)),
    row("hypophosphatasia, ALP just below it", MANAGED, HPP, alp(34.9, -20, 35), ggt(-20)),
    row("asfotase alfa", MANAGED, *KNOWN, ggt(-20), taking("asfotase alfa", -500)),
]

ALP, PANEL, PLP, ALPL = "6768-6", "24323-8", "62236-5", "77084-2"
NEXT_MONTH: Any = {"occurrenceDateTime": day(30)}
PLANNED: Any = {"occurrenceDateTime": day(-180)}

PENDING = [
    row("ALP ordered 179 days ago", IN_PROGRESS, OLDER_LOW, ordered(ALP, -179)),
    row("ALP ordered 180 days ago", IN_PROGRESS, OLDER_LOW, ordered(ALP, -180)),
    row("ALP ordered 181 days ago", SINGLE, OLDER_LOW, ordered(ALP, -181)),
    row("ALP planned for 180 days ago", IN_PROGRESS, OLDER_LOW, ordered(ALP, -190, **PLANNED)),
    row("ALP planned for next month", IN_PROGRESS, LOW, ordered(ALP, -190, **NEXT_MONTH)),
    row("ALP ordered the day before its sample", SINGLE, LOW, ordered(ALP, -21)),
    row("ALP ordered on the day of a sample", IN_PROGRESS, LOW, ordered(ALP, -20)),
    row("ALP ordered the day after a sample", IN_PROGRESS, LOW, ordered(ALP, -19)),
    row("panel ordered", IN_PROGRESS, LOW, ordered(PANEL, -2)),
    row("panel ordered the day before its sample", SINGLE, LOW, ordered(PANEL, -21)),
    row("another test ordered", SINGLE, LOW, ordered("2324-2", -2)),
    *(
        row(f"ALP order {status}", answer, LOW, ordered(ALP, -2, status))
        for status, answer in (
            ("draft", IN_PROGRESS),
            ("active", IN_PROGRESS),
            ("on-hold", IN_PROGRESS),
            ("completed", SINGLE),
            ("revoked", SINGLE),
            ("entered-in-error", SINGLE),
            ("unknown", SINGLE),
        )
    ),
    row("ALP ordered after two lows", PERSISTENT, *TWO_LOWS, ordered(ALP, -2)),
    row("PLP ordered 180 days ago", IN_PROGRESS, *TWO_LOWS, ordered(PLP, -180)),
    row("PLP ordered 181 days ago", PERSISTENT, *TWO_LOWS, ordered(PLP, -181)),
    row(
        "PLP ordered the day before its sample", INCOMPLETE, *TWO_LOWS, plp(60), ordered(PLP, -101)
    ),
    row("PLP on B6, ordered again", IN_PROGRESS, *TWO_LOWS, plp(300), b6(None), ordered(PLP, -99)),
    row("PLP on B6, ordered before", CONFOUNDED, *TWO_LOWS, plp(300), b6(None), ordered(PLP, -101)),
    row(
        "PLP raised, ALPL ordered 180 days ago",
        IN_PROGRESS,
        *TWO_LOWS,
        plp(300),
        ordered(ALPL, -180),
    ),
    row("PLP raised, ALPL ordered 181 days ago", RAISED, *TWO_LOWS, plp(300), ordered(ALPL, -181)),
    row(
        "PLP normal, ALPL ordered 180 days ago",
        IN_PROGRESS,
        *TWO_LOWS,
        plp(60),
        ordered(ALPL, -180),
    ),
    row(
        "PLP normal, ALPL ordered 181 days ago", INCOMPLETE, *TWO_LOWS, plp(60), ordered(ALPL, -181)
    ),
    row("one low, PLP normal, ALPL ordered", IN_PROGRESS, LOW, plp(60), ordered(ALPL, -2)),
    row(
        "ALPL uncertain, ordered again",
        IN_PROGRESS,
        *TWO_LOWS,
        alpl("VUS", -100),
        ordered(ALPL, -99),
    ),
    row(
        "ALPL uncertain, ordered before",
        INCOMPLETE,
        *TWO_LOWS,
        alpl("VUS", -100),
        ordered(ALPL, -101),
    ),
]


@pytest.mark.parametrize("chart, expected", [*SUBSTRATES, *MASKING, *PENDING])
def test_workup(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


# --- What else a chart tells ---------------------------------------------------------------------

ON_DRUG = (LOW, taking("alendronate", -100))
ENDED: Any = {"abatementDateTime": day(-100)}
DIALYSED, HOSPICE = "302497006", "385763009"

CONDITIONS = [
    *(
        row(
            f"hypophosphatasia {status}",
            answer,
            *ON_DRUG,
            condition("hypophosphatasia", status=status),
        )
        for status, answer in (
            ("active", HPP_EXPOSED),
            ("inactive", HPP_EXPOSED),
            ("resolved", HPP_EXPOSED),
        )
    ),
    *(
        row(f"hypophosphatasia {status}", answer, *ON_DRUG, {**HPP, **verified(status)})
        for status, answer in (
            ("confirmed", HPP_EXPOSED),
            ("unconfirmed", HPP_EXPOSED),
            ("provisional", HPP_EXPOSED),
            ("refuted", ON_TREATMENT),
            ("entered-in-error", ON_TREATMENT),
        )
    ),
    row("E83.39", ON_TREATMENT, *ON_DRUG, condition("E83.39")),
    row("hypophosphatasia from tomorrow on", SINGLE, LOW, condition("hypophosphatasia", 1)),
    *(
        row(f"zinc deficiency {status}", answer, LOW, condition("zinc deficiency", status=status))
        for status, answer in (
            ("active", REVERSIBLE),
            ("recurrence", REVERSIBLE),
            ("relapse", REVERSIBLE),
            ("inactive", SINGLE),
            ("remission", SINGLE),
            ("resolved", SINGLE),
        )
    ),
    row("zinc deficiency, undated", REVERSIBLE, LOW, condition("zinc deficiency", None)),
    row("zinc deficiency with an end", SINGLE, LOW, condition("zinc deficiency", **ENDED)),
    row("zinc deficiency refuted", SINGLE, LOW, condition("zinc deficiency", **REFUTED)),
    row("zinc deficiency in error", SINGLE, LOW, condition("zinc deficiency", **IN_ERROR)),
    row(
        "zinc low 12 months ago",
        REVERSIBLE,
        LOW,
        lab("zinc", 9, "umol/L", on("2025-11-01"), low=11),
    ),
    row(
        "zinc low 12 months and a day ago",
        SINGLE,
        LOW,
        lab("zinc", 9, "umol/L", on("2025-10-31"), low=11),
    ),
    row("zinc just below its limit", REVERSIBLE, LOW, lab("zinc", 10.9, "umol/L", -20, low=11)),
    row("zinc at its limit", SINGLE, LOW, lab("zinc", 11, "umol/L", -20, low=11)),
    row(
        "magnesium just below its limit",
        REVERSIBLE,
        LOW,
        lab("magnesium", 0.69, "mmol/L", -20, low=0.7),
    ),
    row("magnesium at its limit", SINGLE, LOW, lab("magnesium", 0.7, "mmol/L", -20, low=0.7)),
    row("B12 just below its limit", REVERSIBLE, LOW, lab("b12", 139, "pmol/L", -20, low=140)),
    row("B12 at its limit", SINGLE, LOW, lab("b12", 140, "pmol/L", -20, low=140)),
    row("TSH just above its limit", REVERSIBLE, LOW, lab("tsh", 4.1, "m[IU]/L", -20, high=4)),
    row("TSH at its limit", SINGLE, LOW, lab("tsh", 4, "m[IU]/L", -20, high=4)),
    row("dialysis", KIDNEY, LOW, condition("dialysis")),
    row("CKD stage 5", KIDNEY, LOW, condition("CKD stage 5")),
    row("CKD stage 5 resolved", SINGLE, LOW, condition("CKD stage 5", status="resolved")),
    row("CKD stage 5 refuted", SINGLE, LOW, condition("CKD stage 5", **REFUTED)),
    row("CKD stage 4", KIDNEY, LOW, condition("CKD stage 3", code=concept(ICD, "N18.4"))),
    row("CKD stage 3", SINGLE, LOW, condition("CKD stage 3")),
    row("haemodialysis 12 months ago", KIDNEY, LOW, procedure(DIALYSED, on("2025-11-01"))),
    row(
        "haemodialysis 12 months and a day ago", SINGLE, LOW, procedure(DIALYSED, on("2025-10-31"))
    ),
    row(
        "palliative care 12 months ago",
        OUT_OF_SCOPE,
        LOW,
        condition("palliative care", on("2025-11-01")),
    ),
    row(
        "palliative care 12 months and a day ago",
        SINGLE,
        LOW,
        condition("palliative care", on("2025-10-31")),
    ),
    row("palliative care, undated", OUT_OF_SCOPE, LOW, condition("palliative care", None)),
    row("palliative care that ended", SINGLE, LOW, condition("palliative care", -99, "resolved")),
    row("hospice 12 months ago", OUT_OF_SCOPE, LOW, procedure(HOSPICE, on("2025-11-01"))),
    row("hospice 12 months and a day ago", SINGLE, LOW, procedure(HOSPICE, on("2025-10-31"))),
    row("dead", OUT_OF_SCOPE, patient(58, deceasedBoolean=True), LOW),
    row("dead since a day", OUT_OF_SCOPE, patient(58, deceasedDateTime=day(-1)), LOW),
    row("said to be alive", SINGLE, patient(58, deceasedBoolean=False), LOW),
    row("a pregnancy that is over", SINGLE, LOW, condition("pregnancy", -30, "resolved")),
]

RIGHT = "metatarsal stress fracture, right"
LEFT = "metatarsal stress fracture, left"


def right(text: str | None, code: str = "M84.374A", when: int = -400) -> Json:
    """A stress fracture of the right foot in these words."""
    return condition(RIGHT, when, code=concept(ICD, code, text))


FRACTURES = [
    row("one atypical femoral fracture", FRACTURE, LOW, AFF),
    row("an old one", FRACTURE, LOW, condition("atypical femoral fracture", -9000, "resolved")),
    row("one refuted", SINGLE, LOW, condition("atypical femoral fracture", **REFUTED)),
    row("one in error", SINGLE, LOW, condition("atypical femoral fracture", **IN_ERROR)),
    row("one from tomorrow", SINGLE, LOW, condition("atypical femoral fracture", 1)),
    row("one metatarsal fracture", SINGLE, LOW, condition(RIGHT, -400)),
    row("one that says recurrent", FRACTURE, LOW, right("Recurrent stress fractures, foot")),
    row("one that says non-recurrent", SINGLE, LOW, right("Non-recurrent stress fracture, foot")),
    row("one with clinical status recurrence", FRACTURE, LOW, condition(RIGHT, -400, "recurrence")),
    row("both feet", FRACTURE, LOW, condition(RIGHT, -400), condition(LEFT, -400)),
    row("both feet, one refuted", SINGLE, LOW, condition(RIGHT), condition(LEFT, **REFUTED)),
    row("one foot, 179 days apart", SINGLE, LOW, condition(RIGHT, -579), condition(RIGHT, -400)),
    row("one foot, 180 days apart", FRACTURE, LOW, condition(RIGHT, -580), condition(RIGHT, -400)),
    row("one foot, 181 days apart", FRACTURE, LOW, condition(RIGHT, -581), condition(RIGHT, -400)),
    row("one foot, one undated", SINGLE, LOW, condition(RIGHT, None), condition(RIGHT, -400)),
    row("one foot and its follow-up", SINGLE, LOW, right(None), right(None, "M84.374D", -370)),
    row("and a low 24 months ago", FRACTURE, low_on("2024-11-01"), AFF),
    row("and a low 24 months and a day ago", NOTHING, low_on("2024-10-31"), AFF),
    row("and a low that treatment explains", FRACTURE, TREATED, normal_on("2025-05-01"), LOW, AFF),
    row("and a complete work-up", COMPLETE, LOW, plp(60), alpl("negative"), AFF),
]


@pytest.mark.parametrize("chart, expected", [*CONDITIONS, *FRACTURES])
def test_conditions(advisor: Advisor, chart: Sequence[Json], expected: str) -> None:
    assert ask(advisor, *chart)[1] == expected


# --- Orders that a card offers -------------------------------------------------------------------


def minerals(taken: int, *left_out: str, status: str = "final") -> list[Json]:
    """Calcium, phosphate and magnesium."""
    tests = [t for t in ("calcium", "phosphate", "magnesium") if t not in left_out]
    return [lab(test, 1, "mmol/L", taken, status=status) for test in tests]


BASELINE = normal_on("2025-05-01")
DIALYSIS = (LOW, condition("dialysis"))
MASKED_NOW = (*KNOWN, CHOLESTASIS)
FROM_2024 = (course("2024-06-01", None), low_on("2023-06-01"))
PTH = "2731-8"

OFFERED = [
    row("persistent at 30", ["plp", "mineral_panel"], FIRST_LOW, alp(30, -20, 35)),
    row(
        "persistent just below 30",
        ["plp", "mineral_panel", "refer_metabolic_bone"],
        FIRST_LOW,
        alp(29.9, -20, 35),
    ),
    row("minerals 91 days ago", ["plp", "mineral_panel"], *TWO_LOWS, *minerals(-91)),
    row("minerals 90 days ago", ["plp"], *TWO_LOWS, *minerals(-90)),
    row("minerals 89 days ago", ["plp"], *TWO_LOWS, *minerals(-89)),
    row("minerals but one", ["plp", "mineral_panel"], *TWO_LOWS, *minerals(-89, "magnesium")),
    row(
        "minerals not final",
        ["plp", "mineral_panel"],
        *TWO_LOWS,
        *minerals(-89, status="preliminary"),
    ),
    row("PTH 91 days ago", ["pth", "bone_alp"], *DIALYSIS, lab("pth", 55, "pg/mL", -91)),
    row("PTH 90 days ago", ["bone_alp"], *DIALYSIS, lab("pth", 55, "pg/mL", -90)),
    row("bone ALP 91 days ago", ["pth", "bone_alp"], *DIALYSIS, lab("alp_bone", 9, "ug/L", -91)),
    row("bone ALP 90 days ago", ["pth"], *DIALYSIS, lab("alp_bone", 9, "ug/L", -90)),
    row("PTH ordered 181 days ago", ["pth", "bone_alp"], *DIALYSIS, ordered(PTH, -181)),
    row("PTH ordered 180 days ago", ["bone_alp"], *DIALYSIS, ordered(PTH, -180)),
    row("GGT 91 days ago", ["bone_alp", "ggt"], *MASKED_NOW, ggt(-91)),
    row("GGT 90 days ago", ["bone_alp"], *MASKED_NOW, ggt(-90)),
    row("on treatment, at 30", ["repeat_alp"], TREATED, alp(30, -20, 35)),
    row("on treatment, just below 30", ["plp"], TREATED, alp(29.9, -20, 35)),
    row("on treatment, twice low", ["plp"], TREATED, *TWO_LOWS),
    row("explained, at 25", [], TREATED, BASELINE, alp(25, -20, 35)),
    row("explained, just below 25", ["plp"], TREATED, BASELINE, alp(24.9, -20, 35)),
    row("explained, 12 months ago", [], TREATED, BASELINE, low_on("2025-11-01")),
    row(
        "explained, 12 months and a day ago",
        ["repeat_alp"],
        TREATED,
        BASELINE,
        low_on("2025-10-31"),
    ),
    row(
        "low before and 24 months ago",
        ["plp", "refer_metabolic_bone"],
        *FROM_2024,
        low_on("2024-11-01"),
    ),
    row(
        "low before and 24 months and a day ago",
        ["plp", "refer_metabolic_bone", "repeat_alp"],
        *FROM_2024,
        low_on("2024-10-31"),
    ),
]


@pytest.mark.parametrize("chart, expected", OFFERED)
def test_orders(advisor: Advisor, chart: Sequence[Json], expected: list[str]) -> None:
    answer, _ = ask(advisor, *chart)
    assert orders(msgspec.to_builtins(answer.response.cards)) == expected


# --- 4.1 The site's own policy -------------------------------------------------------------------


def site(folder: Path, policy: str) -> Advisor:
    """The pipeline with a site's policy."""
    path = folder / "site.toml"
    path.write_text(policy, encoding="utf-8")
    return Advisor(rulebook.load(CANONICAL, path))


def change(policy: str, built_in: str, changed: str, *chart: Json) -> Any:
    """A line of a site's policy, and a patient as the built-in policy and the site judge them."""
    return pytest.param(policy, chart, (built_in, changed), id=policy)


SWITCHES = [
    change('single-low-alp = "on"', SINGLE, SINGLE, LOW),
    change('single-low-alp = "off"', SINGLE, NOTHING, LOW),
    change('fracture-low-alp = "off"', FRACTURE, CLEARLY_PERSISTENT, *TWO_LOWS, AFF),
    change('denosumab-gap = "on"', SINGLE + GAP, SINGLE + GAP, LOW, dose("denosumab", -300)),
    change('denosumab-gap = "off"', SINGLE + GAP, SINGLE, LOW, dose("denosumab", -300)),
    change('single-low-alp = "off"', SINGLE + GAP, NOTHING, LOW, dose("denosumab", -300)),
]

SHADOWS = [
    change('single-low-alp = "shadow"', SINGLE, NOTHING, LOW),
    change('fracture-low-alp = "shadow"', FRACTURE, CLEARLY_PERSISTENT, *TWO_LOWS, AFF),
    change('denosumab-gap = "shadow"', SINGLE + GAP, SINGLE, LOW, dose("denosumab", -300)),
]


@pytest.mark.parametrize("policy, chart, expected", [*SWITCHES, *SHADOWS])
def test_switches(
    advisor: Advisor, tmp_path: Path, policy: str, chart: Sequence[Json], expected: tuple[str, str]
) -> None:
    switched, said = ask(site(tmp_path, f"[situations]\n{policy}\n"), *chart)
    assert (ask(advisor, *chart)[1], said) == expected
    name, _, position = policy.partition(" = ")
    in_shadow = [name] if position == '"shadow"' else []
    assert [finding.slug for finding in switched.decision.shadow] == in_shadow


NUMBERS = [
    change("alp.adult_female = 38", NOTHING, SINGLE, alp(37.9, -20)),
    change("alp.adult_male = 38", SINGLE, NOTHING, patient(58, "male"), alp(38, -20)),
    change("alp.adult_floor = 32", NOTHING, SINGLE, alp(31.9, -20, 25)),
    change("alp.adult_cap = 50", NOTHING, SINGLE, alp(49.9, -20, 55)),
    change("alp.clearly_low = 28", CLEARLY_PERSISTENT, PERSISTENT, FIRST_LOW, alp(28, -20, 35)),
    change("alp.very_low = 26", REVERSIBLE, SINGLE, alp(25.9, -20, 35), UNDERACTIVE),
    change("alp.implausible_printed_limit = 12", SINGLE, NOTHING, alp(9, -20, 11)),
    change("alp.adult_range_at_most = 60", NOTHING, CHILD, GIRL_8, alp(141, -20, 60)),
    change("alp.child_limit_at_least = 82", CHILD, CHILD, BOY_16, alp(81.9, -20, 50)),
    change("alp.child_limit_at_least = 83", CHILD, NOTHING, BOY_16, alp(81.9, -20, 50)),
    change("alp.adult_from_years = 18", SINGLE, NOTHING, TURNED_18, alp(40, 0)),
    change("alp.pregnancy.first = 19", NOTHING, PREGNANT, *expecting(10, 18)),
    change("alp.pregnancy.second = 27", NOTHING, PREGNANT, *expecting(20, 26)),
    change("alp.pregnancy.third = 40", NOTHING, PREGNANT, *expecting(30, 39)),
    change("look_back.patient_view_months = 12", SINGLE, NOTHING, low_on("2025-10-31")),
    change(
        "look_back.baseline_months = 12",
        EXPLAINED,
        ON_TREATMENT,
        TREATED,
        LOW,
        normal_on("2024-05-31"),
    ),
    change(
        "look_back.majority_years = 1", SINGLE, PERSISTENT, *TWO_LOWS, *normals(-400, -500, -600)
    ),
    change("look_back.pending_order_days = 90", IN_PROGRESS, SINGLE, OLDER_LOW, ordered(ALP, -91)),
    change(
        "look_back.reversible_cause_months = 6",
        REVERSIBLE,
        SINGLE,
        LOW,
        lab("zinc", 9, "umol/L", on("2026-04-30"), low=11),
    ),
    change(
        "look_back.palliative_months = 6",
        OUT_OF_SCOPE,
        SINGLE,
        LOW,
        condition("palliative care", on("2026-04-30")),
    ),
    change(
        "look_back.haemodialysis_months = 6",
        KIDNEY,
        SINGLE,
        LOW,
        procedure(DIALYSED, on("2026-04-30")),
    ),
    change("persistence.days_apart = 101", PERSISTENT, SINGLE, *TWO_LOWS),
    change(
        "persistence.low_share = 0.4", SINGLE, PERSISTENT, *TWO_LOWS, *normals(-200, -300, -400)
    ),
    change(
        "residual.bisphosphonate_months = 12",
        ON_TREATMENT,
        SINGLE,
        LOW,
        taking("alendronate", -800, -400),
    ),
    change(
        "residual.bisphosphonate_long_months = 12",
        ON_TREATMENT,
        SINGLE,
        LOW,
        taking("alendronate", -2000, -400),
    ),
    change(
        "residual.long_use_years = 5", ON_TREATMENT, SINGLE, LOW, taking("alendronate", -2300, -900)
    ),
    change("residual.course_gap_days = 181", SINGLE, ON_TREATMENT, LOW, *split("2024-03-01", 181)),
    change(
        "residual.pamidronate_months = 12", ON_TREATMENT, SINGLE, LOW, dose("pamidronate", -400)
    ),
    change(
        "residual.zoledronate_months = 12", ON_TREATMENT, SINGLE, LOW, dose("zoledronate", -400)
    ),
    change(
        "residual.zoledronate_long_months = 36",
        ON_TREATMENT,
        SINGLE,
        LOW,
        *given("zoledronate", *YEARLY),
        *given("zoledronate", "2022-03-01"),
    ),
    change(
        "residual.zoledronate_long_doses = 1", SINGLE, ON_TREATMENT, LOW, dose("zoledronate", -1500)
    ),
    change(
        "residual.denosumab_months = 6", ON_TREATMENT, SINGLE + GAP, LOW, dose("denosumab", -212)
    ),
    change(
        "residual.denosumab_rebound_months = 12", SINGLE + GAP, SINGLE, LOW, dose("denosumab", -400)
    ),
    change("acute.days_after_stay = 40", SINGLE, ACUTE, LOW, stay("IMP", -70, -60)),
    change("acute.open_stay_days = 100", SINGLE, ACUTE, LOW, stay("IMP", -150, None)),
    change("acute.days_after_procedure = 40", SINGLE, ACUTE, LOW, procedure(RED_CELLS, -60)),
    change("specimen.potassium_above = 5.0", SINGLE, SUSPECT, *sample(5.1, 1.9)),
    change("specimen.calcium_below = 2.1", SINGLE, SUSPECT, *sample(7, 2.05)),
    change(
        "specimen.same_sample_minutes = 20", SINGLE, SUSPECT, *at_times("08:00:00Z", "08:20:00Z")
    ),
    change("workup.plp_high_nmol_per_l = 150", INCOMPLETE, RAISED, *TWO_LOWS, plp(150.1, None)),
    change("workup.b6_days = 14", RAISED, CONFOUNDED, *TWO_LOWS, plp(300), b6(-114)),
    change("workup.masking_days = 14", MANAGED, MASKED, *KNOWN, ggt(-34)),
    change(
        "workup.same_fracture_days = 90",
        SINGLE,
        FRACTURE,
        LOW,
        condition(RIGHT, -490),
        condition(RIGHT, -400),
    ),
    change("pregnancy.second_trimester_from_weeks = 13", NOTHING, PREGNANT, *expecting(13, 24)),
    change("pregnancy.third_trimester_from_weeks = 27", NOTHING, PREGNANT, *expecting(27, 37)),
    change("pregnancy.overdue_days = 20", NOTHING, PREGNANT, patient(31), alp(37, 0), due(-20)),
    change(
        "pregnancy.undated_recorded_after_days = 99",
        SINGLE,
        NOTHING,
        patient(31),
        alp(34, -129),
        UNDATED_PREGNANCY,
    ),
    change("children.below_years = 16", CHILD, SINGLE, girl("2009-06-01"), alp(44, -20)),
]


@pytest.mark.parametrize("policy, chart, expected", NUMBERS)
def test_numbers(
    advisor: Advisor, tmp_path: Path, policy: str, chart: Sequence[Json], expected: tuple[str, str]
) -> None:
    assert (ask(advisor, *chart)[1], ask(site(tmp_path, policy), *chart)[1]) == expected


def local(code: str) -> Any:
    """A code of the site's own system."""
    return concept("urn:oid:1.2.3.4", code)


LOCAL_CODES = [
    change("alp-total", NOTHING, SINGLE, {**LOW, "code": local("alp-total")}),
    change("plp", PERSISTENT, RAISED, *TWO_LOWS, {**plp(300), "code": local("plp")}),
    change("hypophosphatasia", SINGLE, MANAGED, LOW, {**HPP, "code": local("hypophosphatasia")}),
    change(
        "panel-with-alp",
        SINGLE,
        IN_PROGRESS,
        LOW,
        {**ordered("", -2), "code": local("panel-with-alp")},
    ),
    change(
        "major-surgery-or-transfusion",
        SINGLE,
        ACUTE,
        LOW,
        {**procedure("", -40), "code": local("major-surgery-or-transfusion")},
    ),
    change(
        "antiresorptive-alendronate",
        SINGLE,
        ON_TREATMENT,
        LOW,
        taking("atorvastatin", -400, medicationCodeableConcept=local("antiresorptive-alendronate")),
    ),
    change("alp-total", NOTHING, NOTHING, {**LOW, "code": concept(LOINC, "alp-total")}),
]


@pytest.mark.parametrize("value_set, chart, expected", LOCAL_CODES)
def test_local_codes(
    advisor: Advisor,
    tmp_path: Path,
    value_set: str,
    chart: Sequence[Json],
    expected: tuple[str, str],
) -> None:
    lines = (f'value_set = "{value_set}"', 'system = "urn:oid:1.2.3.4"', f'code = "{value_set}"')
    mapped = site(tmp_path, "\n".join(["[[local_codes]]", *lines]))
    assert (ask(advisor, *chart)[1], ask(mapped, *chart)[1]) == expected
