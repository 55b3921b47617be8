"""Numbers, units, codes and dates as they come in, and the words in which they go out."""

import time
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from cds_service import words
from cds_service.fhir.dates import recorded_date
from cds_service.quantity import (
    Quantity,
    UnitConflict,
    Units,
    number,
    read_number,
    unit_factor,
    writable,
)
from cds_service.record import LabResult, RecordedDate
from cds_service.rulebook.files import read_units, read_value_sets
from cds_service.terminology import Terminology
from tests.charts import ATC, ICD, LOINC, NPU, RXNORM, SNOMED, alp, lab, patient
from tests.conftest import Client, slug

NDC = "http://hl7.org/fhir/sid/ndc"
UNITS = read_units()
ALP = UNITS["alp-total"]
D = Decimal


# Units


@pytest.mark.parametrize(
    "analyte, value, unit, canonical",
    [
        ("alp-total", "29", "U/L", "29"),
        ("alp-total", "29", "U/l", "29"),
        ("alp-total", "29", "IU/L", "29"),
        ("alp-total", "29", "UI/L", "29"),
        ("alp-total", "29", "E/L", "29"),
        ("alp-total", "29", "u/L", "29"),  # the atomic mass unit in UCUM; never meant
        ("alp-total", "29", "[IU]/L", "29"),
        ("alp-total", "29", "mU/mL", "29"),
        ("alp-total", "2.9", "U/dL", "29"),
        ("alp-total", "0.43", "ukat/L", "25.80"),
        ("alp-total", "0.43", "\u00b5kat/L", "25.80"),  # micro sign
        ("alp-total", "0.43", "\u03bckat/L", "25.80"),  # Greek mu
        ("alp-total", "430", "nkat/L", "25.80"),
        ("alp-total", "430", "nmol/(s.L)", "25.80"),
        ("plp", "125", "nmol/L", "125"),
        ("plp", "50", "ug/L", "202.3150"),  # Mayo's limit of about 202 nmol/L
        ("plp", "50", "mcg/L", "202.3150"),
        ("plp", "50", "ng/mL", "202.3150"),
        ("plp", "0.2", "umol/L", "200.0"),
        ("pea-urine", "10", "mmol/mol{creat}", "88.40"),
        ("pea-urine", "10", "nmol/mg{creat}", "10"),
        ("pea-urine", "10", "mg/g{creat}", "70.90"),
        ("calcium-total", "8.0", "mg/dL", "1.99600"),
        ("potassium", "5.5", "mEq/L", "5.5"),
    ],
)
def test_an_accepted_unit_is_converted_exactly(
    analyte: str, value: str, unit: str, canonical: str
) -> None:
    spelling, factor = unit_factor(UNITS[analyte], unit, None)
    assert spelling == unit
    quantity = Quantity(D(value), spelling, None, factor)
    assert quantity.canonical == D(canonical)


@pytest.mark.parametrize(
    "unit",
    [
        "mg/dL",
        "U",
        "L",
        "%",
        "mkat/L",
        "kat/L",
        "U/mL",
        "u/l",
        "U /L",
        "U/L/min",
        "MU/L",
        "units",
        "",
    ],
)
def test_another_unit_is_not_guessed(unit: str) -> None:
    assert unit_factor(ALP, unit, None)[1] is None


@pytest.mark.parametrize(
    "unit, code, printed, factor",
    [
        ("U/L", "U/L", "U/L", 1),
        ("U/L", None, "U/L", 1),
        (None, "U/L", "U/L", 1),
        ("", "U/L", "U/L", 1),
        ("IU/L", "U/L", "IU/L", 1),  # two spellings of one size
        ("\u00b5kat/L", "ukat/L", "\u00b5kat/L", 60),
        ("mg/dL", None, "mg/dL", None),
        (None, "mg/dL", "mg/dL", None),
        ("units", "U/L", "U/L", 1),  # what is printed is shown only where it is known
        ("U/L", "1", "U/L", 1),
        (None, None, None, None),
        ("", "", None, None),
    ],
)
def test_unit_and_code_are_read_together(
    unit: str | None, code: str | None, printed: str | None, factor: int | None
) -> None:
    shown, found = unit_factor(ALP, unit, code)
    assert (shown or None, found) == (printed, factor)


@pytest.mark.parametrize("unit, code", [("ukat/L", "U/L"), ("U/L", "nkat/L"), ("U/dL", "U/L")])
def test_unit_and_code_of_different_size_are_a_conflict(unit: str, code: str) -> None:
    with pytest.raises(UnitConflict, match=f"'{unit}' and code '{code}'"):
        unit_factor(ALP, unit, code)


def test_an_analyte_without_a_table_keeps_its_unit_and_has_no_factor() -> None:
    assert unit_factor(None, "pg/mL", None) == ("pg/mL", None)
    assert unit_factor(None, None, "pg/mL") == ("pg/mL", None)


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
def test_the_canonical_unit_counts_as_itself(units: Units) -> None:
    assert units.factors[units.canonical] == 1
    assert all(factor > 0 for factor in units.factors.values())
    assert all(spelling == spelling.strip() for spelling in units.factors)


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
def test_the_litre_is_written_in_both_ways_alike(units: Units) -> None:
    for spelling, factor in units.factors.items():
        if spelling.endswith("/l"):
            assert units.factors[spelling[:-1] + "L"] == factor


@pytest.mark.parametrize(
    "value, plausible",
    [("0", False), ("-1", False), ("0.001", True), ("100000", True), ("100000.1", False)],
)
def test_plausible(value: str, plausible: bool) -> None:
    assert ALP.plausible(D(value)) is plausible


def test_without_a_factor_the_canonical_value_is_not_known() -> None:
    assert Quantity(D(29), "mg/dL").canonical is None
    assert Quantity(D(29)).canonical is None


# Numbers


@pytest.mark.parametrize(
    "text, value, comparator, unit",
    [
        ("20", "20", None, None),
        ("20 U/L", "20", None, "U/L"),
        ("20U/L", "20", None, "U/L"),
        ("  20  U/L  ", "20", None, "U/L"),
        ("<20 U/L", "20", "<", "U/L"),
        ("< 20 U/L", "20", "<", "U/L"),
        ("<=20", "20", "<=", None),
        (">45", "45", ">", None),
        (">= 45 U/L", "45", ">=", "U/L"),
        ("0.43 \u00b5kat/L", "0.43", None, "\u00b5kat/L"),
        ("26.0 U/L", "26.0", None, "U/L"),
        ("12 umol/g{creat}", "12", None, "umol/g{creat}"),
        ("29 [IU]/L", "29", None, "[IU]/L"),
        ("29 %", "29", None, "%"),
        ("29\n", "29", None, None),
    ],
)
def test_a_plain_number_in_text_is_read(
    text: str, value: str, comparator: str | None, unit: str | None
) -> None:
    assert read_number(text) == (D(value), comparator, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "negative",
        "<",
        "U/L",
        "about 20",
        "-20",
        "+20",
        ".5",
        "1234567890",  # longer than any measurement
        "1,250 pg/mL",  # a thousand and more: never 1
        "26,5 U/L",  # a decimal comma: never 26
        "20,5",
        "1.2.3",
        "5-10 U/L",
        "5 - 10 U/L",
        "20 to 30 U/L",
        "20 30",
        "20/30",
        "1:640",
        "12:30",
        "5e3",
        "1.5E+3 U/L",
        "12 Aug 2026",
        "12.08.2026",
        "20 " + "x" * 40,
    ],
)
def test_anything_more_than_one_plain_number_is_not_read(text: str) -> None:
    assert read_number(text) is None


def test_a_comma_in_a_result_never_makes_a_card(service: Client) -> None:
    """1,250 pg/mL is a high vitamin B12, not a low one of 1."""
    b12 = lab("b12", "1,250 pg/mL", None, -20, referenceRange=[{"low": {"value": 200}}])
    cards = service.fire(patient(58), alp(31, -20, 35), b12)
    assert [slug(card) for card in cards] == ["single-low-alp"]


@pytest.mark.parametrize(
    "value, shown",
    [
        ("27", "27"),
        ("27.0", "27"),
        ("27.10", "27.1"),
        ("27.25", "27.25"),
        ("27.256", "27.26"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("1234.5678", "1234.57"),
        ("0.43", "0.43"),
        ("0.430", "0.43"),
        ("0.4304", "0.43"),
        ("0.0426", "0.043"),
        ("0.9996", "1"),
        ("0", "0"),
        ("0.00", "0"),
        ("-5.50", "-5.5"),
    ],
)
def test_a_number_for_people(value: str, shown: str) -> None:
    assert number(D(value)) == shown


@settings(deadline=None)
@given(some.decimals(D("0.001"), D("99999"), places=3))
def test_a_number_for_people_is_the_number(value: Decimal) -> None:
    assert abs(D(number(value)) - value) <= D("0.005")
    assert "E" not in number(value)


@settings(deadline=None)
@given(some.lists(some.decimals(D(0), D(999), places=3), min_size=2, max_size=8))
def test_numbers_for_people_keep_their_order(values: list[Decimal]) -> None:
    shown = [D(number(value)) for value in sorted(values)]
    assert all(first <= second for first, second in pairwise(shown))


@pytest.mark.parametrize(
    "value, fits",
    [
        ("29", True),
        ("1E+9", True),
        ("1E-9", True),
        ("1E+10", False),
        ("1E-10", False),
        ("1E+999999", False),
        ("NaN", False),
        ("Infinity", False),
        ("-Infinity", False),
    ],
)
def test_a_number_of_a_size_that_a_measurement_can_have(value: str, fits: bool) -> None:
    assert writable(D(value)) is fits


@pytest.mark.parametrize(
    "quantity, shown",
    [
        (Quantity(D("29.0"), "U/L", None, D(1)), "29 U/L"),
        (Quantity(D("20"), "U/L", "<", D(1)), "<20 U/L"),
        (Quantity(D("0.43"), "ukat/L", None, D(60)), "0.43 ukat/L"),
        (Quantity(D("29")), "29"),
    ],
)
def test_a_quantity_as_written(quantity: Quantity, shown: str) -> None:
    assert str(quantity) == shown


# Words


def days(first: str, last: str | None = None) -> RecordedDate:
    return RecordedDate(date.fromisoformat(first), date.fromisoformat(last or first))


@pytest.mark.parametrize(
    "day, dated, at",
    [
        (days("2026-08-12"), "12 Aug 2026", "on 12 Aug 2026"),
        (days("2026-01-01"), "1 Jan 2026", "on 1 Jan 2026"),
        (days("2026-12-31"), "31 Dec 2026", "on 31 Dec 2026"),
        (days("2026-08-01", "2026-08-31"), "Aug 2026", "in Aug 2026"),
        (days("2024-02-01", "2024-02-29"), "Feb 2024", "in Feb 2024"),
        (days("2026-01-01", "2026-12-31"), "2026", "in 2026"),
        (None, "date not recorded", "on a date not recorded"),
    ],
)
def test_a_day_in_words(day: RecordedDate | None, dated: str, at: str) -> None:
    assert words.dated(day) == dated
    assert words.at(day) == at


def test_months_do_not_follow_the_locale() -> None:
    names = [words.on(date(2026, month, 1)).split()[1] for month in range(1, 13)]
    assert " ".join(names) == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"


@pytest.mark.parametrize(
    "quantity, amount, as_alp",
    [
        (Quantity(D("27.0"), "U/L", None, D(1)), "27 U/L", "27 U/L"),
        (Quantity(D("20"), "U/L", "<", D(1)), "<20 U/L", "<20 U/L"),
        (Quantity(D("0.43"), "ukat/L", None, D(60)), "0.43 µkat/L", "0.43 µkat/L (25.8 U/L)"),
        (Quantity(D("0.34"), "ukat/L", "<", D(60)), "<0.34 µkat/L", "<0.34 µkat/L (<20.4 U/L)"),
        (
            Quantity(D("430"), "nkat/L", None, D("0.06")),
            "430 nkat/L",
            "430 nkat/L (25.8 U/L)",
        ),
        (Quantity(D("29")), "29 (no unit)", "29 (no unit)"),
        (Quantity(D("29"), None, ">="), ">=29 (no unit)", ">=29 (no unit)"),
    ],
)
def test_an_amount_in_words(quantity: Quantity, amount: str, as_alp: str) -> None:
    assert words.amount(quantity) == amount
    assert words.alp(quantity) == as_alp


@pytest.mark.parametrize(
    "spelling, shown",
    [
        ("U/L", "U/L"),
        ("ukat/L", "µkat/L"),
        ("ug/L", "µg/L"),
        ("umol/L", "µmol/L"),
        ("umol/g{creat}", "µmol/g creatinine"),
        ("mmol/mol{creat}", "mmol/mol{creat}"),
    ],
)
def test_a_unit_in_words(spelling: str, shown: str) -> None:
    assert words.unit(spelling) == shown


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
def test_every_accepted_unit_can_be_shown(units: Units) -> None:
    """What is judged is shown: no accepted spelling is withheld from the card."""
    for spelling in units.factors:
        assert words.unit(spelling).startswith(("µ", "μ", spelling[0]))


@pytest.mark.parametrize(
    "unit",
    ["<b>U/L</b>", "[x](http://example.org)", "U/L | 1 |", "U/L\n# Title", "`U/L`", "x" * 21],
)
def test_text_that_is_no_unit_is_not_shown(unit: str) -> None:
    assert unit not in words.unit(unit)
    assert not set("<>`|#\n") & set(words.unit(unit))


@pytest.mark.parametrize(
    "value, shown", [("25.8", "25.8"), ("25.84", "25.8"), ("25.86", "25.9"), ("25.00", "25")]
)
def test_a_tenth(value: str, shown: str) -> None:
    assert words.tenth(D(value)) == shown


def test_a_result_in_words() -> None:
    quantity = Quantity(D("9.0"), "umol/L")
    found = LabResult("zinc", days("2026-08-12"), quantity)
    assert words.result(found) == "9 µmol/L (12 Aug 2026)"
    assert words.result(LabResult("zinc", None, quantity)) == "9 µmol/L (date not recorded)"
    assert words.result(LabResult("zinc", days("2026-08-12"), None)) == "no value"


@pytest.mark.parametrize(
    "items, shown",
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_a_list_in_words(items: list[str], shown: str) -> None:
    assert words.listed(items) == shown
    assert words.listed(iter(items)) == shown
    assert words.listed(items, "or") == shown.replace(" and ", " or ")


@pytest.mark.parametrize(
    "count, shown", [(0, "0 values"), (1, "1 value"), (2, "2 values"), (11, "11 values")]
)
def test_a_count_in_words(count: int, shown: str) -> None:
    assert words.counted(count, "value") == shown


# Codes


@pytest.fixture(scope="module")
def terminology() -> Terminology:
    return Terminology(read_value_sets().values())


@pytest.mark.parametrize(
    "code, denosumab",
    [
        ("55513-710", True),  # labeler and product, as the FDA writes them
        ("55513-0710", True),  # with the zero that billing adds
        ("55513-710-01", True),
        ("55513-0710-01", True),
        ("55513071001", True),  # 11 digits, as billed
        ("55513-730-01", True),
        ("0143-9166", True),  # a labeler of four digits
        ("00143-9166", True),
        ("0143-9166-01", True),
        ("00143916601", True),
        ("5551371001", False),  # 10 digits without hyphens: 5-3-2 or 5-4-1 or 4-4-2
        ("55513-711", False),
        ("55513-071", False),
        ("55513-7100", False),
        ("55513", False),
        ("55513-", False),
        ("55513-710-", False),
        ("-710", False),
        ("55513-710-01-1", False),
        ("55513-71O", False),  # the letter O
        ("55513071001 ", True),
        ("", False),
    ],
)
def test_ndc_is_matched_by_product(terminology: Terminology, code: str, denosumab: bool) -> None:
    assert ("antiresorptive-denosumab" in terminology.concepts(NDC, code)) is denosumab


@pytest.mark.parametrize(
    "code, concept",
    [
        ("M84.75", "atypical-femoral-fracture"),
        ("M84.750", "atypical-femoral-fracture"),
        ("M84.750A", "atypical-femoral-fracture"),
        ("M84.751D", "atypical-femoral-fracture"),
        ("M84.759S", "atypical-femoral-fracture"),
        ("M84.374A", "metatarsal-stress-fracture"),  # the first encounter
        ("M84.374D", "metatarsal-stress-fracture"),  # a later one
        ("M84.375G", "metatarsal-stress-fracture"),
        ("M84.376S", "metatarsal-stress-fracture"),  # a sequel
        ("M84.374", "metatarsal-stress-fracture"),  # the seventh character left out
        ("M84.37", None),
        ("M84.373A", None),  # another bone
        ("M84.377A", None),  # toes
        ("M84.7", None),
        ("M84", None),
        ("N18.4", "ckd-g4-g5"),
        ("N18.3", None),
        ("N18", None),
        ("E60", "zinc-deficiency"),
        ("E83.3", None),
        ("E83.39", None),
        ("", None),
        ("M", None),
    ],
)
def test_icd_10_cm_is_matched_by_prefix_where_a_code_stands_for_those_below(
    terminology: Terminology, code: str, concept: str | None
) -> None:
    assert terminology.concepts(ICD, code) == ((concept,) if concept else ())


@pytest.mark.parametrize(
    "code, concept",
    [
        ("M05BA04", "antiresorptive-alendronate"),
        ("M05BA08", "antiresorptive-zoledronate"),
        ("M05BX04", "antiresorptive-denosumab"),
        ("M05BA", "antiresorptive-bisphosphonate-unspecified"),
        ("M05BA99", "antiresorptive-bisphosphonate-unspecified"),
        ("M05BB10", "antiresorptive-bisphosphonate-unspecified"),
        ("M05BX", None),
        ("M05BX03", None),  # strontium ranelate
        ("M05B", None),
        ("C10AB05", "fibrate"),
        ("C10AB99", "fibrate"),
        ("C10AA05", None),  # atorvastatin
    ],
)
def test_atc_is_matched_by_class(terminology: Terminology, code: str, concept: str | None) -> None:
    assert terminology.concepts(ATC, code) == ((concept,) if concept else ())


@pytest.mark.parametrize(
    "system, code, concepts",
    [
        (LOINC, "6768-6", ("alp-total", "orderables")),
        (LOINC, "6768", ()),
        (LOINC, "6768-6 ", ("alp-total", "orderables")),
        ("http://loinc.org/", "6768-6", ("alp-total", "orderables")),
        ("https://loinc.org", "6768-6", ("alp-total", "orderables")),
        ("http://loinc.org|2.77", "6768-6", ("alp-total", "orderables")),
        ("urn:oid:2.16.840.1.113883.6.1", "6768-6", ("alp-total", "orderables")),
        ("http://loinc.org/x", "6768-6", ()),
        (SNOMED, "6768-6", ()),
        (None, "6768-6", ()),
        ("", "6768-6", ()),
        (LOINC, None, ()),
        (LOINC, "", ()),
        (NPU, "NPU27783", ("alp-total",)),
        (RXNORM, "904431", ("antiresorptive-alendronate",)),
        (RXNORM, "90443", ()),
        (RXNORM, "9044311", ()),  # no system but ICD and ATC is matched by prefix
        (SNOMED, "360792001", ("hypophosphatasia",)),
    ],
)
def test_a_code_means_something_only_within_its_system(
    terminology: Terminology, system: str | None, code: str | None, concepts: tuple[str, ...]
) -> None:
    assert terminology.concepts(system, code) == concepts


def test_several_codings_mean_all_that_each_means(terminology: Terminology) -> None:
    class Coding:
        def __init__(self, system: str, code: str) -> None:
            self.system: str | None = system
            self.code: str | None = code

    codings = [Coding("urn:local", "ALP"), Coding(LOINC, "1783-0"), Coding(SNOMED, "360792001")]
    assert terminology.of(codings) == ("alp-total", "hypophosphatasia")
    assert terminology.of([]) == ()
    assert terminology.of(None) == ()


@pytest.mark.parametrize("system", [ICD, ATC, NDC, LOINC])
def test_a_code_without_end_is_looked_up_at_once(terminology: Terminology, system: str) -> None:
    """One coding of a hostile chart may fill the whole body: 10 MiB."""
    code = "M84.3" + "7" * 100_000
    started = time.process_time()
    assert terminology.concepts(system, code) == ()
    assert time.process_time() - started < 0.3


# Dates


@pytest.mark.parametrize(
    "text, first, last",
    [
        ("2026-08-12", "2026-08-12", "2026-08-12"),
        ("2026-08-12T10:00:00Z", "2026-08-12", "2026-08-12"),
        ("2026-08-12T23:30:00-05:00", "2026-08-12", "2026-08-12"),  # the day that was written
        ("2026-08-12T00:30:00+14:00", "2026-08-12", "2026-08-12"),
        ("2026-08-12T10:00:00.123456Z", "2026-08-12", "2026-08-12"),
        ("2026-08-12T10:00:00", "2026-08-12", "2026-08-12"),  # no zone: invalid, and common
        ("2026-08-12T10:00", "2026-08-12", "2026-08-12"),
        ("2026-08-12 10:00:00", "2026-08-12", "2026-08-12"),
        ("2024-02-29", "2024-02-29", "2024-02-29"),
        ("2026-08", "2026-08-01", "2026-08-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2026-12", "2026-12-01", "2026-12-31"),
        ("2026", "2026-01-01", "2026-12-31"),
        ("1926-05-03", "1926-05-03", "1926-05-03"),
    ],
)
def test_a_fhir_date_is_every_day_that_it_may_mean(text: str, first: str, last: str) -> None:
    assert recorded_date(text) == days(first, last)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "unknown",
        "yesterday evening",
        "2026-13-01",
        "2026-02-30",
        "2025-02-29",
        "2026-00-10",
        "2026-08-00",
        "2026-13",
        "2026-00",
        "2026-8",
        "2026-8-1",
        "26-08-12",
        "20260812",
        "202608",
        "12.08.2026",
        "12/08/2026",
        "08-12-2026",
        "12 Aug 2026",
        "2026/08/12",
        "0000",
        "0000-00-00",
        "0001-01-01",  # how some systems write that nothing is known
        "9999-12-31",
        "9999",
        "2026-+8",
        "+202",
        "2026-08-123",  # one digit too many: the 12th, the 13th or the 23rd
    ],
)
def test_what_is_no_date_is_not_recorded(text: str | None) -> None:
    assert recorded_date(text) is None


@settings(deadline=None)
@given(some.dates(date(1900, 1, 1), date(2100, 12, 31)), some.sampled_from([4, 7, 10]))
def test_the_day_lies_within_every_way_to_write_it(day: date, length: int) -> None:
    found = recorded_date(day.isoformat()[:length])
    assert found is not None
    assert found.first <= day <= found.last
    assert found.exact is (length == 10)


@settings(deadline=None)
@given(some.text(max_size=30))
def test_no_text_breaks_the_reading_of_dates_and_numbers(text: str) -> None:
    found: Any = recorded_date(text)
    assert found is None or found.first <= found.last
    read = read_number(text)
    assert read is None or read[0] >= 0
