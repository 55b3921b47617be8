"""Whether a situation holds, and the facts that say so."""

from decimal import Decimal
from typing import Literal

import msgspec

from cds_service.assessment import Assessment
from cds_service.assessment.alp import AlpValue

Level = Literal["usual", "raised", "lowered"]


class Verdict(msgspec.Struct, frozen=True):
    """The answer of one predicate."""

    holds: bool
    reason: str
    """The facts of this patient that decided it, as a clause."""
    level: Level = "usual"


def yes(reason: str, *, raised: bool = False) -> Verdict:
    """The situation holds."""
    return Verdict(True, reason, "raised" if raised else "usual")


def no(reason: str) -> Verdict:
    """The situation does not hold."""
    return Verdict(False, reason)


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
    return canonical is not None and canonical < tier
