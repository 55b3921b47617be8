"""The public pages and FHIR endpoints: made from what is in force, safe to show, nothing about a patient."""

import re
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
from flask import Flask

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.bundled_patients import chart, stories
from cds_service.errors import KnowledgeError
from cds_service.offered_services import SERVICES
from cds_service.phrases.policy import numbers
from cds_service.rulebook import governance
from cds_service.web.pages import prose
from tests.conftest import CANONICAL, Client, open_settings

PAGES = (
    "/knowledge",
    "/knowledge/value-sets",
    "/knowledge/source-attributes",
    "/knowledge/situations/persistent-low-alp",
    "/knowledge/situations/nothing-low",
)
BOOK = rulebook.load(CANONICAL)


class _Text(HTMLParser):
    """The text of a page, and the addresses that it loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [given[n] or "" for n in ("src",) if n in given]
        if tag == "link":
            self.loaded.append(given["href"] or "")
        if tag == "a":
            self.links.append(given["href"] or "")
        self.inline += [n for n in given if n.startswith("on") or n == "style"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> _Text:
    found = _Text()
    found.feed(page)
    return found


def words(page: str) -> str:
    """The text of a page on one line."""
    return " ".join(unescape(" ".join(parsed(page).text)).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """A site with a policy of its own."""
    policy = tmp_path_factory.mktemp("site") / "site.toml"
    policy.write_text(
        '[alp]\nadult_female = 38\n[situations]\nsingle-low-alp = "shadow"\nno-baseline-alp = "off"\n'
        '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:oid:1.2.3.4"\ncode = "ALP"\n',
        encoding="utf-8",
    )
    settings = open_settings(policy=policy, canonical_url="https://terms.example")
    return create_app(settings)


def page(site: Flask, path: str) -> str:
    answer = site.test_client().get(path)
    assert answer.status_code == 200, path
    return answer.get_data(as_text=True)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_runs_no_inline_code(
    service: Client, path: str
) -> None:
    answer = service.get(path)
    found = parsed(answer.text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert found.loaded
    assert all(address.startswith("/static/") for address in found.loaded)
    assert found.inline == []
    for address in found.loaded:
        assert service.get(address).status_code == 200, address


@pytest.mark.parametrize("path", [*PAGES, "/fhir/CodeSystem/orders", "/static/pages.css"])
def test_headers_allow_a_browser_nothing_but_our_own(service: Client, path: str) -> None:
    headers = service.get(path).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_links_within_lead_somewhere(service: Client) -> None:
    seen: set[str] = set()
    for path in PAGES:
        for link in parsed(service.get(path).text).links:
            if link.startswith("/") and link not in seen:
                seen.add(link)
                assert service.get(link).status_code == 200, link
    assert len(seen) > 100


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_that_nobody_signed_it_off(service: Client, path: str) -> None:
    told = f"Last clinical review: {BOOK.about.last_clinical_review}."
    assert "no clinician has signed this model off" in told
    assert told in words(service.get(path).text)


def test_every_situation_stands_with_its_criterion_in_numbers(service: Client) -> None:
    text = words(service.get("/knowledge").text)
    places = []
    for row in BOOK.rows:
        situation = BOOK.situations[row.slug]
        assert situation.criterion.format_map(numbers(BOOK.policy)) in text
        places.append(text.index(f"{situation.title} {row.slug}"))
    assert places == sorted(places)


@pytest.mark.parametrize("slug", BOOK.situations)
def test_a_situation_is_told_whole(service: Client, slug: str) -> None:
    situation = BOOK.situations[slug]
    text = words(service.get(f"/knowledge/situations/{slug}").text)
    assert situation.title in text
    assert situation.criterion.format_map(numbers(BOOK.policy)) in text
    for offer in situation.orders:
        assert BOOK.orders[offer.code].instructions in text
    for key in situation.sources:
        assert BOOK.citations[key].label in text
        assert BOOK.citations[key].evidence in text
    for story in stories():
        assert (story.story in text) == (slug in (story.situation, story.beside))
    assert "{" not in text


def test_a_site_sees_its_own_numbers_and_switches(site: Flask) -> None:
    text = words(page(site, "/knowledge"))
    assert "alp.adult_female 38 35" in text
    assert "in shadow at this site" in text
    assert "switched off at this site" in text
    assert "switched off at this site" in words(page(site, "/knowledge/situations/no-baseline-alp"))


def test_documentation_of_hooks_and_behaviours(service: Client) -> None:
    """DISC-19"""
    text = words(service.get("/knowledge").text)
    for offered in SERVICES.values():
        assert offered.description in text
        assert offered.id in text
    assert "412: could not check." in text


def test_value_sets_are_shown_with_confidence(service: Client) -> None:
    text = words(service.get("/knowledge/value-sets").text)
    for value_set in BOOK.terminology.value_sets.values():
        assert value_set.title in text
        for concept in value_set.concepts:
            assert f"{concept.code} {concept.display} {concept.confidence}" in text


def test_source_attributes_name_hazards_inputs_and_sources(service: Client) -> None:
    text = words(service.get("/knowledge/source-attributes").text)
    found = governance.read_source_attributes(BOOK.situations)
    assert len(found.hazards) >= 10
    for hazard in found.hazards:
        assert hazard.hazard in text
        assert hazard.controls
        assert all(control in text for control in hazard.controls)
    for citation in BOOK.citations.values():
        assert f"Read as: {citation.read_as}." in text
    assert "Patient/{{context.patientId}}" in text


def test_a_single_low_value_leads_to_no_genetic_test() -> None:
    """The source attributes claim it."""
    for slug in ("suspect-specimen", "single-low-alp", "child-single-low-alp"):
        assert "alpl_test" not in [offer.code for offer in BOOK.situations[slug].orders]


def test_a_hazard_controlled_by_nothing_we_have_refuses_to_start() -> None:
    with pytest.raises(KnowledgeError, match="there is no situation denosumab-gap"):
        governance.read_source_attributes([s for s in BOOK.situations if s != "denosumab-gap"])


def test_a_version_without_its_changes_refuses_to_start() -> None:
    assert governance.read_changes(BOOK.about.version)[0].version == BOOK.about.version
    with pytest.raises(KnowledgeError, match=r"knowledge version 9\.9\.9"):
        governance.read_changes("9.9.9")


@pytest.mark.parametrize("path", ["/knowledge/situations/unknown", "/knowledge/situations/<b>x"])
def test_an_unknown_page_is_refused_as_a_page(service: Client, path: str) -> None:
    answer = service.get(path)
    assert answer.status_code == 404
    assert "There is no such situation." in answer.text
    assert "<b>x" not in answer.text


def test_about_leads_to_the_source_attributes(service: Client) -> None:
    answer = service.get("/about")
    assert answer.url == f"{service.base}/knowledge/source-attributes"


def test_the_bare_address_leads_to_the_rules(service: Client) -> None:
    """A browser follows; who reads the answer itself is told the other addresses, too."""
    assert service.get("/").url == f"{service.base}/knowledge"
    answer = service.app.test_client().get("/")
    assert (answer.status_code, answer.content_type) == (302, "text/plain; charset=utf-8")
    assert answer.location == "knowledge"
    named = re.findall(r"/[a-z-]+(?:\.json)?", answer.get_data(as_text=True))
    assert named == ["/cds-services", "/knowledge", "/openapi.json"]
    assert all(service.get(path).status_code == 200 for path in named)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


# --- FHIR ---


@pytest.mark.parametrize("value_set_id", BOOK.terminology.value_sets)
def test_value_sets_go_out_as_valid_r4(site: Flask, value_set_id: str) -> None:
    answer = site.test_client().get(f"/fhir/ValueSet/{value_set_id}")
    assert answer.content_type == "application/fhir+json"
    resource = msgspec.json.decode(answer.data)
    import_module("fhir.resources.R4B.valueset").ValueSet.model_validate(resource)
    assert resource["url"] == f"https://terms.example/fhir/ValueSet/{value_set_id}"
    assert "low-alp-cds.example" not in answer.get_data(as_text=True)


def test_a_local_code_is_part_of_its_value_set(site: Flask) -> None:
    answer = site.test_client().get("/fhir/ValueSet/alp-total").get_json(force=True)
    last = answer["compose"]["include"][-1]
    assert last == {"system": "urn:oid:1.2.3.4", "concept": [{"code": "ALP", "display": "ALP"}]}


@pytest.mark.parametrize("system", ["orders", "override-reasons", "situations"])
def test_code_systems_hold_every_code_that_cards_use(service: Client, system: str) -> None:
    answer = service.get(f"/fhir/CodeSystem/{system}")
    resource = answer.json()
    import_module("fhir.resources.R4B.codesystem").CodeSystem.model_validate(resource)
    used = {
        "orders": BOOK.orders,
        "override-reasons": BOOK.override_reasons,
        "situations": BOOK.situations,
    }[system]
    assert [c["code"] for c in resource["concept"]] == list(used)
    assert resource["url"] == getattr(
        BOOK,
        {
            "orders": "order_system",
            "override-reasons": "override_system",
            "situations": "situation_system",
        }[system],
    )


def test_override_reasons_say_what_they_correspond_to(service: Client) -> None:
    concepts = service.get("/fhir/CodeSystem/override-reasons").json()["concept"]
    told = {c["code"]: c["property"][0]["valueCode"] for c in concepts}
    assert told == {code: reason.hl7 for code, reason in BOOK.override_reasons.items()}


@pytest.mark.parametrize("path", ["/fhir/ValueSet/unknown", "/fhir/CodeSystem/unknown"])
def test_an_unknown_resource_is_an_operation_outcome(service: Client, path: str) -> None:
    answer = service.get(path)
    assert (answer.status_code, answer.json()["resourceType"]) == (404, "OperationOutcome")


@pytest.mark.parametrize("path", [*PAGES, "/fhir/CodeSystem/orders", "/fhir/ValueSet/alp-total"])
def test_what_has_not_changed_is_not_sent_again(service: Client, path: str) -> None:
    first = service.get(path)
    assert first.headers["Cache-Control"] == "no-cache", "kept, and asked for each time"
    again = service.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "default-src 'none'" in again.headers["Content-Security-Policy"]
    changed = service.get(path, headers={"If-None-Match": '"another"'})
    assert (changed.status_code, changed.content) == (200, first.content)


def test_a_page_that_is_not_there_is_not_kept(service: Client) -> None:
    assert service.get("/knowledge/situations/unknown").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/patients/persistent-low-alp", "/smart/launch", "/timeline"])
def test_the_service_has_no_sandbox_and_no_app_unless_configured(
    service: Client, path: str
) -> None:
    answer = service.get(path)
    assert (answer.status_code, answer.json()["resourceType"]) == (404, "OperationOutcome")


def test_production_does_not_speak_of_the_sandbox(service: Client) -> None:
    assert "Sandbox" not in service.get("/knowledge").text


# --- markdown and bundled patients ---


@pytest.mark.parametrize(
    "markdown, html",
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("a <b>b</b>", "<p>a &lt;b&gt;b&lt;/b&gt;</p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        (
            "[x](https://example.org/)",
            '<p><a href="https://example.org/" target="_blank" rel="noopener noreferrer">x</a></p>\n',
        ),
        (r"\<img src=x\>", "<p>&lt;img src=x&gt;</p>\n"),
    ],
)
def test_markdown_becomes_html_without_any_of_its_own(markdown: str, html: str) -> None:
    assert str(prose.html(markdown)) == html


def test_tables_of_cards_become_tables() -> None:
    found = str(prose.html("| a | b |\n|---|---|\n| 1 \\| 2 | &lt;20 |"))
    assert "<td>1 | 2</td>" in found
    assert "<td>&lt;20</td>" in found


def test_only_bundled_patients_have_a_chart() -> None:
    assert chart("normal-alp")["resourceType"] == "Bundle"
    with pytest.raises(KeyError):
        chart("../index")


def test_templates_and_static_files_are_packaged() -> None:
    root = Path(__file__).resolve().parent.parent
    declared = (root / "pyproject.toml").read_text(encoding="utf-8")
    folders = {p.parent.name for p in (root / "cds_service/web/pages").glob("*/*.*")}
    assert folders - {"__pycache__"} == {"static", "templates"}
    for folder in ("static/*", "templates/*.html"):
        assert f'"web/pages/{folder}"' in declared
    assert not re.findall(
        r"https?://", (root / "cds_service/web/pages/static/timeline.js").read_text()
    )
