"""The sandbox EHR as a newcomer uses it, by mouse and by keyboard, with and without scripts."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, picture, violations


def test_from_the_list_to_the_reason_of_a_card(visit: Visit) -> None:
    page = visit().open("/")
    page.get_by_text("ALP low three times in two years").click()
    expect(page.get_by_role("heading", name="ALP persistently low (31 and 27 U/L)")).to_be_visible()
    expect(page.get_by_text("Of 3 ALP values that count, 3 are low")).to_be_in_viewport()
    expect(page.get_by_text("Why this fired", exact=True)).to_be_visible()
    expect(page.get_by_text("Options to consider", exact=True)).to_be_hidden()
    page.get_by_text("Background, gaps, options and sources").click()
    expect(page.get_by_text("Options to consider", exact=True)).to_be_visible()


def test_what_is_urgent_in_a_suspect_sample_stands_open(visit: Visit) -> None:
    page = visit(width=500).open("/patients/suspect-specimen")
    card = page.locator(".card")
    expect(card.get_by_text("If real, this is urgent")).to_be_in_viewport()
    expect(card.get_by_role("cell", name="Potassium")).to_be_visible()
    expect(card.get_by_role("cell", name="Calcium (total)")).to_be_visible()


@pytest.mark.parametrize("width", [500, 1600])
def test_the_card_comes_before_the_chart_or_beside_it(visit: Visit, width: int) -> None:
    page = visit(width=width).open("/patients/persistent-low-alp")
    card = page.locator(".card").first.bounding_box()
    chart = page.locator("#timeline-chart").bounding_box()
    assert card is not None
    assert chart is not None
    if width == 500:
        assert card["y"] + card["height"] < chart["y"]
    else:
        assert card["x"] > chart["x"] + chart["width"]
        assert abs(card["y"] - chart["y"]) < card["height"]


# What is set aside stays quiet, so each has a patient whom no other test opens.
@pytest.mark.parametrize(
    "scripts, patient", [(True, "npu-code"), (False, "local-code-beside-loinc")]
)
def test_order_answer_and_set_aside(visit: Visit, axe: str, scripts: bool, patient: str) -> None:
    page = visit(java_script_enabled=scripts).open(f"/patients/{patient}")
    page.get_by_role("button", name="+ Blood test: PLP (vitamin B6 level)").click()
    expect(
        page.get_by_text("Added to the draft orders: Blood test: PLP (vitamin B6 level).")
    ).to_be_visible()
    page.get_by_text("Set this card aside").click()
    page.get_by_label("Reason").select_option(label="Already evaluated")
    page.get_by_role("button", name="Set aside").click()
    expect(page.get_by_text("Set aside: Already evaluated.")).to_be_visible()
    if scripts:
        picture(page, "answered")
        assert violations(page, axe) == []
    page.get_by_label("Drug").first.select_option("zoledronate")
    page.get_by_role("button", name="Sign it").click()
    expect(page.get_by_text("Order being signed")).to_be_visible()
    expect(page.locator(".card")).to_have_count(1)


def test_a_changed_value_fires_again(visit: Visit) -> None:
    page = visit().open("/patients/persistent-low-alp")
    page.get_by_text("Values, units, dates, drugs, age").click()
    latest = page.get_by_role("group", name="ALP 3")
    latest.get_by_label("Value").fill("61")
    page.get_by_role("button", name="Fire again").click()
    expect(page.get_by_text("No card, because the latest ALP that counts, 61 U/L")).to_be_visible()
    expect(page.get_by_text("the latest, 61 U/L")).to_be_visible()
    page.get_by_role("link", name="Back to the chart as it was").click()
    expect(page.locator(".card")).to_have_count(1)


def test_a_card_is_answered_by_keyboard_alone(visit: Visit) -> None:
    page = visit().open("/patients/persistent-low-alp")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("+ Blood test: PLP"):
            break
    page.keyboard.press("Enter")
    expect(
        page.get_by_text("Added to the draft orders: Blood test: PLP (vitamin B6 level).")
    ).to_be_visible()


def test_what_is_typed_stays_text(visit: Visit) -> None:
    value = "<img src=x onerror=alert(1)>"
    page = visit().open(f"/patients/persistent-low-alp?alp-2-value={value}&alp-1-unit={value}")
    assert page.locator("main img").count() == 0
    page.get_by_text(re.compile("^Request: POST")).click()
    expect(page.locator("pre").filter(has_text=value)).to_be_visible()
