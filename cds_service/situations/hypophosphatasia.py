"""Known hypophosphatasia, and work-up results that speak for or against it."""

from cds_service.assessment import Assessment
from cds_service.situations.verdict import (
    Verdict,
    below,
    no,
    no_order,
    of_a_recent_low,
    settled,
    yes,
)
from cds_service.words import counted

_NOT_KNOWN = "neither hypophosphatasia, a pathogenic ALPL variant nor asfotase alfa is on record"


def hpp_antiresorptive_order(a: Assessment) -> Verdict:
    """Hypophosphatasia is on record and an antiresorptive is being ordered."""
    if reason := no_order(a):
        return no(reason)
    if not a.known_hypophosphatasia:
        return no(_NOT_KNOWN)
    return yes("hypophosphatasia is on record and an antiresorptive is ordered", lowered=a.oncology)


def hpp_antiresorptive_exposure(a: Assessment) -> Verdict:
    """Hypophosphatasia is on record and an antiresorptive may act today."""
    if not a.known_hypophosphatasia:
        return no(
            "neither hypophosphatasia, a pathogenic ALPL variant nor asfotase alfa is on record"
        )
    window = a.exposed_now
    if window is None:
        return no("no antiresorptive is active or within its residual window")
    return yes(f"hypophosphatasia is on record and {a.drugs[window.use.drug].label} may still act")


@of_a_recent_low
def raised_substrate(a: Assessment) -> Verdict:
    """ALP is low and PLP or urine PEA is above its limit, not confounded by vitamin B6."""
    if a.recent_low is None:
        return no(a.why_no_recent_low)
    if reason := no_order(a) or settled(a):
        return no(reason)
    if not (a.workup.plp_raised or a.workup.pea_raised):
        return no("neither PLP (off vitamin B6) nor urine PEA is above its limit")
    if a.alpl_pending and not a.is_order:
        return no("a substrate is raised, but an ALPL test is pending already")
    lowered = a.is_order and a.oncology
    return yes("ALP is low and a substrate of ALP is above its limit", lowered=lowered)


@of_a_recent_low
def substrate_confounded_by_b6(a: Assessment) -> Verdict:
    """ALP is low, and the only raised substrate is a PLP drawn on vitamin B6."""
    if a.recent_low is None:
        return no(a.why_no_recent_low)
    if reason := no_order(a) or settled(a):
        return no(reason)
    if not a.workup.plp_confounded:
        return no("there is no raised PLP drawn while vitamin B6 was taken")
    if a.plp_pending and not a.is_order:
        return no("PLP was raised on vitamin B6, but a new PLP is pending already")
    return yes("ALP is low, and PLP was raised in a sample drawn on vitamin B6")


@of_a_recent_low
def incomplete_workup(a: Assessment) -> Verdict:
    """Low and unexplained with a normal PLP or a variant of uncertain significance only."""
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := no_order(a) or settled(a):
        return no(reason)
    if not a.unexplained:
        return no("the low ALP lies within the effect window of an antiresorptive")
    alpl = a.workup.alpl
    uncertain = alpl is not None and alpl.classification == "uncertain significance"
    if not (a.workup.plp_normal or uncertain):
        return no("there is neither a normal PLP nor a variant of uncertain significance")
    if below(low, a.policy.alp.very_low):
        return no("the latest value is very low")
    if a.context.features.any:
        return no("a fracture or dental feature is on record")
    if a.alpl_pending and not a.is_order:
        return no("an ALPL test is pending already")
    return yes(
        f"work-up has begun and is not complete ({counted(a.alp.low_episodes, 'low episode')})"
    )
