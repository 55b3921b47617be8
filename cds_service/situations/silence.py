"""Why nothing is said. Silence always has a name, and the name is logged."""

from cds_service.assessment import REPEAT_ALP, Assessment
from cds_service.situations.verdict import Verdict, no, no_order, of_a_recent_low, yes


def out_of_scope(a: Assessment) -> Verdict:
    """The patient has died or is in palliative care, or no clinician is looking."""
    died = a.record.patient.died
    if a.record.patient.deceased or (died is not None and died.first <= a.as_of):
        return yes("the patient has died")
    if a.context.palliative:
        return yes("palliative or hospice care is on record")
    if a.call.lay_user and not a.policy.audience.patients_and_relatives:
        return yes("the user is a patient or a relative; cards are for clinicians")
    if a.is_order and a.hypercalcaemia_of_malignancy and not a.known_hypophosphatasia:
        return yes("the order is against hypercalcaemia of malignancy, which is not to be delayed")
    return no("the patient lives, is not in palliative care, and a clinician is looking")


def specialist_managed(a: Assessment) -> Verdict:
    """Hypophosphatasia is known, and no antiresorptive is in play."""
    if not a.known_hypophosphatasia:
        return no("hypophosphatasia is not on record")
    if a.exposed_now is not None or a.call.draft.ordered:
        return no("an antiresorptive may act today, or is being ordered")
    return yes(
        "hypophosphatasia, an ALPL variant or asfotase alfa is on record; no antiresorptive is"
    )


def workup_complete_negative(a: Assessment) -> Verdict:
    """PLP normal and ALPL negative: do not nag."""
    if reason := no_order(a):
        return no(reason)
    if not a.workup.complete_negative:
        return no("the work-up is not complete")
    return yes("PLP is normal and ALPL is negative")


def workup_in_progress(a: Assessment) -> Verdict:
    """The next step is ordered already."""
    if reason := no_order(a):
        return no(reason)
    low = a.recent_low
    suspects = a.alp.excluded_lows("suspect specimen")
    no_alp_before_order = a.is_order and a.usable_before_order is None
    if low is None and not suspects and not no_alp_before_order:
        return no(a.why_no_recent_low)
    if a.plp_pending:
        return yes("a PLP is pending")
    if a.alpl_pending:
        return yes("an ALPL test is pending")
    if a.repeat_pending or a.drafted(REPEAT_ALP):
        return yes("an ALP, alone or in a panel, is pending or drafted")
    return no("no repeat ALP, PLP or ALPL test is pending")


def acute_illness_only(a: Assessment) -> Verdict:
    """Every low value was taken during or soon after acute illness."""
    if reason := no_order(a):
        return no(reason)
    lows = a.alp.excluded_lows("acute illness")
    if not lows:
        return no("no low value was taken in acute illness")
    if a.alp.lows:
        return no("there are low values outside acute illness")
    return yes(f"the only low values ({lows[-1].shown} the last) were taken in acute illness")


@of_a_recent_low
def explained_by_antiresorptive(a: Assessment) -> Verdict:
    """Treatment explains the low value, and there is nothing to add."""
    if reason := no_order(a):
        return no(reason)
    if a.recent_low is None:
        return no(a.why_no_recent_low)
    if a.timing not in ("baseline normal", "baseline unknown"):
        return no("no antiresorptive explains the low value")
    return yes("the low value was taken within the effect window of an antiresorptive")


def nothing_low(a: Assessment) -> Verdict:
    """None of the other rows holds."""
    if reason := no_order(a):
        return yes(reason)
    return yes(a.why_no_recent_low if a.recent_low is None else "no row applies")
