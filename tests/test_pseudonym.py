"""A patient's pseudonym tells nothing without the key, and keeps clients apart."""

from hypothesis import given
from hypothesis import strategies as st

from cds_service.pseudonym import pseudonym

KEY = b"k" * 32


def test_it_is_stable_and_holds_neither_id_nor_client() -> None:
    found = pseudonym(KEY, "north", "patient-1")
    assert found == pseudonym(KEY, "north", "patient-1")
    assert len(found) == 32
    assert int(found, 16)


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_patients_never_share_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (pseudonym(KEY, *one) == pseudonym(KEY, *other)) == (one == other)


def test_another_key_gives_another() -> None:
    assert pseudonym(KEY, "north", "1") != pseudonym(b"l" * 32, "north", "1")
