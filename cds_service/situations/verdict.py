"""Whether a situation holds, and the facts that say so."""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

from cds_service.assessment import Assessment
from cds_service.assessment.judging import AlpValue

Level = Literal["usual", "raised", "lowered"]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The answer of one predicate."""

    holds: bool
    reason: str
    """The facts of this patient that decided it, as a clause."""
    level: Level = "usual"
    leads: bool = False
    """A situation that otherwise only stands beside another card is itself the card."""


_Predicate = TypeVar("_Predicate", bound=Callable[[Assessment], Verdict])
_MARK = "of_a_recent_low"


def of_a_recent_low(predicate: _Predicate) -> _Predicate:
    """Marks a row that cannot hold without a recent low value: without one it is not even tried.

    Most charts hold none. Tried or not, the decision is the same; an explanation tries every row.
    """
    vars(predicate)[_MARK] = True
    return predicate


def is_of_a_recent_low(predicate: Callable[[Assessment], Verdict]) -> bool:
    """Whether a row is marked so."""
    return _MARK in vars(predicate)


def yes(
    reason: str, *, raised: bool = False, lowered: bool = False, leads: bool = False
) -> Verdict:
    """The situation holds. What is lowered is not raised."""
    level: Level = "lowered" if lowered else "raised" if raised else "usual"
    return Verdict(True, reason, level, leads)


def no(reason: str) -> Verdict:
    """The situation does not hold."""
    return Verdict(False, reason)


def no_order(a: Assessment) -> str | None:
    """Why an order hook has nothing to look at, if so: rows of orders react to antiresorptives only."""
    if a.is_order and not a.call.draft.ordered:
        return "no antiresorptive is being ordered"
    return None


def settled(a: Assessment) -> str | None:
    """Why low ALP needs no further word here, if so."""
    if a.known_hypophosphatasia:
        return "hypophosphatasia, an ALPL variant or asfotase alfa is on record"
    if a.workup.complete_negative:
        return "the work-up is complete and negative (PLP normal, ALPL negative)"
    return None


def below(value: AlpValue, tier: Decimal) -> bool:
    """Whether a value lies below a tier given in U/L; never for a value without a unit."""
    quantity = value.result.quantity
    canonical = quantity.canonical if quantity else None
    if quantity is None or canonical is None or quantity.comparator in (">", ">="):
        return False
    return canonical < tier or (quantity.comparator == "<" and canonical == tier)
