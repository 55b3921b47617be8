"""Denosumab that is overdue: turnover rebounds, and vertebrae may break."""

from cds_service.assessment import Assessment
from cds_service.assessment.calendar import months_after, months_between
from cds_service.situations.verdict import Verdict, no, yes
from cds_service.words import on


def denosumab_gap(a: Assessment) -> Verdict:
    """The last dose lies in the rebound zone and no other antiresorptive followed it."""
    if a.recent_low is None and not a.known_hypophosphatasia:
        return no("neither low ALP nor hypophosphatasia is at issue")
    last = a.exposure.denosumab_last
    if last is None:
        return no("no past denosumab dose with a date is on record, or it is said to be ongoing")
    residual = a.policy.residual
    if a.as_of <= months_after(last, residual.denosumab_months):
        return no(f"the last denosumab dose, {on(last)}, is recent enough")
    if a.as_of > months_after(last, residual.denosumab_rebound_months):
        return no(f"the last denosumab dose, {on(last)}, is beyond the rebound zone")
    if a.oncology:
        return no("denosumab was given for malignancy, on a schedule of its own")
    if _followed(a):
        return no("another antiresorptive followed the last denosumab dose")
    return yes(
        f"the last denosumab dose was {months_between(last, a.as_of)} months ago, {on(last)}"
    )


def _followed(a: Assessment) -> bool:
    last = a.exposure.denosumab_last
    if last is None:
        return False
    for use in a.exposure.uses:
        if a.drugs[use.drug].action == "denosumab":
            continue
        until = use.end or use.start
        if use.ongoing or until is None or until.last > last:
            return True
    return False
