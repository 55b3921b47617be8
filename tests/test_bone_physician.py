"""What a metabolic-bone physician read on the cards, and would not have said to a colleague."""

from cds_service.guidance import Advisor
from tests.charts import alp, lab, patient, taking
from tests.test_second_reading import read

ON_B6 = [taking("pyridoxine", -300), lab("plp", 900, "nmol/L", -20, high=125)]


def test_vitamin_b6_of_a_child_is_not_to_be_paused_for_a_test(advisor: Advisor) -> None:
    """A child may be given it against seizures."""
    found = read(advisor, patient(6), alp(75, -400), alp(75, -20), *ON_B6)
    assert found.said == "info: substrate-confounded-by-b6"
    assert found.text.startswith(
        "Child: low ALP (75 U/L), PLP 900 nmol/L drawn on B6."
        " Consider paediatric metabolic advice before any pause of B6.\n"
    )
    assert "- B6 that is given for seizures is not paused for this test." in found.text
    assert "Consider repeating PLP" not in found.text
    assert "overnight fast" not in found.text
    assert found.offered == ["refer_paediatric_metabolic"]


def test_a_raised_plp_stands_when_no_vitamin_b6_was_taken(advisor: Advisor) -> None:
    found = read(advisor, alp(28, -400, 35), alp(27, -20, 35), *ON_B6)
    assert found.said == "info: substrate-confounded-by-b6"
    assert found.text.startswith("PLP 900 nmol/L was drawn on vitamin B6. Consider repeating it")
    assert "B6 given with isoniazid or for seizures is not paused for a test." in found.text
    assert (
        "If the supplement was not in fact taken, the raised PLP stands:"
        " the pattern then suggests hypophosphatasia." in found.text
    )
    assert "No action is reasonable if the supplement" not in found.text
    assert found.offered == ["plp_off_b6"]
