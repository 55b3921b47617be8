"""Low ALP in advanced kidney disease: low bone turnover before anything else."""

from cds_service.assessment import Assessment
from cds_service.situations.verdict import Verdict, no, no_order, of_a_recent_low, settled, yes
from cds_service.words import listed


@of_a_recent_low
def ckd_low_alp_antiresorptive_order(a: Assessment) -> Verdict:
    """The same at an order for an antiresorptive."""
    if reason := no_order(a) or _no_kidney_or_low(a):
        return no(reason)
    return yes(f"{listed(a.context.kidney)} and low ALP are on record", lowered=a.oncology)


@of_a_recent_low
def ckd_low_alp(a: Assessment) -> Verdict:
    """Low ALP of any timing, with dialysis or CKD G4 or G5 on record."""
    if reason := _no_kidney_or_low(a):
        return no(reason)
    return yes(f"{listed(a.context.kidney)} and low ALP are on record")


def _no_kidney_or_low(a: Assessment) -> str | None:
    if not a.context.kidney:
        return "neither dialysis nor chronic kidney disease G4 or G5 is on record"
    if a.recent_low is None:
        return a.why_no_recent_low
    return settled(a) if a.known_hypophosphatasia else None
