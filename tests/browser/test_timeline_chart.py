"""The chart: drawn from the page's own data, told by shape and hover, the same in every theme."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visit, picture, violations
from tests.charts import fixture
from tests.smart_ehr import running
from tests.test_smart import service

PATIENT = "/patients/low-before-antiresorptive"


def points(page: Page, trace: str) -> list[dict[str, Any]]:
    """The points of a trace as Plotly drew them."""
    found: list[dict[str, Any]] = page.evaluate(
        """(name) => document.getElementById('timeline-chart').data
            .filter((t) => t.name === name)
            .flatMap((t) => t.x.map((x, i) => ({x, y: t.y[i], colour: t.marker.color})))""",
        trace,
    )
    return found


def test_low_values_are_drawn_where_the_table_has_them(visit: Visit) -> None:
    page = visit().open(PATIENT)
    assert [p["y"] for p in points(page, "Low")] == [24, 26, 22]
    assert page.locator(".main-svg .scatterlayer .point").count() >= 6
    told = page.locator("#alp-values + .scroll tbody tr").all_inner_texts()
    assert [t.split("\t")[1] for t in told] == ["22 U/L", "26 U/L", "24 U/L"]


def test_hovering_tells_value_limit_and_verdict(visit: Visit) -> None:
    page = visit().open("/patients/acute-illness-only")
    place = page.evaluate(
        """() => { const g = document.getElementById('timeline-chart');
          const t = g._fullData.findIndex((d) => d.name === 'Not counted');
          const a = g._fullLayout; const box = g.getBoundingClientRect();
          return [box.x + a.margin.l + a._size.l - a.margin.l + a.xaxis.d2p(g.data[t].x[0]),
                  box.y + a._size.t + a.yaxis._offset - a._size.t + a.yaxis.d2p(g.data[t].y[0])]; }"""
    )
    page.mouse.move(place[0], place[1])
    text = page.locator(".hoverlayer").text_content() or ""
    assert "29 Sep 2026: ALP 24 U/L" in text.replace("\n", " ")
    assert "acute illness" in text.replace("\n", " ")


def test_colours_follow_the_theme_and_turn_to_paper_for_print(visit: Visit) -> None:
    page = visit(scheme="light").open(PATIENT)
    light = points(page, "Low")[0]["colour"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(c) => document.getElementById('timeline-chart').data.find("
                           "(t) => t.name === 'Low').marker.color !== c", arg=light)  # fmt: skip
    dark = points(page, "Low")[0]["colour"]
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert points(page, "Low")[0]["colour"] == light != dark
    page.emulate_media(media="print", color_scheme="dark")
    picture(page, "print")
    assert not page.locator("header.site nav").is_visible()
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert points(page, "Low")[0]["colour"] == dark


def test_without_scripts_sentence_and_tables_remain(visit: Visit) -> None:
    page = visit(java_script_enabled=False).open(PATIENT)
    assert page.get_by_text("The chart needs JavaScript.").is_visible()
    assert page.get_by_text("Of 3 ALP values that count, 3 are low").is_visible()
    assert page.locator("#alp-values + .scroll tbody tr").count() == 3
    assert page.locator("#antiresorptives ~ .scroll tbody tr").count() >= 7


def test_the_chart_has_a_text_for_those_who_do_not_see_it(visit: Visit) -> None:
    page = visit().open(PATIENT)
    chart = page.get_by_role("img", name="Chart of ALP over time")
    assert "3 are low" in (chart.get_attribute("aria-label") or "")


def test_no_request_leaves_for_anywhere_else(visit: Visit) -> None:
    visitor = visit()
    visitor.open(PATIENT)
    assert {u.split("/", 3)[2] for u in visitor.asked} == {visitor.base.removeprefix("http://")}


@pytest.mark.parametrize("width, scheme", [(360, "dark"), (1600, "light")])
def test_smart_launch_in_a_browser(
    visit: Visit, axe: str, tmp_path: Any, width: int, scheme: str
) -> None:
    chart = fixture("low-before-antiresorptive")
    person = next(
        e["resource"] for e in chart["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    person["name"] = [{"text": "<img src=x onerror=alert(1)> Stoorvogel"}]
    with running(chart) as ehr, service(ehr.iss, tmp_path) as base:
        visitor = visit(width, scheme, base)
        page = visitor.open(f"/smart/launch?iss={ehr.iss}&launch=launch-1")
        assert page.url.startswith(f"{base}/timeline?view=")
        assert page.locator("h1").inner_text() == "<img src=x onerror=alert(1)> Stoorvogel"
        assert page.locator("main img").count() == 0
        assert page.get_by_text("ALP was already low").count() >= 1
        assert violations(page, axe) == []
        picture(page, f"smart-{scheme}-{width}")
        page.reload()
        page.wait_for_selector("#timeline-chart .main-svg")
        assert page.evaluate("document.cookie") == ""
