"""What holds for every chart: what an answer looks like, and what may change without changing it."""

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cds_service.ehr import hook_requests
from cds_service.guidance import Advisor, Answer
from cds_service.hooks.card import SUMMARY_LIMIT
from cds_service.hooks.request import PATIENT_VIEW, decode
from tests.charts import (
    CONDITIONS,
    DRUGS,
    PATIENT,
    REFERENCE,
    Json,
    alp,
    alpl,
    bundle,
    condition,
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
from tests.conftest import slug

thorough = settings(max_examples=400, deadline=None, derandomize=True, database=None)

# --- Charts --------------------------------------------------------------------------------------

# In nkat/L, which is 0.06 U/L: each of these is exact in U/L and µkat/L too. Many lie at a limit.
CATALYTIC = st.sampled_from(
    [300, 400, 416, 417, 450, 480, 499, 500, 520, 540, 583, 584, 600, 749, 750, 1000, 2000]
)
LIMITS = st.sampled_from([None, 400, 500, 600, 750, 900])
UNITS: dict[str, Callable[[int], float]] = {
    "U/L": lambda nkat: round(nkat * 0.06, 2),
    "ukat/L": lambda nkat: nkat / 1000,
    "nkat/L": lambda nkat: nkat,
}
# Days ago, where windows begin and end.
AGO = st.sampled_from(
    [0, 1, 5, 20, 29, 30, 50, 60, 100, 120, 200, 300, 400, 700, 730, 731, 1200, 1900]
)


class Measured(msgspec.Struct, frozen=True):
    """An ALP before it is written in a unit."""

    nkat: int
    limit: int | None
    ago: int
    comparator: str | None = None
    tube: str | None = None

    def written(self, unit: str) -> Json:
        """The Observation of a laboratory that uses this unit."""
        scale = UNITS[unit]
        limit = None if self.limit is None else scale(self.limit)
        found = alp(scale(self.nkat), -self.ago, limit, unit=unit, comparator=self.comparator)
        return {**found, "specimen": {"display": self.tube}} if self.tube else found


class Chart(msgspec.Struct, frozen=True):
    """A patient, ALP results, and everything else on record."""

    person: Json
    alp: list[Measured]
    rest: list[Json]

    def written(self, units: Sequence[str] = ()) -> list[Json]:
        """The resources, each with an id of its own; ALP in U/L where no unit is named for it."""
        named = [*units, *["U/L"] * len(self.alp)]
        results = [value.written(unit) for value, unit in zip(self.alp, named, strict=False)]
        numbered = enumerate([*results, *self.rest])
        return [self.person, *({**found, "id": f"r{number}"} for number, found in numbered)]


measured = st.builds(
    Measured,
    nkat=CATALYTIC,
    limit=LIMITS,
    ago=AGO,
    comparator=st.sampled_from([None] * 8 + ["<", ">"]),
    tube=st.sampled_from([None] * 9 + ["K2-EDTA"]),
)
people = st.builds(
    patient,
    age=st.sampled_from([0.1, 8, 14, 16, 18, 31, 45, 58, 58, 58, 66, 72, 80]),
    sex=st.sampled_from(["female", "female", "male", "other", None]),
)
GIVEN = ["denosumab", "denosumab", "zoledronate", "pamidronate", "denosumab 120 mg"]
uses = st.one_of(
    st.builds(
        lambda drug, start, length: taking(
            drug, -start, None if length is None else length - start
        ),
        st.sampled_from(sorted(DRUGS)),
        AGO,
        st.sampled_from([None, None, 1, 60, 600, 1200]),
    ),
    st.builds(lambda drug, ago: dose(drug, -ago), st.sampled_from(GIVEN), AGO),
    st.builds(
        lambda drug, ago, status: prescribed(drug, -ago, status),
        st.sampled_from(sorted(DRUGS)),
        AGO,
        st.sampled_from(["active", "completed", "stopped", "cancelled"]),
    ),
)
diagnoses = st.builds(
    lambda name, ago, status: condition(name, None if ago is None else -ago, status),
    st.sampled_from(sorted(set(CONDITIONS) - {"palliative care"})),
    st.one_of(st.none(), AGO),
    st.sampled_from(["active", "active", "resolved", "recurrence"]),
)
stays = st.builds(
    lambda kind, ago, length: stay(kind, -ago, None if length is None else length - ago),
    st.sampled_from(["IMP", "EMER", "OBSENC", "AMB"]),
    AGO,
    st.sampled_from([None, 0, 1, 10]),
)
tests = st.builds(
    lambda test, value, ago, low, high: lab(test, value, "nmol/L", -ago, low=low, high=high),
    st.sampled_from(["plp", "plp", "ggt", "alt", "zinc", "magnesium", "tsh", "pth", "phosphate"]),
    st.sampled_from([10, 60, 125, 126, 200, 201, 400]),
    AGO,
    st.sampled_from([None, 20]),
    st.sampled_from([None, 125, 250]),
)
specimens = st.builds(
    lambda potassium, calcium, ago: [
        lab("potassium", potassium, "mmol/L", -ago),
        lab("calcium", calcium, "mmol/L", -ago),
    ],
    st.sampled_from([4.5, 5.5, 7.9]),
    st.sampled_from([1.5, 2.0]),
    AGO,
)
pregnancies = st.integers(4, 41).map(pregnant)
genes = st.builds(
    lambda classification, ago: alpl(classification, -ago, "heterozygous"),
    st.sampled_from(["P", "VUS", "VUS", "negative", "negative", "negative"]),
    AGO,
)
procedures = st.builds(
    lambda code, ago: procedure(code, -ago),
    st.sampled_from(["71493000", "302497006", "265764009"]),
    AGO,
)
requests = st.builds(
    lambda code, ago, status: ordered(code, -ago, status),
    st.sampled_from(["6768-6", "24323-8", "62236-5", "77084-2", "2731-8"]),
    AGO,
    st.sampled_from(["active", "draft", "completed"]),
)


def few(found: st.SearchStrategy[Json], most: int = 2) -> st.SearchStrategy[list[Json]]:
    """A few of them, often none."""
    return st.one_of(st.just([]), st.just([]), st.lists(found, max_size=most))


def perhaps(found: st.SearchStrategy[list[Json]]) -> st.SearchStrategy[list[Json]]:
    """All of them, or more often none."""
    return st.one_of(st.just([]), st.just([]), st.just([]), found)


charts = st.builds(
    Chart,
    person=people,
    alp=st.lists(measured, max_size=5),
    rest=st.tuples(
        few(uses, 4),
        few(diagnoses),
        few(stays),
        few(tests, 3),
        perhaps(specimens),
        few(genes, 1),
        few(procedures, 1),
        few(requests),
        perhaps(pregnancies),
    ).map(lambda parts: [resource for part in parts for resource in part]),
)

ONE_DAY = {
    "one value, low by one of its two limits": Chart(
        patient(), [Measured(567, 600, 20), Measured(567, 500, 20)], []
    ),
    "30 and <30": Chart(
        patient(), [Measured(520, 600, 90), Measured(500, 600, 20), Measured(500, 600, 20, "<")], []
    ),
    "one value from a sound and a spoilt tube": Chart(
        patient(), [Measured(500, 600, 20), Measured(500, 600, 20, tube="K2-EDTA")], []
    ),
    "a normal and a raised PLP": Chart(
        patient(),
        [Measured(500, 600, 20)],
        [lab("plp", value, "nmol/L", -20, high=125) for value in (60, 300)],
    ),
    "one PLP, raised by one of its two limits": Chart(
        patient(),
        [Measured(500, 600, 20)],
        [lab("plp", 150, "nmol/L", -20, high=high) for high in (125, 250)],
    ),
}
"""Two results that no date tells apart, and that say different things."""

SENT_IN_TWO_UNITS = Chart(
    patient(),
    [Measured(500, 600, 100), *[Measured(750, 600, 60)] * 2, Measured(500, 600, 0)],
    [taking("alendronate", -30)],
)
"""Low and normal once each before treatment; the normal result came twice."""

# --- Answers -------------------------------------------------------------------------------------


def called(advisor: Advisor, chart: Sequence[Json]) -> Json:
    """The call that a record system with this chart would make."""
    return next(hook_requests(bundle(*chart), PATIENT_VIEW, advisor.rulebook.terminology))


def ask(advisor: Advisor, call: Json, as_of: date = REFERENCE) -> Answer:
    """The answer to a call."""
    return advisor.answer(decode(msgspec.json.encode(call), (PATIENT_VIEW,)), as_of)


def situation(answer: Answer) -> list[tuple[str, str]]:
    """Each card with its indicator, or the silence by name."""
    cards = msgspec.to_builtins(answer.response.cards)
    silence = answer.decision.silence
    found = [(slug(card), card["indicator"]) for card in cards]
    return found if silence is None else [*found, (silence.slug, "silence")]


def words(answer: Answer) -> list[tuple[str, str, str]]:
    """The same, each card with its summary."""
    cards = [card.summary for card in answer.response.cards] or [""]
    return [(*found, summary) for found, summary in zip(situation(answer), cards, strict=True)]


# --- Properties ----------------------------------------------------------------------------------


@thorough
@given(chart=charts)
def test_an_answer_is_one_or_two_cards_or_a_named_silence(advisor: Advisor, chart: Chart) -> None:
    answer = ask(advisor, called(advisor, chart.written()))
    kinds = [advisor.rulebook.situations[name].kind for name, _ in situation(answer)]
    assert kinds in (["card"], ["card", "accompanying"], ["silence"])
    assert all(0 < len(card.summary) < SUMMARY_LIMIT for card in answer.response.cards)


@thorough
@given(chart=charts)
def test_a_row_of_a_recent_low_needs_one(advisor: Advisor, chart: Chart) -> None:
    """Rows that are left out without a recent low value would not have held."""
    call = msgspec.json.encode(called(advisor, chart.written()))
    decision = advisor.answer(decode(call, (PATIENT_VIEW,)), REFERENCE, explain=True).decision
    left_out = {row.slug for row in advisor.rulebook.rows if row.of_a_recent_low}
    held = {step.slug for step in decision.steps if step.verdict.holds}
    assert decision.assessment.recent_low is not None or not held & left_out


@thorough
@given(chart=charts, choices=st.data())
def test_the_order_of_entries_changes_nothing(
    advisor: Advisor, chart: Chart, choices: st.DataObject
) -> None:
    written = chart.written()
    shuffled = choices.draw(st.permutations(written))
    expected = words(ask(advisor, called(advisor, written)))
    assert words(ask(advisor, called(advisor, shuffled))) == expected


def changed_by_copies(advisor: Advisor, chart: Chart, picks: list[int], prefix: str) -> list[Any]:
    """The answer without and with copies of some entries, under ids that begin with `prefix`."""
    person, *written = chart.written()
    picked = [written[pick] for pick in picks if pick < len(written)]
    copies = [{**found, "id": prefix + found["id"]} for found in picked]
    return [
        words(ask(advisor, called(advisor, [person, *entries])))
        for entries in (written, [*written, *copies], [*copies, *written])
    ]


@thorough
@given(
    chart=charts,
    picks=st.lists(st.integers(0, 20), max_size=4),
    prefix=st.sampled_from(["", "a", "z"]),
)
def test_entries_that_come_twice_change_nothing(
    advisor: Advisor, chart: Chart, picks: list[int], prefix: str
) -> None:
    """With the same id, or with another one that sorts before or after it."""
    plain, behind, before = changed_by_copies(advisor, chart, picks, prefix)
    assert (behind, before) == (plain, plain)


@pytest.mark.parametrize("prefix", ["", "a", "z"])
@pytest.mark.parametrize("pick", [0, 1, 2])
@pytest.mark.parametrize("chart", ONE_DAY.values(), ids=ONE_DAY)
def test_ids_do_not_decide_between_results_of_one_day(
    advisor: Advisor, chart: Chart, pick: int, prefix: str
) -> None:
    plain, behind, before = changed_by_copies(advisor, chart, [pick], prefix)
    assert (behind, before) == (plain, plain)


@pytest.mark.parametrize("value", range(20, 34))
def test_the_order_of_copies_that_differ_changes_nothing(advisor: Advisor, value: int) -> None:
    """Neither says when it was updated: content settles which one counts, not where it is kept."""
    copies = [{**alp(found, -40, 35), "id": "copied"} for found in (value, 60)]
    one, other = (
        words(ask(advisor, called(advisor, [patient(), *entries])))
        for entries in (copies, copies[::-1])
    )
    assert one == other


@thorough
@example(chart=SENT_IN_TWO_UNITS, units=["U/L", "U/L", "ukat/L", "U/L"])
@given(chart=charts, units=st.lists(st.sampled_from(sorted(UNITS)), min_size=5, max_size=5))
def test_the_unit_of_alp_changes_nothing(advisor: Advisor, chart: Chart, units: list[str]) -> None:
    expected = situation(ask(advisor, called(advisor, chart.written())))
    assert situation(ask(advisor, called(advisor, chart.written(units)))) == expected


SOMEBODY = {"reference": "Patient/somebody-else"}
MINE = {"reference": f"Patient/{PATIENT}"}
UNRELATED: list[Any] = [
    *(
        {**resource, "subject": SOMEBODY, "id": f"foreign-{number}"}
        for number, resource in enumerate(
            (
                alp(12, -1, 35),
                alp(90, 0, 35),
                taking("alendronate", -400),
                dose("denosumab", -300),
                prescribed("zoledronate", -5),
                condition("hypophosphatasia"),
                condition("palliative care", -5),
                condition("atypical femoral fracture"),
                stay("IMP", -2000, None),
                procedure("71493000", -10),
                ordered("62236-5", -1),
                alpl("P"),
                lab("plp", 900, "nmol/L", -1, high=125),
                *pregnant(20),
            )
        )
    ),
    lab("718-7", 9, "g/dL", -1, low=12),
    lab("alp_bone", 2, "ug/L", -1, low=7),
    lab("alp_liver", 9, "U/L", -1, low=20),
    lab("alp_urine", 1, "U/L", -1),
    alp(9, -1, 35, status="entered-in-error"),
    taking("atorvastatin", -400),
    condition("CKD stage 3"),
    condition("E83.39"),
    condition("hypophosphatasia", verificationStatus={"coding": [{"code": "refuted"}]}),
    stay("AMB", -20, -20),
    procedure("265764009", -400),
    ordered("718-7", -1),
    {"resourceType": "Patient", "id": "somebody-else", "deceasedBoolean": True},
    {"resourceType": "CarePlan", "id": "plan", "status": "active", "subject": MINE},
    {"resourceType": "DiagnosticReport", "id": "report", "conclusion": "low", "subject": MINE},
    {"resourceType": "NotYetInvented", "id": "new", "code": {"text": "ALP"}, "value": [1, {}]},
    {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "x"}]},
]


@thorough
@given(chart=charts, choices=st.data())
def test_what_is_unrelated_changes_nothing(
    advisor: Advisor, chart: Chart, choices: st.DataObject
) -> None:
    call = called(advisor, chart.written())
    expected = words(ask(advisor, call))
    keys = ["laboratory", *(k for k, v in call["prefetch"].items() if v.get("entry"))]
    for resource in choices.draw(st.lists(st.sampled_from(UNRELATED), min_size=1, max_size=6)):
        entries: list[Json] = call["prefetch"][choices.draw(st.sampled_from(keys))]["entry"]
        entries.insert(choices.draw(st.integers(0, len(entries))), {"resource": resource})
    assert words(ask(advisor, call)) == expected


DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?=$|T)")


def moved(value: Any, by: timedelta) -> Any:
    """Every date in a value moved by the same time."""
    if isinstance(value, dict):
        return {key: moved(inner, by) for key, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, by) for inner in value]
    if isinstance(value, str) and DAY.match(value):
        return (date.fromisoformat(value[:10]) + by).isoformat() + value[10:]
    return value


@thorough
@given(chart=charts, fours=st.integers(-5, 5))
def test_the_year_changes_nothing(advisor: Advisor, chart: Chart, fours: int) -> None:
    """Four years at a time, so that months and leap days stay where they were."""
    by = timedelta(days=1461 * fours)
    written = chart.written()
    expected = situation(ask(advisor, called(advisor, written)))
    later = called(advisor, moved(written, by))
    assert situation(ask(advisor, later, REFERENCE + by)) == expected
