"""Fractures that go with hypophosphatasia, beside low ALP."""

from cds_service.assessment import Assessment
from cds_service.situations.verdict import Verdict, no, no_order, of_a_recent_low, settled, yes


@of_a_recent_low
def fracture_low_alp_antiresorptive_order(a: Assessment) -> Verdict:
    """The same features at an order for an antiresorptive."""
    if reason := no_order(a) or _no_fracture_or_low(a):
        return no(reason)
    return yes("a fracture feature and low ALP are on record", lowered=a.oncology)


@of_a_recent_low
def fracture_low_alp(a: Assessment) -> Verdict:
    """An atypical femoral or recurrent metatarsal stress fracture, and low ALP of any timing."""
    if reason := _no_fracture_or_low(a):
        return no(reason)
    return yes("a fracture feature and low ALP are on record")


def _no_fracture_or_low(a: Assessment) -> str | None:
    features = a.context.features
    if not features.fracture:
        if features.metatarsal:
            return "only one metatarsal stress fracture is on record, and it does not say recurrent"
        return "no atypical femoral, pseudo- or metatarsal stress fracture is on record"
    if a.recent_low is None:
        return a.why_no_recent_low
    return settled(a)
