"""Low ALP that treatment does not explain."""

from cds_service.assessment import REPEAT_ALP, Assessment
from cds_service.situations.verdict import (
    Verdict,
    below,
    no,
    no_order,
    of_a_recent_low,
    settled,
    yes,
)
from cds_service.words import listed, on


@of_a_recent_low
def persistent_low_alp_antiresorptive_order(a: Assessment) -> Verdict:
    """Persistently low, or low before the first dose, unexplained, at an order."""
    if reason := no_order(a) or _no_unexplained_low(a):
        return no(reason)
    if not a.alp.persistent and a.timing != "pre-treatment":
        return no(f"ALP is not persistently low: {_why_not_persistent(a)}")
    return yes("ALP is repeatedly low and treatment does not explain it", lowered=a.oncology)


@of_a_recent_low
def single_low_alp_antiresorptive_order(a: Assessment) -> Verdict:
    """One low episode or a minority of low values, unexplained, at an order."""
    low = a.recent_low
    if reason := no_order(a) or _no_unexplained_low(a):
        return no(reason)
    if low is None or a.alp.persistent or a.timing == "pre-treatment":
        return no("ALP is persistently low, or was low before the first dose")
    if a.drafted(REPEAT_ALP):
        return no("a repeat ALP is in the draft already")
    raised = below(low, a.policy.alp.clearly_low) and not a.oncology
    return yes(f"{low.shown} is low and not repeated", raised=raised)


def _no_unexplained_low(a: Assessment) -> str | None:
    if a.recent_low is None:
        return a.why_no_recent_low
    return _not_adult_question(a) or _explained(a)


@of_a_recent_low
def pregnancy_low_alp(a: Assessment) -> Verdict:
    """Pregnant, and the latest value lies below the limit of its trimester."""
    if a.pregnancy is None:
        return no("no pregnancy is on record for today")
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if low.limit is None or not low.limit.origin.startswith("trimester"):
        return no("the latest low value was not taken in this pregnancy")
    if reason := settled(a):
        return no(reason)
    return yes(f"{low.shown} is below the trimester limit")


def low_before_antiresorptive(a: Assessment) -> Verdict:
    """Low before the first dose, exposed now, and still low: whatever the dates."""
    low = a.alp.latest_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := _not_adult_question(a):
        return no(reason)
    first = a.exposure.first_dose
    if a.timing != "pre-treatment" or first is None:
        return no("no low value from before the first antiresorptive dose is on file")
    if a.exposed_now is None:
        return no("no antiresorptive is active or within its residual window")
    if a.workup_pending:
        return no("a PLP or an ALPL test is pending already")
    return yes(f"ALP was low before the first dose of {on(first)}")


@of_a_recent_low
def reversible_cause(a: Assessment) -> Verdict:
    """Low, unexplained by treatment, not very low, no feature, and a reversible cause is active."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := _not_adult_question(a) or _explained(a):
        return no(reason)
    if not a.context.causes:
        return no("no reversible cause is active on record")
    if below(low, a.policy.alp.very_low):
        return no("the latest value is very low: a reversible cause would not suffice")
    if a.context.features.any:
        return no("a fracture or dental feature is on record")
    if a.workup_pending or (not a.alp.persistent and a.repeat_pending):
        return no("a repeat ALP, a PLP or an ALPL test is pending already")
    return yes(f"{listed(c.name for c in a.context.causes)} may explain {low.shown}")


@of_a_recent_low
def persistent_low_alp(a: Assessment) -> Verdict:
    """Persistently low, unexplained by treatment, recent. Raised when clearly low or with a feature."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := _not_adult_question(a) or _explained(a):
        return no(reason)
    if not a.alp.persistent:
        return no(f"ALP is not persistently low: {_why_not_persistent(a)}")
    if a.workup_pending:
        return no("a PLP or an ALPL test is pending already")
    raised = below(low, a.policy.alp.clearly_low) or a.context.features.any
    share = f"{a.alp.low_episodes} of {a.alp.episodes} episodes"
    return yes(f"low {share}, latest {low.shown}, and no treatment explains it", raised=raised)


@of_a_recent_low
def single_low_alp(a: Assessment) -> Verdict:
    """One low episode, or a minority of low values, unexplained by treatment, recent."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := _not_adult_question(a) or _explained(a):
        return no(reason)
    if a.alp.persistent:
        return no("ALP is persistently low")
    if a.repeat_pending or a.workup_pending:
        return no("a repeat ALP, a PLP or an ALPL test is pending already")
    return yes(f"{low.shown} is low, with {_why_not_persistent(a)}")


def _not_adult_question(a: Assessment) -> str | None:
    if a.is_child:
        return "children have rows of their own"
    return settled(a)


def _explained(a: Assessment) -> str | None:
    if not a.unexplained:
        return "the latest low value lies within the effect window of an antiresorptive"
    return None


def _why_not_persistent(a: Assessment) -> str:
    days = a.policy.persistence.days_apart
    if a.alp.low_episodes < a.policy.persistence.low_share * a.alp.episodes:
        return f"only {a.alp.low_episodes} of {a.alp.episodes} episodes low"
    return f"no two low values at least {days} days apart"
