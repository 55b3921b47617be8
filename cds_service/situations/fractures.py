"""Fractures that go with hypophosphatasia, beside low ALP."""

from cds_service.assessment import Assessment
from cds_service.situations.verdict import Verdict, no, settled, yes


def fracture_low_alp(a: Assessment) -> Verdict:
    """An atypical femoral or recurrent metatarsal stress fracture, and low ALP of any timing."""
    features = a.context.features
    if not features.fracture:
        if features.metatarsal:
            return no(
                "only one metatarsal stress fracture is on record, and it does not say recurrent"
            )
        return no("no atypical femoral, pseudo- or metatarsal stress fracture is on record")
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if reason := settled(a):
        return no(reason)
    return yes(f"a fracture feature is on record and ALP is low ({low.shown})")
