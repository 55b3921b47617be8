"""The value sets: valid FHIR, every code well formed, sourced and licensed, none of the known mistakes."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.valueset import ValueSet

from cds_service.rulebook import Order, orderable
from cds_service.rulebook.files import KNOWLEDGE, read_table, read_value_sets
from cds_service.terminology import ATC, ICD_10_CM, LOINC, NDC, RXNORM, SNOMED_CT, Terminology
from tests.charts import NPU
from tests.conftest import CANONICAL

FILES = sorted((KNOWLEDGE / "value_sets").glob("*.json"))
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
HGNC = "http://www.genenames.org/geneId"
HGNC_AS_SOME_SEND_IT = "http://www.genenames.org"
SNOMED_CONCEPT = re.compile(r"[1-9]\d{2,14}[01]0\d")
"""An item id, then 00 (international) or 10 (an extension) for a concept, then the check digit."""

each = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)


class Coding(msgspec.Struct, frozen=True):
    """One concept with the value set that lists it."""

    value_set: str
    system: str
    code: str
    display: str
    confidence: str | None
    source: str | None


def resource(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def codings_of(path: Path) -> Iterator[Coding]:
    for include in resource(path)["compose"]["include"]:
        for concept in include.get("concept", ()):
            yield Coding(
                path.stem,
                include["system"],
                concept["code"],
                concept["display"],
                _extension(concept, "confidence", "valueCode"),
                _extension(concept, "seen-in", "valueString"),
            )


def _extension(concept: dict[str, Any], name: str, member: str) -> str | None:
    found = [e[member] for e in concept.get("extension", ()) if e["url"].endswith(f"/{name}")]
    assert len(found) <= 1
    return found[0] if found else None


CODINGS = [coding for path in FILES for coding in codings_of(path)]


@pytest.fixture(scope="module")
def terminology() -> Terminology:
    return Terminology(read_value_sets().values())


# The file


@each
def test_is_a_valid_value_set_of_its_name(path: Path) -> None:
    found = ValueSet.model_validate(resource(path))
    assert found.id == path.stem
    assert found.url == f"{CANONICAL}/fhir/ValueSet/{path.stem}"
    assert found.status in ("draft", "active")


SAYS = {
    "version": r"\d+\.\d+\.\d+",
    "date": r"\d{4}-\d\d-\d\d",
    "name": r"[A-Z][A-Za-z0-9_]{0,254}",
    "title": r"\S.*\S",
    "description": r"\S.*[.]",
    "publisher": r"\S.*",
    "copyright": r"\S.*",
}


@each
def test_says_what_it_is(path: Path) -> None:
    found = resource(path)
    for member, looks_like in SAYS.items():
        assert re.fullmatch(looks_like, found[member]), member


@each
def test_an_include_lists_codes_or_names_a_root(path: Path) -> None:
    for include in resource(path)["compose"]["include"]:
        # FHIR vsd-3: cannot have both concept and filter.
        assert ("concept" in include) != ("filter" in include)
        for root in include.get("filter", ()):
            assert (root["property"], root["op"]) == ("concept", "is-a"), "what the loader reads"


@each
def test_no_coding_is_listed_twice(path: Path) -> None:
    counted = Counter((c.system, c.code) for c in codings_of(path))
    assert {coding for coding, times in counted.items() if times > 1} == set()


NOTICES = {
    LOINC: [
        r"This material contains content from LOINC \(https?://loinc\.org\)",
        r"LOINC is copyright.*Regenstrief Institute, Inc\. and the.*LOINC.*Committee",
        r"available at no cost under the licen[cs]e at https?://loinc\.org/license",
    ],
    SNOMED_CT: [
        r"SNOMED Clinical Terms.*used by permission of SNOMED International",
        r"All rights reserved",
        r"originally created by The College of American Pathologists",
    ],
    ATC: [r"WHO Collaborating Centre for Drug Statistics Methodology"],
    NPU: [r"IUPAC", r"IFCC"],
}


@each
def test_licence_notices_stand_in_the_copyright(path: Path) -> None:
    found = resource(path)
    for include in found["compose"]["include"]:
        for notice in NOTICES.get(include["system"], []):
            assert re.search(notice, found["copyright"]), f"{include['system']}: {notice}"


def test_every_licensed_system_is_in_use() -> None:
    """Otherwise the notices above check nothing."""
    assert set(NOTICES) <= {c.system for c in CODINGS}


# The codes


@each
def test_each_code_says_how_sure_it_is_and_where_it_was_seen(path: Path) -> None:
    for coding in codings_of(path):
        assert coding.confidence in ("verified", "single-source"), coding
        assert coding.source, coding
        assert coding.source.strip(), coding
        assert coding.display.strip(), coding


def luhn(text: str) -> int:
    """The mod 10 check digit of LOINC; the letters of LA and LP codes count as ASCII less 48."""
    total = 0
    for place, character in enumerate(reversed(text)):
        number = ord(character) - 48
        total += 2 * number - 9 * (number // 5) if place % 2 == 0 else number
    return -total % 10


DIHEDRAL = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
PERMUTED = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def verhoeff(text: str) -> bool:
    """Whether the last digit is the Verhoeff check digit of the others, as SNOMED CT has it."""
    check = 0
    for place, digit in enumerate(reversed(text)):
        check = int(DIHEDRAL[check][int(PERMUTED[place % 8][int(digit)])])
    return check == 0


@pytest.mark.parametrize("code", ["6768-6", "1783-0", "77141-0", "LA33-6", "LA6576-8", "LP7753-9"])
def test_check_digit_of_loinc(code: str) -> None:
    body, _, digit = code.partition("-")
    assert luhn(body) == int(digit)


@pytest.mark.parametrize("code, right", [("14866-6", "14866-8"), ("14685-0", "14685-2")])
def test_check_digit_of_loinc_finds_a_slip(code: str, right: str) -> None:
    body, _, digit = code.partition("-")
    assert f"{body}-{luhn(body)}" == right
    assert luhn(body) != int(digit)


@pytest.mark.parametrize(
    "code, valid",
    [
        ("138875005", True),  # the root of SNOMED CT
        ("900000000000207008", True),  # its core module
        ("999000011000000103", True),  # a module of the United Kingdom
        ("138875006", False),
        ("183875005", False),  # two digits changed places
    ],
)
def test_check_digit_of_snomed_ct(code: str, valid: bool) -> None:
    assert verhoeff(code) is valid


def _loinc(code: str) -> bool:
    body, _, digit = code.partition("-")
    # LA is the prefix of answers; parts (LP) and answer lists (LL) are no codes of results.
    return re.fullmatch(r"([1-9]\d{0,6}|LA\d{1,7})-\d", code) is not None and luhn(body) == int(
        digit
    )


def _snomed(code: str) -> bool:
    return SNOMED_CONCEPT.fullmatch(code) is not None and verhoeff(code)


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda code: re.fullmatch(pattern, code) is not None


_gene = _like(r"HGNC:[1-9]\d*")
WELL_FORMED: dict[str, Callable[[str], bool]] = {
    LOINC: _loinc,
    SNOMED_CT: _snomed,
    RXNORM: _like(r"[1-9]\d{0,7}"),
    ICD_10_CM: _like(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?"),
    ATC: _like(r"[A-DGHJLMNPRSV]\d\d([A-Z]([A-Z](\d\d)?)?)?"),
    HCPCS: _like(r"[A-V]\d{4}"),
    NPU: _like(r"NPU\d{5}"),
    # Labeler and product; the package is left off: 4-4, 5-3 or 5-4 digits.
    NDC: _like(r"\d{4}-\d{4}|\d{5}-\d{3,4}"),
    HGNC: _gene,
    HGNC_AS_SOME_SEND_IT: _gene,
}


@each
def test_each_code_is_well_formed(path: Path) -> None:
    for coding in codings_of(path):
        assert WELL_FORMED[coding.system](coding.code), coding


@each
def test_each_root_is_well_formed(path: Path) -> None:
    for include in resource(path)["compose"]["include"]:
        for root in include.get("filter", ()):
            assert WELL_FORMED[include["system"]](root["value"])


def test_a_code_of_a_snomed_extension_is_among_those_checked() -> None:
    extensions = [c.code for c in CODINGS if c.system == SNOMED_CT and c.code[-3:-1] == "10"]
    assert "1000621000000104" in extensions


def test_an_answer_is_never_a_test_and_a_test_is_never_an_answer() -> None:
    for coding in CODINGS:
        if coding.system == LOINC:
            assert coding.code.startswith("LA") == coding.value_set.startswith("answer-"), coding


# Meaning


def test_a_fraction_of_alp_is_never_total_alp(terminology: Terminology) -> None:
    fractions = terminology.codings("alp-not-total", "alp-bone-specific")
    assert fractions
    for coding in fractions:
        assert "alp-total" not in terminology.concepts(coding.system, coding.code), coding


def test_bone_alp_is_listed_among_the_fractions(
    terminology: Terminology,
) -> None:
    for coding in terminology.codings("alp-bone-specific"):
        assert "alp-not-total" in terminology.concepts(coding.system, coding.code), coding


def test_a_code_names_one_antiresorptive(terminology: Terminology) -> None:
    """As the service looks it up: by prefix in ATC and ICD, by product in NDC."""
    checked = [c for c in CODINGS if c.value_set.startswith("antiresorptive-")]
    assert checked
    for coding in checked:
        found = terminology.concepts(coding.system, coding.code)
        assert [f for f in found if f.startswith("antiresorptive-")] == [coding.value_set], coding


NEVER = [
    (LOINC, "49498-9", "a white-cell count, once taken for vitamin D"),
    (LOINC, "14866-6", "does not exist; molar PTH is 14866-8"),
    (LOINC, "14685-0", "does not exist; molar B12 is 14685-2"),
    (LOINC, "8245-3", "zinc in whole blood"),
    (LOINC, "2842-3", "prolactin, once taken for PLP"),
    (RXNORM, "25789", "glimepiride, once taken for teriparatide"),
    (ICD_10_CM, "E83.39", "hypophosphatasia is an inclusion term of it only: never proof"),
    (ICD_10_CM, "E83.31", "X-linked hypophosphataemia"),
    (HCPCS, "J3590", "unclassified biologic: never denosumab by itself"),
]


@pytest.mark.parametrize("system, code, why", NEVER, ids=[f"{n[1]}: {n[2]}" for n in NEVER])
def test_known_mistake_occurs_nowhere(
    terminology: Terminology, system: str, code: str, why: str
) -> None:
    assert [c for c in CODINGS if c.code == code] == [], "under any system"
    assert terminology.concepts(system, code) == (), why


@pytest.mark.parametrize(
    "system, code, only_in",
    [
        (SNOMED_CT, "302497006", {"haemodialysis"}),  # the procedure, not end-stage disease
        (SNOMED_CT, "46177005", {"ckd-g4-g5"}),  # end-stage disease
        (LOINC, "2601-3", {"magnesium"}),  # once taken for zinc
        (LOINC, "14866-8", {"pth"}),
        (LOINC, "14685-2", {"vitamin-b12"}),
        (NPU, "NPU57047", {"alp-not-total"}),  # an isoenzyme group that some pool with total ALP
        (HCPCS, "J3489", {"antiresorptive-zoledronate"}),  # Reclast or Zometa: the units tell
        (HCPCS, "J0897", {"antiresorptive-denosumab"}),  # Prolia or Xgeva: the units tell
    ],
)
def test_easily_mistaken_code_stands_where_it_belongs(
    system: str, code: str, only_in: set[str]
) -> None:
    assert {c.value_set for c in CODINGS if (c.system, c.code) == (system, code)} == only_in


def test_denosumab_biosimilars_have_codes_of_their_own(terminology: Terminology) -> None:
    for rxcui in ("993456", "2715513", "2729323"):
        assert "antiresorptive-denosumab" in terminology.concepts(RXNORM, rxcui)


# Orders


ORDERS = read_table("orders.toml", Order)


@pytest.mark.parametrize("code", ORDERS)
def test_each_coding_of_an_order_is_orderable(terminology: Terminology, code: str) -> None:
    for coding in ORDERS[code].codings:
        assert orderable(terminology, coding) is not None, coding


def test_every_orderable_code_is_ordered() -> None:
    listed = {f"{c.system}|{c.code}" for c in CODINGS if c.value_set == "orderables"}
    assert listed == {coding for order in ORDERS.values() for coding in order.codings}


def test_pyrophosphate_is_text_only() -> None:
    """No LOINC code for its concentration exists: an invented one would be a defect."""
    assert ORDERS["ppi"].codings == ()
