"""What a call came to: as expected, refused as the fault of the moment allows, wrong, cut or lost."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Verdict = Literal["expected", "refused", "awake", "cut", "wrong", "lost"]
_LAST_BYTE_SECONDS = 0.2
"""Between the death of a worker and the moment at which its clients can have noticed."""


class Call(msgspec.Struct, frozen=True):
    """One call, what it was to be answered with, and what came. Times are monotonic seconds."""

    kind: str
    replica: int
    begun: float
    ended: float
    status: int | None
    """None: the connection was accepted and no answer came."""
    expected_status: int = 200
    is_outcome: bool = False
    """Whether the body is an OperationOutcome."""
    cards: tuple[str, ...] = ()
    expected_cards: tuple[str, ...] = ()
    cards_if_forgotten: tuple[str, ...] | None = None
    """Where silence is expected because a card was set aside: what comes if memory cannot be asked."""
    acknowledged: str | None = None
    """The comment of the feedback that was taken."""


class Fault(msgspec.Struct, frozen=True):
    """Something that fails for a time, and the statuses that this allows, by kind of call."""

    began: float
    ended: float
    refusals: Mapping[str, frozenset[int]] = {}


class Kill(msgspec.Struct, frozen=True):
    """A worker of that replica was killed at that moment."""

    replica: int
    at: float


def verdict(call: Call, faults: Sequence[Fault], kills: Sequence[Kill]) -> Verdict:
    """What that call came to."""
    if call.status is None:
        return "cut" if any(_could_cut(kill, call) for kill in kills) else "lost"
    if call.status == call.expected_status:
        return _answered(call)
    allowed = {
        status
        for fault in faults
        if fault.began <= call.ended and call.begun <= fault.ended
        for status in fault.refusals.get(call.kind, ())
    }
    return "refused" if call.status in allowed and call.is_outcome else "wrong"


def _answered(call: Call) -> Verdict:
    if call.status != 200:
        return "expected" if call.is_outcome else "wrong"
    if call.cards == call.expected_cards:
        return "expected"
    return "awake" if call.cards == call.cards_if_forgotten else "wrong"


def _could_cut(kill: Kill, call: Call) -> bool:
    return kill.replica == call.replica and call.begun <= kill.at <= call.ended + _LAST_BYTE_SECONDS
