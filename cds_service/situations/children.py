"""Low ALP in children, by the limit for age and sex."""

from cds_service.assessment import Assessment
from cds_service.assessment.alp import far_apart
from cds_service.situations.verdict import Verdict, no, no_order, of_a_recent_low, settled, yes


@of_a_recent_low
def child_low_alp_antiresorptive_order(a: Assessment) -> Verdict:
    """Low for age and sex, not explained by earlier treatment, at an order for an antiresorptive."""
    if reason := no_order(a) or _no_low_child(a):
        return no(reason)
    return yes("ALP is low for age and sex, and an antiresorptive is ordered", lowered=a.oncology)


@of_a_recent_low
def child_persistent_low_alp(a: Assessment) -> Verdict:
    """Two lows far enough apart, or one low with early tooth loss or rickets."""
    if reason := _no_low_child(a):
        return no(reason)
    if not _repeated_or_feature(a):
        return no("there is one low episode, and neither early tooth loss nor rickets is on record")
    if a.workup_pending:
        return no("a PLP or an ALPL test is pending already")
    return yes("ALP is repeatedly low for age and sex, or low with early tooth loss or rickets")


@of_a_recent_low
def child_single_low_alp(a: Assessment) -> Verdict:
    """One low value for age and sex, and no feature."""
    if reason := _no_low_child(a):
        return no(reason)
    if _repeated_or_feature(a):
        return no("ALP is low more than once, or a feature is on record")
    if a.repeat_pending or a.workup_pending:
        return no("a repeat ALP, a PLP or an ALPL test is pending already")
    low = a.recent_low
    return yes(f"one value, {low.shown}, is low for age and sex" if low else "")


def _no_low_child(a: Assessment) -> str | None:
    if not a.is_child:
        return "the patient is not a child"
    if a.recent_low is None:
        return a.why_no_recent_low
    if a.pregnancy is not None:
        return "in pregnancy the trimester limit is the one that counts"
    if a.timing == "baseline normal":
        return "ALP was normal before an antiresorptive and is low only on it"
    return settled(a)


def _repeated_or_feature(a: Assessment) -> bool:
    features = a.context.features
    return far_apart(a.alp.lows, a.policy) or bool(features.teeth or features.rickets)
