"""A small count that is hidden cannot be worked out from what else a run tells."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.guidance import Advisor
from cds_service.html_report import Part
from cds_service.screen.plan import Plan
from cds_service.screen.results import Answer, PatientResult, Told
from cds_service.screen.run_record import run_record
from cds_service.screen.sections import sections
from cds_service.screen.suppression import shown
from cds_service.screen.tally import Tally, tally
from tests.charts import Json

BELOW = 5
DAY = date(2026, 3, 1)
LOW, ONCE, QUIET = "persistent-low-alp", "single-low-alp", "nothing-low"
AS_OF = Plan(as_of=DAY, suppress_below=BELOW)
REPLAY = Plan(replay=(date(2025, 1, 1), date(2025, 12, 31)), suppress_below=BELOW)
LONG = Plan(replay=(date(2023, 1, 1), date(2025, 12, 31)), suppress_below=BELOW)


def card(situation: str, indicator: str = "warning") -> Answer:
    return Answer(situation=situation, indicator=indicator, summary="…")


def told(answer: Answer, *others: Answer, day: date = DAY) -> Told:
    return Told(day, "patient-view", (), (answer, *others))


def results(*groups: tuple[int, Sequence[Told], dict[str, int]]) -> Iterator[PatientResult]:
    """So many patients each with what was told of them, and their silences."""
    for number, (patients, moments, silences) in enumerate(groups):
        for patient in range(patients):
            views = len(moments) + sum(silences.values())
            yield PatientResult(
                f"{number}-{patient}", views=views, told=tuple(moments), silences=(silences,) * 2
            )


def record(plan: Plan, advisor: Advisor, counts: Tally) -> Json:
    books = [advisor.rulebook] * len(counts.policies)
    return run_record(plan, books, [], counts, 0)


def part(title: str, plan: Plan, advisor: Advisor, counts: Tally) -> Part:
    books = [advisor.rulebook] * len(counts.policies)
    (found,) = [p for p in sections(plan, books, counts) if p.title == title]
    return found


@pytest.mark.parametrize(
    "counts, expected",
    [
        ([3], [None]),
        ([20, 0, 7], [20, 0, 7]),
        ([20, 3, 7], [20, None, None]),
        ([20, 1, 1, 7], [20, None, None, None]),
        ([20, 4, 4, 7], [20, None, None, 7]),
        ([4, 0], [None, 0]),
    ],
)
def test_hidden_with_as_many_others_as_it_takes(
    counts: list[int], expected: list[int | None]
) -> None:
    assert shown(counts, BELOW) == expected


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 12))
def test_the_sum_of_a_column_gives_nothing_away(counts: list[int], below: int) -> None:
    found = shown(counts, below)
    hidden = [c for c, f in zip(counts, found, strict=True) if f is None]
    assert all(f is None or f == c for c, f in zip(counts, found, strict=True))
    assert not any(f and f < below for f in found)
    if hidden and any(found):
        assert len(hidden) >= 2
        assert sum(hidden) >= below


def test_patients_less_silences_are_not_the_cards(advisor: Advisor) -> None:
    counts = tally(
        results((3, [told(card(LOW))], {}), (40, [], {QUIET: 1}), (9, [], {"suspect-specimen": 1})),
        1,
    )
    (policy,) = record(AS_OF, advisor, counts)["policies"]
    assert policy["patientsWithCard"] is None
    assert policy["silences"] == {QUIET: 40, "suspect-specimen": None}
    rows = part("Why nothing was said", AS_OF, advisor, counts).rows
    assert [row[2] for row in rows] == [40, None]


def test_a_month_is_not_what_the_other_months_leave(advisor: Advisor) -> None:
    def month(number: int, situation: str) -> list[Told]:
        return [told(card(situation), day=date(2025, number, 5))]

    counts = tally(
        results(
            (20, month(1, LOW), {}),
            (3, month(2, LOW), {}),
            (21, month(3, LOW), {}),
            (6, month(1, ONCE), {}),
        ),
        1,
    )
    (policy,) = record(REPLAY, advisor, counts)["policies"]
    assert [(c["situation"], c["cards"]) for c in policy["cards"]] == [(LOW, 44), (ONCE, 6)]
    assert [(m["month"], m["situation"], m["cards"]) for m in policy["byMonth"]] == [
        ("2025-01", LOW, None),
        ("2025-01", ONCE, 6),
        ("2025-02", LOW, None),
        ("2025-03", LOW, 21),
    ]
    months = part("Cards by month", REPLAY, advisor, counts).rows
    assert [row[2] for row in months[:4]] == [None, None, 21, 0], "nor from the plot"


def test_a_month_is_not_what_its_year_leaves(advisor: Advisor) -> None:
    days = {date(2024, 2, 1): 9, date(2024, 5, 1): 3, date(2025, 5, 1): 3, date(2025, 9, 1): 11}
    counts = tally(results(*((n, [told(card(LOW), day=d)], {}) for d, n in days.items())), 1)
    (policy,) = record(LONG, advisor, counts)["policies"]
    assert [m["cards"] for m in policy["byMonth"]] == [None, None, None, None]
    years = part("Cards by year", LONG, advisor, counts).rows
    assert [row[2] for row in years] == [0, 12, 14]


def test_a_rate_does_not_tell_what_its_count_hides(advisor: Advisor) -> None:
    counts = tally(
        results(
            (3, [told(card(LOW))], {}),
            (6, [told(card(ONCE))], {}),
            (1, [told(card(ONCE))] * 2, {}),
            (2, [told(card("ckd-low-alp", "info"))] * 6, {}),
        ),
        1,
    )
    (policy,) = record(AS_OF, advisor, counts)["policies"]
    hidden = [(r["cards"], r["patients"], r["per1000Patients"]) for r in policy["cards"]]
    assert hidden == [(None, None, None)] * 3


def test_repeats_cannot_be_worked_out_from_patients_and_cards(advisor: Advisor) -> None:
    def times(number: int) -> list[Told]:
        return [told(card(LOW), day=date(2025, 1, 1) + timedelta(n)) for n in range(number)]

    counts = tally(
        results((30, times(1), {}), (8, times(2), {}), (4, times(3), {}), (2, times(4), {})), 1
    )
    rows = part("How often again", REPLAY, advisor, counts).rows
    assert rows == (("1", 30), ("2", None), ("3", None), ("4", None))


def test_what_is_hidden_is_not_drawn_as_nothing(advisor: Advisor) -> None:
    """The page writes the number on every bar: a hidden three must not read as zero."""
    months = {1: 3, 2: 20, 3: 30}
    counts = tally(
        results(*((n, [told(card(LOW), day=date(2025, m, 5))], {}) for m, n in months.items())), 1
    )
    figure = part("Cards by month", REPLAY, advisor, counts).figure
    assert figure is not None
    (drawn,) = [bar["y"] for bar in figure["data"] if bar["name"] == "warning"]
    assert drawn == [None, None, 30, *[0] * 9]


def test_what_changes_is_not_drawn_where_it_is_not_told(advisor: Advisor) -> None:
    silent = Answer(situation=QUIET)
    counts = tally(
        results(
            (30, [told(card(LOW), card(LOW))], {}),
            (9, [told(silent, card(ONCE))], {}),
            (2, [told(silent, card(LOW))], {}),
        ),
        2,
    )
    plan = Plan(as_of=DAY, suppress_below=BELOW, policies=(None, None))
    found = part("Policy A against policy B", plan, advisor, counts)
    assert [(row[0], row[3]) for row in found.rows] == [
        ("gains", None),
        ("gains", None),
        ("same card", 30),
    ]
    assert found.figure is not None
    assert found.figure["data"][0]["y"] == [None, 0, 0, 30]
    assert "screened with one policy" in found.text


@pytest.mark.parametrize(
    "with_card, in_shadow_alone, expected",
    [
        (20, 3, (20, None)),
        (20, 5, (20, 25)),
        (20, 0, (20, 20)),
        (0, 4, (0, None)),
        (3, 5, (None, None)),
    ],
)
def test_patients_with_a_finding_alone_cannot_be_worked_out(
    advisor: Advisor, with_card: int, in_shadow_alone: int, expected: tuple[int | None, int | None]
) -> None:
    shadow = Answer(QUIET, shadow=(ONCE, LOW), withheld=(ONCE,))
    people = results((with_card, [told(card(LOW))], {}), (in_shadow_alone, [told(shadow)], {}))
    (policy,) = record(REPLAY, advisor, tally(people, 1))["policies"]
    assert (policy["patientsWithCard"], policy["patientsWithCardOrFinding"]) == expected
    findings = in_shadow_alone if in_shadow_alone >= BELOW else None
    row = {"hook": "patient-view", "situation": ONCE, "findings": findings}
    assert policy["shadow"] == ([row] if in_shadow_alone else [])
