"""Low ALP in advanced kidney disease: low bone turnover before anything else."""

from cds_service.assessment import Assessment
from cds_service.situations.verdict import Verdict, no, settled, yes
from cds_service.words import listed


def ckd_low_alp(a: Assessment) -> Verdict:
    """Low ALP of any timing, with dialysis or CKD G4 or G5 on record."""
    if not a.context.kidney:
        return no("neither dialysis nor chronic kidney disease G4 or G5 is on record")
    low = a.recent_low
    if low is None:
        return no(a.why_no_recent_low)
    if a.known_hypophosphatasia:
        return no(settled(a) or "")
    return yes(f"{listed(a.context.kidney)} is on record and ALP is low ({low.shown})")
