"""Values that mislead: raised by the liver, or lowered by the tube."""

from datetime import date

from cds_service.assessment import REPEAT_ALP, Assessment, pre_treatment
from cds_service.assessment.alp import far_apart
from cds_service.assessment.calendar import months_after
from cds_service.assessment.judging import AlpValue
from cds_service.assessment.specimen import repeated_normal
from cds_service.situations.verdict import Verdict, no, no_order, yes
from cds_service.words import listed


def no_baseline_alp(a: Assessment) -> Verdict:
    """An antiresorptive is ordered and no usable ALP of the last months is on file."""
    if reason := no_order(a):
        return no(reason)
    if (usable := a.usable_before_order) is not None:
        return no(f"a usable ALP is on file, {usable.shown}")
    if a.workup.complete_negative:
        return no("the work-up is complete and negative")
    first = a.exposure.first_dose
    # A first dose of today may be the very order that is being signed.
    treated = a.exposed_now is not None and first is not None and first < a.as_of
    if treated and pre_treatment(a.alp, a.exposure):
        return no("the patient is treated already, and an ALP from before is on file")
    if a.drafted(REPEAT_ALP) or a.repeat_pending:
        return no("an ALP is in the draft or pending already")
    return yes("no usable recent ALP is on file")


def masked_low_alp(a: Assessment) -> Verdict:
    """ALP was low or hypophosphatasia is on record; now it is not low, and the liver may be why."""
    latest = a.alp.latest
    if latest is None or latest.low:
        return no("the latest ALP that counts is low, or there is none")
    if latest.day.last < _since(a):
        return no(f"the latest ALP, {latest.shown}, is older than this hook looks back")
    if a.context.asfotase:
        return no("ALP cannot be interpreted on asfotase alfa")
    if not a.known_hypophosphatasia:
        if a.workup.complete_negative:
            return no("the work-up is complete and negative")
        if not far_apart(unexplained_lows(a), a.policy):
            return no("there are no two earlier low values outside treatment")
    liver = [name for name, _ in a.context.liver_results]
    liver += [d.name.lower() for d in a.context.liver_disease]
    if not liver:
        return no(
            "no liver test around that day is raised, and no cholestasis or hepatitis is active"
        )
    return yes(f"{latest.shown} is not low, but {listed(dict.fromkeys(liver))} may have raised it")


def suspect_specimen(a: Assessment) -> Verdict:
    """The only low values come from a specimen that looks contaminated."""
    if reason := no_order(a):
        return no(reason)
    suspects = a.alp.excluded_lows("suspect specimen")
    if not suspects:
        return no("no low value comes from a suspect specimen")
    last = suspects[-1]
    if a.recent_low is not None:
        return no("there are low values from sound specimens too")
    if a.known_hypophosphatasia:
        return no("hypophosphatasia, an ALPL variant or asfotase alfa is on record")
    if any(v.day.first > last.day.last for v in a.alp.counted):
        return no("ALP was measured again since")
    if last.day.last < _since(a):
        return no(f"the suspect value, {last.shown}, is older than this hook looks back")
    if repeated_normal(last.result, a.record.results, a.policy):
        return no("potassium and calcium were measured again and were normal")
    if a.repeat_pending and not a.is_order:
        return no("a repeat ALP is pending already")
    return yes(f"the only low value, {last.shown}, comes from a suspect specimen")


def _since(a: Assessment) -> date:
    look_back = a.policy.look_back
    months = look_back.order_months if a.is_order else look_back.patient_view_months
    return months_after(a.as_of, -months)


def unexplained_lows(a: Assessment) -> list[AlpValue]:
    """The low values from outside every effect window, oldest first."""
    return [v for v in a.alp.lows if not a.exposure.covered.holds(v.day)]
