"""Every page, light and dark, narrow and wide: no error, no violation, no sideways scrolling, by keyboard."""

import re

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCHEMES, WIDTHS, Visit, picture, violations

PAGES = {
    "patients": "/",
    "card": "/patients/persistent-low-alp",
    "two-cards": "/patients/denosumab-gap",
    "treated": "/patients/low-before-antiresorptive",
    "fracture": "/patients/fracture-low-alp",
    "silence": "/patients/acute-illness-only",
    "child": "/patients/child-persistent-low-alp",
    "pregnancy": "/patients/pregnancy-low-alp",
    "no-unit": "/patients/missing-unit",
    "asfotase": "/patients/specialist-managed",
    "order-critical": "/patients/hpp-antiresorptive-exposure?drug=alendronate&do=sign",
    "changed": "/patients/persistent-low-alp?alp-2-value=61",
    "rules": "/knowledge",
    "situation": "/knowledge/situations/persistent-low-alp",
    "value-sets": "/knowledge/value-sets",
    "source-attributes": "/knowledge/source-attributes",
    "refusal": "/knowledge/situations/unknown",
}
_MISSING = "error: Failed to load resource: the server responded with a status of 404 (NOT FOUND)"
_FOCUSABLE = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
  )].filter((e) => e.checkVisibility({visibilityProperty: true}))"""


def fold(page: Page, *, open_them: bool) -> None:
    """What is folded away has to be right too; of a long list of the same the first few tell."""
    page.evaluate(
        "(o) => [...document.querySelectorAll('details')].slice(0, 8).forEach((d) => { d.open = o; })",
        open_them,
    )


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_and_fits(visit: Visit, axe: str, name: str) -> None:
    visitor = visit()
    page = visitor.open(PAGES[name])
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            picture(page, f"{name}-{scheme}-{width}")
            fold(page, open_them=True)
            assert violations(page, axe) == [], (scheme, width)
            fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.evaluate(fits), f"it scrolls sideways at {width}"
            fold(page, open_them=False)
    if name == "refusal":
        visitor.faults.remove(_MISSING)


@pytest.mark.parametrize("name", ["patients", "card", "rules", "source-attributes"])
def test_page_is_walked_by_keyboard(visit: Visit, name: str) -> None:
    page = visit().open(PAGES[name])
    page.evaluate(f"() => ({_FOCUSABLE})().forEach((e, i) => {{ e.dataset.stop = i; }})")
    stops = page.evaluate(f"() => ({_FOCUSABLE})().length")
    reached = []
    for _ in range(stops):
        page.keyboard.press("Tab")
        stop, seen = page.evaluate(
            """() => { const e = document.activeElement; const s = getComputedStyle(e);
              return [e.dataset.stop, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]; }"""
        )
        reached.append(stop)
        assert seen, f"no visible focus on stop {stop}"
    assert reached == [str(i) for i in range(stops)]


def test_the_skip_link_leads_to_the_content(visit: Visit) -> None:
    page = visit().open("/knowledge")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_landmarks_and_one_heading(visit: Visit) -> None:
    visitor = visit()
    for path in PAGES.values():
        page = visitor.open(path)
        for landmark in ("header", "nav", "main", "footer"):
            assert page.locator(landmark).count() >= 1, (path, landmark)
        assert page.locator("h1").count() == 1, path
        assert re.search(r"· Low ALP CDS$", page.title()), path
    visitor.faults.remove(_MISSING)
