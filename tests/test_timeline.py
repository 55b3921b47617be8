"""What the timeline of a patient holds: every fact that the table and the chart show."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from html import escape

import msgspec
import pytest

from cds_service.guidance import Advisor
from cds_service.hooks.request import decode
from cds_service.timeline import Timeline, timeline
from cds_service.web.pages.chart import drawable, figure
from tests.charts import REFERENCE, Json, alp, condition, dose, lab, patient, pregnant, stay, taking
from tests.conftest import Client
from tests.fixture_patients import FIXTURES, Fixture
from tests.test_fixtures import bundled_request


def of(service: Client, *chart: Json) -> Timeline:
    """The timeline of a chart."""
    return of_request(service.advisor, service.request(*chart))


def of_request(advisor: Advisor, request: Json) -> Timeline:
    """The timeline that belongs to a hook request."""
    call = decode(msgspec.json.encode(request), ("patient-view",))
    return timeline(advisor.answer(call, REFERENCE).decision.assessment)


def verdicts(t: Timeline) -> list[tuple[str, str, str, str]]:
    """Value, limit, verdict and reason of each ALP."""
    return [(p.value, p.limit, p.verdict, p.reason) for p in t.points]


def drawn(found: Json, row: str) -> Sequence[Json]:
    """The traces in one row below the curve."""
    return [trace for trace in found["data"] if row in trace.get("y", ())]


def test_values_stand_as_reported_against_the_limit_of_their_day(service: Client) -> None:
    t = of(
        service,
        patient(58),
        alp(50, on=-900, low=35),
        alp(0.45, on=-400, low=0.6, unit="ukat/L"),
        alp(28, on=-30),
    )
    assert verdicts(t) == [
        ("50 U/L", "35 U/L", "not low", ""),
        ("0.45 µkat/L (27 U/L)", "36 U/L", "low", ""),
        ("28 U/L", "35 U/L", "low", ""),
    ]
    assert [p.u_per_l for p in t.points] == [Decimal(50), Decimal("27.00"), Decimal(28)]
    assert t.points[2].limit_source == "built-in limit for women: the laboratory gave none"
    assert t.sentence == (
        "Of 3 ALP values that count, 2 are low; the latest, 28 U/L on 2 Oct 2026, is below its limit of"
        " 35 U/L. Antiresorptives: none on record."
    )


def test_what_does_not_count_is_there_with_its_reason(service: Client) -> None:
    t = of(
        service,
        patient(58),
        stay("IMP", -110, -95),
        alp(20, on=-100, low=35),
        alp(22, on=-60, low=35, unit=None),
        alp(31, on=-10, low=35, status="final"),
    )
    assert [p.verdict for p in t.points] == ["not counted", "low", "low"]
    assert t.points[0].reason == "low, but taken in or soon after acute illness or a hospital stay"
    assert [(s.kind, s.end - s.start) for s in t.spans] == [("acute illness", timedelta(days=45))]
    assert t.sentence.count("1 further value is on file but not counted.") == 1


def test_a_value_without_a_unit_is_in_the_table_only(service: Client) -> None:
    t = of(service, patient(58), alp(29, on=-60, low=35, unit=None))
    assert [(p.value, p.u_per_l, p.limit_u_per_l) for p in t.points] == [
        ("29 (no unit)", None, None)
    ]
    assert not [trace for trace in figure(t)["data"] if trace["name"] == "Low"]


def test_exposure_with_the_days_on_which_it_may_still_act(service: Client) -> None:
    t = of(
        service,
        patient(66),
        alp(30, on=-20, low=35),
        taking("alendronate", -900, -500),
        dose("denosumab", -300),
        dose("denosumab", -120),
    )
    first = REFERENCE - timedelta(days=900)
    assert t.first_dose == first
    assert [(b.drug, b.is_dose, b.start == first) for b in t.bars] == [
        ("alendronate", False, True),
        ("denosumab", True, False),
        ("denosumab", True, False),
    ]
    assert t.bars[0].last == REFERENCE - timedelta(days=500)
    assert t.bars[0].residual_end is not None
    assert t.bars[0].residual_end > t.bars[0].last
    assert t.points[0].reason == "within the effect window of denosumab"


def test_a_drug_still_taken_has_no_end(service: Client) -> None:
    t = of(service, patient(66), alp(30, on=-20, low=35), taking("alendronate", -900))
    assert [(b.last, b.residual_end) for b in t.bars] == [(None, None)]


def test_an_unknown_start_leaves_the_first_dose_unknown(service: Client) -> None:
    t = of(service, patient(66), alp(30, on=-20, low=35), taking("alendronate", None, -30))
    assert (t.first_dose, t.bars[0].start) == (None, None)
    (bar,) = [trace for trace in drawn(figure(t), "Alendronate") if trace["name"] == "Taken"]
    assert bar["base"][0] < "2026-11-01"


def test_work_up_fractures_and_signs(service: Client) -> None:
    t = of(
        service,
        patient(58),
        alp(28, on=-20, low=35),
        lab("plp", 300, on=-15, unit="nmol/L", high=125),
        condition("atypical femoral fracture", on=-200),
        condition("hypophosphatasia", on=-2000),
    )
    assert [(m.kind, m.name, m.value, m.remark) for m in t.marks] == [
        ("sign", "Hypophosphatasia", "", ""),
        ("fracture", "Atypical femoral fracture", "", ""),
        ("work-up", "PLP", "300 nmol/L", "high, limit 125 nmol/L"),
    ]


def test_pregnancy_is_a_span_with_its_own_limit(service: Client) -> None:
    t = of(service, patient(33), *pregnant(35), alp(30, on=-5, low=35))
    assert [s.kind for s in t.spans] == ["pregnancy"]
    assert t.points[0].limit == "38 U/L"
    assert t.points[0].limit_source.startswith("third-trimester limit")


def test_asfotase_alfa_is_a_span_in_which_nothing_counts(service: Client) -> None:
    t = of(service, patient(30), alp(4000, on=-30, low=35), taking("asfotase alfa", -900))
    assert [(p.verdict, p.reason) for p in t.points] == [
        ("not counted", "not low, but taken on asfotase alfa")
    ]
    assert [(s.kind, s.end) for s in t.spans] == [("asfotase alfa", REFERENCE)]


def test_nothing_on_file_draws_nothing(service: Client) -> None:
    t = of(service, patient(58))
    assert (t.points, t.sentence) == (
        (),
        "No ALP result that counts is on file. Antiresorptives: none on record.",
    )
    assert not drawable(t)


def test_undated_values_are_counted_not_hidden(service: Client) -> None:
    undated = alp(28, on=-20, low=35)
    del undated["effectiveDateTime"]
    t = of(service, patient(58), undated)
    assert (t.undated, t.points) == (1, ())


def test_overlapping_effects_are_one_hatched_bar(service: Client) -> None:
    doses = [dose("zoledronate", -365 * year) for year in (1, 2, 3)]
    found = figure(of(service, patient(66), alp(30, on=-20, low=35), *doses))
    effects = [t for t in drawn(found, "Zoledronate") if t["name"] == "May still act"]
    assert [len(t["base"]) for t in effects] == [1]
    assert effects[0]["marker"]["pattern"]["shape"] == "/"


def test_the_axis_is_logarithmic_only_where_values_are_far_apart(service: Client) -> None:
    near = figure(of(service, patient(58), alp(28, on=-20, low=35)))
    far = figure(of(service, patient(30), alp(4000, on=-30, low=35)))
    assert near["layout"]["yaxis"].get("type") is None
    assert far["layout"]["yaxis"]["type"] == "log"


@pytest.mark.parametrize("row", FIXTURES, ids=lambda row: row.name)
def test_every_value_of_the_table_is_in_the_chart_or_has_no_number(
    advisor: Advisor, row: Fixture
) -> None:
    t = of_request(advisor, bundled_request(row))
    in_chart = [
        y
        for trace in figure(t)["data"]
        if trace["name"] in ("Low", "Not low", "Not counted", "Not used")
        for y in trace["y"]
    ]
    assert sorted(in_chart) == sorted(float(p.u_per_l) for p in t.points if p.u_per_l is not None)
    told = [text for trace in figure(t)["data"] for text in trace["text"]]
    for point in t.points:
        if point.u_per_l is not None:
            assert any(escape(point.value) in text and point.verdict in text for text in told)


def test_text_from_a_record_is_no_markup_in_the_chart(service: Client) -> None:
    t = of(service, patient(58), alp(28, on=-20, low=35))
    spoilt = msgspec.structs.replace(
        t, points=(msgspec.structs.replace(t.points[0], value="<a href='x'>28</a>"),)
    )
    told = [text for trace in figure(spoilt)["data"] for text in trace["text"]]
    assert any("&lt;a href=&#x27;x&#x27;&gt;28&lt;/a&gt;" in text for text in told)
    assert not any("<a" in text for text in told)
