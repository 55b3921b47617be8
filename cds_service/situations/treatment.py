"""Low ALP under an antiresorptive: explained by it, or not known to be."""

from cds_service.assessment import Assessment, baseline
from cds_service.assessment.alp import far_apart
from cds_service.situations.verdict import (
    Verdict,
    below,
    no,
    no_order,
    of_a_recent_low,
    settled,
    yes,
)


@of_a_recent_low
def low_on_antiresorptive_no_baseline(a: Assessment) -> Verdict:
    """Low only within an effect window, and no baseline from before the first dose."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := no_order(a) or settled(a):
        return no(reason)
    if a.timing != "baseline unknown":
        return no(_other_timing(a))
    if a.oncology:
        return no("the antiresorptive is given for malignancy")
    if a.workup_pending and not a.is_order:
        return no("a PLP or an ALPL test is pending already")
    if (
        a.is_order
        and not far_apart(a.alp.lows, a.policy)
        and not below(low, a.policy.alp.clearly_low)
    ):
        return no("one mildly low value on treatment is no matter for an order")
    return yes(f"{low.shown} was taken on treatment, and there is no baseline")


@of_a_recent_low
def low_explained_by_antiresorptive(a: Assessment) -> Verdict:
    """Low only within an effect window, and normal in the months before the first dose."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := settled(a):
        return no(reason)
    normal = baseline(a.alp, a.exposure, a.policy)
    if a.timing != "baseline normal" or normal is None:
        return no(_other_timing(a))
    if a.oncology:
        return no("the antiresorptive is given for malignancy")
    return yes(f"ALP was {normal.shown}, before treatment, and is low on it ({low.shown})")


def _other_timing(a: Assessment) -> str:
    match a.timing:
        case "pre-treatment":
            return "ALP was low before the first dose already"
        case "off treatment" if not a.exposure.uses:
            return "no antiresorptive is on record"
        case "off treatment":
            return "a low value lies outside every effect window"
        case "baseline normal":
            return "a normal baseline from before the first dose is on file"
        case _:
            return "there is no normal baseline from before the first dose"
