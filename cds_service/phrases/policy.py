"""Phrases that give the numbers in force: words never repeat a number that the policy holds."""

from collections.abc import Callable, Mapping

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.phrases.phrase import Phrase
from cds_service.policy import Policy


def _trimesters(p: Policy) -> str:
    limits = p.alp.pregnancy
    return " / ".join(words.tenth(v) for v in (limits.first, limits.second, limits.third))


NUMBERS: Mapping[str, Callable[[Policy], object]] = {
    "clearly_low": lambda p: words.tenth(p.alp.clearly_low),
    "very_low": lambda p: words.tenth(p.alp.very_low),
    "floor": lambda p: words.tenth(p.alp.adult_floor),
    "cap": lambda p: words.tenth(p.alp.adult_cap),
    "days_apart": lambda p: p.persistence.days_apart,
    "patient_view_months": lambda p: p.look_back.patient_view_months,
    "order_months": lambda p: p.look_back.order_months,
    "baseline_months": lambda p: p.look_back.baseline_months,
    "usable_at_order_months": lambda p: p.look_back.usable_at_order_months,
    "majority_share": lambda p: f"{p.persistence.low_share:.0%}".replace("%", " %"),
    "majority_years": lambda p: p.look_back.majority_years,
    "fresh_repeat_months": lambda p: p.look_back.fresh_repeat_months,
    "reversible_cause_months": lambda p: p.look_back.reversible_cause_months,
    "resulted_days": lambda p: p.look_back.resulted_days,
    "b6_days": lambda p: p.workup.b6_days,
    "masking_days": lambda p: p.workup.masking_days,
    "plp_high": lambda p: f"{words.tenth(p.workup.plp_high_nmol_per_l)}",
    "potassium_above": lambda p: words.tenth(p.specimen.potassium_above),
    "calcium_below": lambda p: words.tenth(p.specimen.calcium_below),
    "denosumab_months": lambda p: p.residual.denosumab_months,
    "denosumab_rebound_months": lambda p: p.residual.denosumab_rebound_months,
    "trimester_limits": _trimesters,
    "child_below_years": lambda p: p.children.below_years,
    "days_after_stay": lambda p: p.acute.days_after_stay,
}


def _phrase(number: Callable[[Policy], object]) -> Phrase:
    def say(a: Assessment) -> str:
        return str(number(a.policy))

    return Phrase(say, 12)


POLICY: Mapping[str, Phrase] = {name: _phrase(number) for name, number in NUMBERS.items()}


def numbers(policy: Policy) -> Mapping[str, str]:
    """Every number by name, for texts that stand without a patient."""
    return {name: str(number(policy)) for name, number in NUMBERS.items()}
