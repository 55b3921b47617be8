"""Phrases about ALP itself."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from cds_service import words
from cds_service.assessment import Assessment, baseline, low_off_treatment, pre_treatment
from cds_service.assessment.judging import AlpValue
from cds_service.assessment.limits import Limit, Origin
from cds_service.phrases.phrase import Phrase
from cds_service.situations.interference import unexplained_lows


def value(found: AlpValue | None) -> str | None:
    """An ALP value as reported, with its comparator."""
    if found is None or found.result.quantity is None:
        return None
    return words.alp(found.result.quantity)


def limit(found: AlpValue | None) -> str | None:
    """The limit that the value was judged by, in U/L."""
    if found is None or found.limit is None:
        return None
    number = words.tenth(found.limit.value)
    return number if found.limit.origin == "as printed" else f"{number} U/L"


def limit_source(found: AlpValue, a: Assessment) -> str:
    """Where a limit comes from, for the table and the texts."""
    return _SOURCES[found.limit.origin](found.limit, a) if found.limit else ""


def low_values(found: Sequence[AlpValue]) -> str | None:
    """The last low values, two at most, oldest first: `26 and 28 U/L`."""
    last = found[-2:]
    quantities = [v.result.quantity for v in last if v.result.quantity]
    if not quantities:
        return None
    if len({q.unit for q in quantities}) == 1 and len(quantities) == 2:
        first, second = quantities
        return f"{words.amount(first).split(' ', 1)[0]} and {words.amount(second)}"
    return words.listed(words.amount(q) for q in quantities)


def focus(a: Assessment) -> AlpValue | None:
    """The value that a card is about: the latest that counts."""
    return a.alp.latest


def old_value(a: Assessment) -> AlpValue | None:
    """The latest value on file, whether usable or not."""
    with_number = [v for v in a.alp.values if v.result.quantity is not None]
    return with_number[-1] if with_number else None


def _old_problem(a: Assessment) -> str | None:
    found = old_value(a)
    if found is None:
        return None
    if found.problem is not None:
        return words.escaped(found.problem)
    if found.exclusion is not None:
        return f"not counted ({found.exclusion})"
    return f"it is older than {a.policy.look_back.usable_at_order_months} months"


def suspect(a: Assessment) -> AlpValue | None:
    """The latest low value from a suspect specimen."""
    found = a.alp.excluded_lows("suspect specimen")
    return found[-1] if found else None


def _fall(a: Assessment) -> str | None:
    before, low = baseline(a.alp, a.exposure, a.policy), a.alp.latest_low
    if before is None or low is None or before.u_per_l <= low.u_per_l:
        return None
    if (low.result.quantity and low.result.quantity.factor) is None:
        return None
    share = 100 * (before.u_per_l - low.u_per_l) / before.u_per_l
    return f"{share.quantize(Decimal(1))} %"


def _last_pre_treatment_low(a: Assessment) -> AlpValue | None:
    lows = [v for v in pre_treatment(a.alp, a.exposure) if v.low]
    return lows[-1] if lows else None


def _off_treatment_low(a: Assessment) -> AlpValue | None:
    return low_off_treatment(a.alp, a.exposure, a.policy)


def earlier_lows(a: Assessment) -> Sequence[AlpValue]:
    """The last two low values that treatment does not explain; any two when there are none such."""
    return (unexplained_lows(a) or a.alp.lows)[-2:]


def _day(found: AlpValue | None) -> str | None:
    return words.dated(found.day) if found else None


def _whose(a: Assessment) -> str:
    return {"male": "men", "female": "women"}.get(
        a.record.patient.sex or "", "adults, sex not known"
    )


def _trimester(found: Limit, _: Assessment) -> str:
    return f"{found.trimester}-trimester limit, which alone counts in pregnancy"


_SOURCES: Mapping[Origin, Callable[[Limit, Assessment], str]] = {
    "laboratory": lambda _, __: "the laboratory's own limit",
    "as printed": lambda _, __: "the laboratory's own limit; value and limit came without a unit",
    "floor": lambda f, __: f"built-in: below {words.tenth(f.value)} U/L is low whatever is printed",
    "cap": lambda f, __: (
        f"built-in: from {words.tenth(f.value)} U/L on never low, whatever is printed"
    ),
    "built-in adult": lambda _, a: f"built-in limit for {_whose(a)}: the laboratory gave none",
    "built-in child": lambda _, __: "built-in limit for age and sex: the laboratory gave none",
    "built-in child instead of adult range": lambda _, __: (
        "built-in limit for age and sex: the laboratory printed an adult range"
    ),
    "trimester": _trimester,
    "trimester not known": lambda _, __: "first-trimester limit: pregnant, no due date on record",
}


def _latest_limit_source(a: Assessment) -> str | None:
    latest = focus(a)
    return limit_source(latest, a) if latest else None


SERIES: Mapping[str, Phrase] = {
    "latest": Phrase(lambda a: value(focus(a)), 24),
    "latest_date": Phrase(lambda a: _day(focus(a)), 11),
    "limit": Phrase(lambda a: limit(focus(a)), 12),
    "limit_source": Phrase(_latest_limit_source),
    "lows": Phrase(lambda a: low_values(a.alp.lows), 24),
    "low_count": Phrase(lambda a: str(len(a.alp.lows)), 3),
    "value_count": Phrase(lambda a: str(len(a.alp.counted)), 3),
    "first_low_date": Phrase(lambda a: _day(a.alp.lows[0]) if a.alp.lows else None, 11),
    "low_share": Phrase(lambda a: f"{a.alp.low_episodes} of {a.alp.episodes}", 9),
    "baseline": Phrase(lambda a: value(baseline(a.alp, a.exposure, a.policy)), 24),
    "baseline_date": Phrase(lambda a: _day(baseline(a.alp, a.exposure, a.policy)), 11),
    "pre_treatment_low": Phrase(lambda a: value(_last_pre_treatment_low(a)), 24),
    "pre_treatment_low_date": Phrase(lambda a: _day(_last_pre_treatment_low(a)), 11),
    "off_treatment_low": Phrase(lambda a: value(_off_treatment_low(a)), 24),
    "off_treatment_low_date": Phrase(lambda a: _day(_off_treatment_low(a)), 11),
    "fall": Phrase(_fall, 5),
    "old_value": Phrase(lambda a: value(old_value(a)), 24),
    "old_value_date": Phrase(lambda a: _day(old_value(a)), 11),
    "old_value_problem": Phrase(_old_problem),
    "earlier_lows": Phrase(lambda a: low_values(earlier_lows(a)), 24),
}
