"""The lower limit of ALP that holds for one sample, and where it comes from."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from cds_service.assessment.pregnancy import Pregnancy
from cds_service.policy import AlpLimits, Policy
from cds_service.quantity import Quantity
from cds_service.record import AgeAt, Sex

Origin = Literal[
    "laboratory",
    "as printed",
    "floor",
    "cap",
    "built-in adult",
    "built-in child",
    "built-in child instead of adult range",
    "trimester",
    "trimester not known",
]


class Limit(msgspec.Struct, frozen=True, gc=False):
    """A value below `value` is low. In U/L, except where it holds as printed, without any unit."""

    value: Decimal
    origin: Origin
    trimester: str | None = None


class NoLimit(Exception):
    """No limit can be applied to this sample; the text says why."""


def limit_for(
    printed: Quantity | None,
    *,
    day: date,
    age: AgeAt | None,
    sex: Sex | None,
    pregnancy: Pregnancy | None,
    policy: Policy,
) -> Limit:
    """The limit for a sample measured in a known unit.

    Trimester, then laboratory, then built-in. Raises NoLimit when none of them can be applied.
    """
    if pregnancy is not None:
        return _in_pregnancy(pregnancy, day, policy)
    laboratory = printed.canonical if printed else None
    if laboratory is not None and laboratory <= 0:
        laboratory = None  # "0 to 120" says only that there is no lower limit
    if laboratory is not None and laboratory < policy.alp.implausible_printed_limit:
        raise NoLimit("its printed lower limit does not fit its unit")
    if age is None:
        if laboratory is None:
            raise NoLimit("no age is recorded and the laboratory gave no limit")
        return Limit(laboratory, "laboratory")
    if age.years < policy.alp.adult_from_years:
        return _for_child(laboratory, age, sex, policy.alp)
    return _for_adult(laboratory, sex, policy.alp)


def limit_as_printed(
    printed: Quantity | None, age: AgeAt | None, pregnancy: Pregnancy | None, policy: Policy
) -> Limit:
    """The limit for a value and a range that both came without a unit: compared as printed.

    Raises NoLimit for children and in pregnancy, whose limits are known in U/L only.
    """
    grown_up = age is None or age.years >= policy.alp.adult_from_years
    # "0 to 120" says only that there is no lower limit; nothing is normal by it.
    if printed is None or printed.value <= 0 or pregnancy is not None or not grown_up:
        raise NoLimit("it has no unit")
    return Limit(printed.value, "as printed")


def child_limit(age: AgeAt, sex: Sex | None, limits: AlpLimits) -> Decimal:
    """The built-in limit for a child; the lower of the two when sex is not known."""
    holding = limits.children[0]
    for row in limits.children:
        by_years = row.from_years is not None and age.years >= row.from_years
        by_days = row.from_days is not None and age.days >= row.from_days
        if by_years or by_days:
            holding = row
    if sex == "male":
        return holding.male
    return holding.female if sex == "female" else min(holding.male, holding.female)


def _in_pregnancy(pregnancy: Pregnancy, day: date, policy: Policy) -> Limit:
    """The trimester limit alone: floor, cap and laboratory limit do not apply."""
    limits = policy.alp.pregnancy
    trimester = pregnancy.trimester(day, policy.pregnancy)
    if trimester is None:
        # The lowest of the three: none of the others can be claimed.
        return Limit(limits.first, "trimester not known")
    return Limit(getattr(limits, trimester), "trimester", trimester)


def _for_child(laboratory: Decimal | None, age: AgeAt, sex: Sex | None, limits: AlpLimits) -> Limit:
    built_in = child_limit(age, sex, limits)
    if laboratory is None:
        return Limit(built_in, "built-in child")
    if laboratory <= limits.adult_range_at_most and built_in >= limits.child_limit_at_least:
        return Limit(built_in, "built-in child instead of adult range")
    return Limit(laboratory, "laboratory")


def _for_adult(laboratory: Decimal | None, sex: Sex | None, limits: AlpLimits) -> Limit:
    if laboratory is None:
        return Limit(limits.adult_male if sex == "male" else limits.adult_female, "built-in adult")
    if laboratory < limits.adult_floor:
        return Limit(limits.adult_floor, "floor")
    if laboratory > limits.adult_cap:
        return Limit(limits.adult_cap, "cap")
    return Limit(laboratory, "laboratory")
