"""Denosumab that is overdue: turnover rebounds, and vertebrae may break."""

from datetime import date

from cds_service.assessment import Assessment
from cds_service.assessment.calendar import months_after, months_between
from cds_service.situations.verdict import Verdict, no, yes
from cds_service.words import on


def denosumab_gap(a: Assessment) -> Verdict:
    """Denosumab is being ended, or its last dose lies in the rebound zone; nothing follows it."""
    if a.recent_low is None and not a.known_hypophosphatasia:
        return no("neither low ALP nor hypophosphatasia is at issue")
    if a.call.draft.ordered:
        return no("the antiresorptive being ordered follows on")
    if being_ended(a):
        if a.oncology:
            return no("denosumab is given for malignancy, on a schedule of its own")
        if followed(a):
            return no("another antiresorptive followed the last denosumab dose")
        return yes("an order that ends denosumab is being signed", leads=True)
    if a.is_order:
        return no("no order that ends denosumab is being signed")
    return _overdue(a)


def followed(a: Assessment) -> bool:
    """Another antiresorptive is known to have followed denosumab."""
    last = last_known(a)
    if last is None:
        return False
    for use in a.exposure.uses:
        if a.drugs[use.drug].action == "denosumab":
            continue
        # Open since before that dose: nobody took it off the list, or nobody knows.
        day = use.start if use.ongoing else use.end or use.start
        if (use.ongoing and day is None) or (day is not None and day.last > last):
            return True
    return False


def last_known(a: Assessment) -> date | None:
    """The last dose of denosumab, or its latest recorded start where it is said to go on."""
    uses = [u for u in a.exposure.uses if a.drugs[u.drug].action == "denosumab"]
    starts = [u.start.last for u in uses if u.start]
    return a.exposure.denosumab_last or max(starts, default=None)


def overdue(a: Assessment) -> bool:
    """The effect of the last dose has passed, and it is not this order that ends the drug.

    For malignancy denosumab has a schedule of its own, which the record does not tell.
    """
    last = a.exposure.denosumab_last
    if last is None or being_ended(a) or a.oncology:
        return False
    return a.as_of > months_after(last, a.policy.residual.denosumab_months)


def being_ended(a: Assessment) -> bool:
    """An order that ends denosumab is being signed."""
    return any(a.drugs[drug].action == "denosumab" for drug in a.call.draft.ended)


def _overdue(a: Assessment) -> Verdict:
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
    if followed(a):
        return no("another antiresorptive followed the last denosumab dose")
    # Known hypophosphatasia without exposure has no other card: silence would hide the rebound.
    return yes(
        f"the last denosumab dose was {months_between(last, a.as_of)} months ago, {on(last)}",
        leads=a.known_hypophosphatasia and a.exposed_now is None,
    )
