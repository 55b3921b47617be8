"""The soak's judge lets nothing pass that a fault does not explain, and its table adds up."""

from collections.abc import Sequence

import pytest

from tests.soak.judging import Call, Fault, Kill, Verdict, verdict
from tests.soak.schedules import Schedule
from tests.soak.table import Table

LOW, ORDER = ("persistent-low-alp",), ("hpp-antiresorptive-order",)
NO_FETCHING = [Fault(10, 20, {"fetch": frozenset({412})})]
KILLED = [Kill(replica=0, at=10.0)]


def call(
    status: int | None = 200,
    cards: tuple[str, ...] = LOW,
    expected: tuple[str, ...] = LOW,
    kind: str = "view",
    at: float = 0.0,
    **more: object,
) -> Call:
    """A call that took a second."""
    return Call(kind, 0, at, at + 1, status, cards=cards, expected_cards=expected, **more)  # type: ignore[arg-type]


JUDGED: list[tuple[str, Call, Verdict]] = [
    ("the card", call(), "expected"),
    ("silence where there is a card", call(cards=()), "wrong"),
    ("a card where there is silence", call(expected=()), "wrong"),
    ("another card", call(cards=ORDER), "wrong"),
    ("one card too many", call(cards=LOW + ORDER), "wrong"),
    ("woken", call(expected=(), cards_if_forgotten=LOW), "awake"),
    ("woken with another card", call(cards=ORDER, expected=(), cards_if_forgotten=LOW), "wrong"),
    ("412 while nothing fails", call(412, (), kind="fetch", is_outcome=True), "wrong"),
    ("412 as allowed", call(412, (), kind="fetch", at=12, is_outcome=True), "refused"),
    ("412 at the edge", call(412, (), kind="fetch", at=9.5, is_outcome=True), "refused"),
    ("412 too late", call(412, (), kind="fetch", at=20.5, is_outcome=True), "wrong"),
    ("412 without an outcome", call(412, (), kind="fetch", at=12), "wrong"),
    ("412 for a call with its data", call(412, (), at=12, is_outcome=True), "wrong"),
    ("503 where 412 is allowed", call(503, (), kind="fetch", at=12, is_outcome=True), "wrong"),
    ("silence in a fault", call(cards=(), kind="fetch", at=12), "wrong"),
    ("500", call(500, (), at=12, is_outcome=True), "wrong"),
    ("no answer", call(None, ()), "lost"),
    ("no answer, the worker killed", call(None, (), at=9.5), "cut"),
    ("no answer before the kill", call(None, (), at=8.5), "lost"),
    ("no answer after the kill", call(None, (), at=10.5), "lost"),
    ("a refused replay", call(401, (), (), expected_status=401, is_outcome=True), "expected"),
    ("a replay that is let in", call(200, (), (), expected_status=401), "wrong"),
]


@pytest.mark.parametrize(
    "judged, expected", [row[1:] for row in JUDGED], ids=[r[0] for r in JUDGED]
)
def test_verdict(judged: Call, expected: Verdict) -> None:
    assert verdict(judged, NO_FETCHING, KILLED) == expected


def test_another_replicas_kill_cuts_nothing() -> None:
    assert verdict(call(None, (), at=9.5), [], [Kill(replica=1, at=10.0)]) == "lost"


def table(calls: Sequence[Call], unread: int = 0) -> Table:
    schedule = Schedule()
    schedule.phases += [(0.0, "calm"), (10.0, "slow")]
    schedule.faults += NO_FETCHING
    return Table(calls, schedule, unread, frozenset({"kept"}))


def test_the_table() -> None:
    calls = [call(acknowledged="kept"), call(412, (), kind="fetch", at=12, is_outcome=True)]
    found = table(calls)
    assert found.is_good
    assert found.text().splitlines()[2:] == [
        "| calm | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 1 | 0 |",
        "| slow | 1 | 0 | 1 × 412 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| **all** | 2 | 1 | 1 × 412 | 0 | 0 | 0 | 0 | 1 | 0 |",
    ]


AWAKE = call(expected=(), cards_if_forgotten=LOW)
SLOW = call(412, (), kind="fetch", at=12, is_outcome=True)


@pytest.mark.parametrize(
    "calls, unread, good",
    [
        ([call(acknowledged="kept"), SLOW], 0, True),
        ([call(acknowledged="not kept"), SLOW], 0, False),
        ([call(cards=()), SLOW], 0, False),
        ([call(None, ()), SLOW], 0, False),
        ([AWAKE, SLOW], 0, False),
        ([AWAKE, SLOW], 1, True),
        ([call()], 0, False),
    ],
    ids=["kept", "missing", "wrong", "lost", "woken for no reason", "memory failed", "not tried"],
)
def test_one_fault_is_enough(calls: Sequence[Call], unread: int, good: bool) -> None:
    assert table(calls, unread).is_good is good
