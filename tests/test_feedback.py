"""Feedback as the specification has it: rows FB of the requirements, over HTTP, on both engines."""

import logging
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from cds_service.database.feedback import accepted_suggestions, feedback_entries
from cds_service.errors import RequestError
from cds_service.hooks.feedback import MOST_ENTRIES, decode
from tests.charts import Json, draft
from tests.remembering import Memory, accepted, moment, opened, overridden
from tests.snooze_vignettes import LOW

CARD = "0a3f6c1e-0000-4000-8000-000000000001"


def kept(memory: Memory, *columns: str) -> list[tuple[Any, ...]]:
    """The entries in the database, in the order of when they were said."""
    c = feedback_entries.c
    asked = select(*(c[name] for name in columns)).order_by(c.outcome_at, c.card)
    with opened(memory) as connection:
        return [tuple(row) for row in connection.execute(asked)]


@pytest.mark.parametrize(
    "service", ["low-alp-patient-view", "low-alp-order-select", "low-alp-order-sign"]
)
def test_every_service_takes_feedback(memory: Memory, service: str) -> None:
    """FB-0, FB-28."""
    answer = memory.feedback(overridden(CARD), service=service)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == {"received": 1, "unknownCards": 1}
    assert kept(memory, "service", "client", "known") == [(service, "open", False)]


def test_feedback_is_not_advertised(memory: Memory) -> None:
    """FB-0."""
    assert "feedback" not in memory.http.get("/cds-services").text


def test_taken_suggestions_are_kept(memory: Memory) -> None:
    """FB-24."""
    (card,) = memory.fire(*LOW)
    assert memory.feedback(accepted(card, 0, 1)).get_json() == {"received": 1, "unknownCards": 0}
    assert kept(memory, "card", "outcome", "known") == [(card["uuid"], "accepted", True)]
    with opened(memory) as connection:
        taken = set(connection.scalars(select(accepted_suggestions.c.suggestion)))
    assert taken == {s["uuid"] for s in card["suggestions"][:2]}


@pytest.mark.parametrize(
    "override, reason, comment",
    [
        ({"reason": {"system": "urn:s", "code": "c", "display": "d"}}, ("urn:s", "c"), None),
        ({"userComment": " seen by endocrinology "}, (None, None), "seen by endocrinology"),
        ({"reason": {"code": "c"}, "userComment": "x"}, (None, "c"), "x"),
        ({}, (None, None), None),
        (None, (None, None), None),
        ({"reason": None, "userComment": None}, (None, None), None),
        ({"reason": {}, "userComment": ""}, (None, None), None),
        ({"userComment": "null \x00 character"}, (None, None), "null  character"),
        ({"reason": {"system": None, "code": None}}, (None, None), None),
    ],
)
def test_reason_comment_or_neither(
    memory: Memory,
    override: Json | None,
    reason: tuple[str | None, str | None],
    comment: str | None,
) -> None:
    """FB-25, JSON-2."""
    entry = {**overridden(CARD), "overrideReason": override, "acceptedSuggestions": None}
    assert memory.feedback(entry).status_code == 200
    assert kept(memory, "reason_system", "reason_code", "comment") == [(*reason, comment)]


def test_several_entries_of_several_cards_in_one_call(memory: Memory) -> None:
    """FB-26."""
    (first,) = memory.fire(*LOW)
    (second,) = memory.fire(*LOW, hook="order-sign", drafts=[draft("alendronate")])
    answer = memory.feedback(
        overridden(first["uuid"], "already-evaluated", -2),
        accepted(second, 0, day=-1),
        overridden(CARD, None, 0),
        accepted(first, 0, day=1),
    )
    assert answer.get_json() == {"received": 4, "unknownCards": 1}
    found = kept(memory, "card", "outcome")
    assert found == [
        (first["uuid"], "overridden"),
        (second["uuid"], "accepted"),
        (CARD, "overridden"),
        (first["uuid"], "accepted"),
    ]


def test_no_entries_are_nothing_to_keep(memory: Memory) -> None:
    """FB-20."""
    assert memory.feedback().get_json() == {"received": 0, "unknownCards": 0}


def test_repeats_are_harmless(memory: Memory) -> None:
    """FB-26."""
    (card,) = memory.fire(*LOW)
    entry = accepted(card, 0, 1)
    for _ in range(2):
        assert memory.feedback(entry, entry).get_json()["received"] == 2
    assert len(kept(memory, "card")) == 1


def test_entries_that_differ_only_in_their_comment_are_two(memory: Memory) -> None:
    memory.feedback(overridden(CARD, None, 0, userComment="a"))
    memory.feedback(overridden(CARD, None, 0, userComment="b"))
    assert len(kept(memory, "card")) == 2


@pytest.mark.parametrize(
    "written, read",
    [
        ("2026-11-01T09:30:00Z", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01t09:30:00.5z", "2026-11-01T09:30:00.500000+00:00"),
        ("2026-11-01T09:30:00.123456789Z", "2026-11-01T09:30:00.123456+00:00"),
        ("2026-11-01T10:30:00+01:00", "2026-11-01T09:30:00+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
    ],
)
def test_any_moment_of_rfc_3339_is_taken(memory: Memory, written: str, read: str) -> None:
    """FB-23: late, backdated and future moments among them."""
    assert memory.feedback({**overridden(CARD), "outcomeTimestamp": written}).status_code == 200
    ((found,),) = kept(memory, "outcome_at")
    assert found.isoformat() == read


GOOD = overridden(CARD, "already-evaluated")
TAKEN = {**GOOD, "outcome": "accepted", "acceptedSuggestions": [{"id": "s1"}]}


def test_a_wrong_outcome_is_told_what_would_be_right(memory: Memory) -> None:
    answer = memory.feedback({**GOOD, "outcome": "overriden"})
    assert answer.status_code == 400
    (issue,) = answer.get_json()["issue"]
    assert issue["diagnostics"] == "The outcome is to be accepted or overridden."


@pytest.mark.parametrize(
    "entry, where",
    [
        (7, "feedback[1]"),
        (None, "feedback[1]"),
        ([], "feedback[1]"),
        ({}, "feedback[1]"),
        ({**GOOD, "card": None}, "feedback[1].card"),
        ({**GOOD, "card": ""}, "feedback[1].card"),
        ({**GOOD, "card": "x" * 129}, "feedback[1].card"),
        ({**GOOD, "card": "a\x00b"}, "feedback[1].card"),
        ({**GOOD, "card": 12}, "feedback[1].card"),
        ({**GOOD, "outcome": "ignored"}, "feedback[1].outcome"),
        ({**GOOD, "outcome": None}, "feedback[1].outcome"),
        ({**GOOD, "outcomeTimestamp": "2026-11-01"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": "2026-11-01T09:30:00"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": "2026-13-01T09:30:00Z"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": "0001-01-01T00:00:00+14:00"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": 1762000000}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": "٢٠26-11-01T09:30:00Z"}, "feedback[1].outcomeTimestamp"),
        ({**TAKEN, "acceptedSuggestions": None}, "feedback[1].acceptedSuggestions"),
        ({**TAKEN, "acceptedSuggestions": []}, "feedback[1].acceptedSuggestions"),
        ({**TAKEN, "acceptedSuggestions": ["s1"]}, "feedback[1].acceptedSuggestions[0]"),
        ({**TAKEN, "acceptedSuggestions": [{}]}, "feedback[1].acceptedSuggestions[0]"),
        ({**GOOD, "overrideReason": "no"}, "feedback[1].overrideReason"),
        ({**GOOD, "overrideReason": {"userComment": 5}}, "feedback[1].overrideReason.userComment"),
        ({**GOOD, "overrideReason": {"reason": "x"}}, "feedback[1].overrideReason.reason"),
        (
            {**GOOD, "overrideReason": {"reason": {"display": "other"}}},
            "feedback[1].overrideReason.reason.code",
        ),
    ],
)
def test_a_malformed_entry_is_named_and_nothing_of_the_call_is_kept(
    memory: Memory, entry: Any, where: str
) -> None:
    """FB-21, FB-22, FB-23, FB-24."""
    answer = memory.feedback(GOOD, entry, GOOD)
    assert answer.status_code == 400
    (issue,) = answer.get_json()["issue"]
    assert issue["expression"] == [where]
    assert kept(memory, "card") == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"feedback": null}', b'{"feedback": {}}', b"\xff", b"null"]
)
def test_a_body_that_is_no_feedback_is_400(memory: Memory, body: bytes) -> None:
    answer = memory.http.post(
        "/cds-services/low-alp-patient-view/feedback", data=body, content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.get_json()["resourceType"] == "OperationOutcome"


def test_too_many_entries_are_refused_whole(memory: Memory) -> None:
    assert memory.feedback(*[GOOD] * (MOST_ENTRIES + 1)).status_code == 400
    assert memory.feedback(*[GOOD] * MOST_ENTRIES).get_json()["received"] == MOST_ENTRIES


@pytest.mark.parametrize(
    "method, address, options, status",
    [
        ("POST", "/cds-services/no-such-service/feedback", {"json": {"feedback": []}}, 404),
        ("POST", "/cds-services//low-alp-order-sign/feedback", {"json": {"feedback": []}}, 200),
        ("GET", "/cds-services/low-alp-patient-view/feedback", {}, 405),
        ("POST", "/cds-services/low-alp-patient-view/feedback", {"data": "{}"}, 415),
    ],
)
def test_the_address(memory: Memory, method: str, address: str, options: Any, status: int) -> None:
    assert memory.http.open(address, method=method, **options).status_code == status


def test_a_comment_is_never_logged(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """FB-29."""
    with caplog.at_level(logging.DEBUG):
        memory.feedback(overridden(CARD, None, 0, userComment="Sentinel Jane Doe"))
        memory.feedback({**GOOD, "overrideReason": {"userComment": ["Sentinel"]}})
    assert "feedback service=low-alp-patient-view entries=1 unknown=1" in caplog.text
    assert "Sentinel" not in caplog.text


def test_a_suggestion_that_was_never_offered_is_taken_all_the_same(memory: Memory) -> None:
    assert memory.feedback(TAKEN).status_code == 200
    with opened(memory) as connection:
        assert connection.scalar(select(func.count()).select_from(accepted_suggestions)) == 1


_ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(moment(0)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["feedback", *GOOD, "acceptedSuggestions", "reason", "code", "id"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(_ENTRIES)
@settings(max_examples=300)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:

    for body in (value, {"feedback": value}, {"feedback": [value]}):
        with suppress(RequestError):
            decode(msgspec.json.encode(body))
