"""Conditions under which a line of text or an order belongs on a card."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from cds_service.assessment import REPEAT_ALP, Assessment, baseline, pre_treatment
from cds_service.assessment.alp import far_apart
from cds_service.assessment.calendar import months_after
from cds_service.phrases.series import old_value, suspect
from cds_service.phrases.treatment import relevant
from cds_service.situations.denosumab import being_ended, followed, overdue
from cds_service.situations.verdict import below

WARNING = "warning"
"""The one flag that is about the card, not the patient: it is at its raised indicator."""


def _below(a: Assessment, tier: str) -> bool:
    latest = a.alp.latest
    return latest is not None and below(latest, getattr(a.policy.alp, tier))


def _rebound(a: Assessment) -> bool:
    """The latest low value lies after the effect of denosumab and before its rebound has passed."""
    low, last = a.alp.latest_low, a.exposure.denosumab_last
    if low is None or last is None or a.exposure.window(low.day) is not None:
        return False
    residual = a.policy.residual
    return (
        months_after(last, residual.denosumab_months)
        < low.day.first
        <= months_after(last, residual.denosumab_rebound_months)
    )


def _denosumab_known(a: Assessment) -> bool:
    """On record, with nothing after it, and not so long ago that no dose can be due and none rebounds."""
    if followed(a) or all(_action(a, u.drug) != "denosumab" for u in a.exposure.uses):
        return False
    last = a.exposure.denosumab_last
    return last is None or a.as_of <= months_after(last, a.policy.residual.denosumab_rebound_months)


def _on_denosumab(a: Assessment) -> bool:
    """The drug that a card speaks of is denosumab."""
    use = relevant(a)
    return use is not None and _action(a, use.drug) == "denosumab"


def _in_effect_window(a: Assessment) -> bool:
    """The latest low value was taken while an antiresorptive may have acted."""
    low = a.alp.latest_low
    return low is not None and a.exposure.window(low.day) is not None


def _past_exposure(a: Assessment) -> bool:
    low = a.alp.latest_low
    return bool(a.exposure.uses) and low is not None and a.exposure.window(low.day) is None


def _no_alp_since_first_dose(a: Assessment) -> bool:
    """The latest value that counts is itself one from before treatment."""
    latest, first = a.alp.latest, a.exposure.first_dose
    return latest is not None and first is not None and latest.day.last <= first


def _older_baseline(a: Assessment) -> bool:
    normal = [v for v in pre_treatment(a.alp, a.exposure) if not v.low]
    return bool(normal) and baseline(a.alp, a.exposure, a.policy) is None


def _since_latest(a: Assessment, months: int) -> bool:
    """Whether the latest counted value is older than that."""
    latest = a.alp.latest
    return latest is None or latest.day.last < months_after(a.as_of, -months)


def _action(a: Assessment, drug: str) -> str:
    return a.drugs[drug].action


def _old_low(a: Assessment) -> bool:
    found = old_value(a)
    return found is not None and bool(found.low) and found.exclusion is None


def _recent_fracture(a: Assessment) -> bool:
    """A fracture of the last half year may be healing, and healing lifts ALP."""
    since = a.as_of - timedelta(days=a.policy.workup.same_fracture_days)
    found = [*a.context.features.femur, *a.context.features.metatarsal]
    return any(d.onset is not None and d.onset.last >= since for d in found)


def _built_in_limit(a: Assessment) -> bool:
    """The latest value is judged by a limit of ours."""
    latest = a.alp.latest
    return latest is not None and latest.limit is not None and "built-in" in latest.limit.origin


def _tube_named(a: Assessment) -> bool:
    """The suspect specimen is so for its tube, not for the results from it."""
    found = suspect(a)
    return found is not None and found.suspicion is not None and found.suspicion.tube is not None


def _lowered_by(a: Assessment, drug: str) -> bool:
    """That drug is among the possible causes of the low value."""
    return any(c.drug is not None and c.drug.drug == drug for c in a.context.causes)


def _classified(a: Assessment, classification: str) -> bool:
    return a.workup.alpl is not None and a.workup.alpl.classification == classification


FLAGS: Mapping[str, Callable[[Assessment], bool]] = {
    "never_exposed": lambda a: not a.exposure.uses,
    "exposed_now": lambda a: a.exposed_now is not None,
    "past_exposure": _past_exposure,
    "rebound_zone": _rebound,
    "pre_treatment_low": lambda a: any(v.low for v in pre_treatment(a.alp, a.exposure)),
    "older_baseline_normal": _older_baseline,
    "first_dose_unknown": lambda a: bool(a.exposure.uses) and a.exposure.first_dose is None,
    "denosumab_known": _denosumab_known,
    "denosumab_undated": lambda a: a.exposure.denosumab_last is None,
    "denosumab_ended": being_ended,
    "denosumab_overdue": overdue,
    "on_denosumab": _on_denosumab,
    "in_effect_window": _in_effect_window,
    "antiresorptive_ordered": lambda a: bool(a.call.draft.ordered),
    "denosumab_ordered": lambda a: any(_action(a, d) == "denosumab" for d in a.call.draft.ordered),
    "zoledronate_ordered": lambda a: any(
        _action(a, d) == "zoledronate" for d in a.call.draft.ordered
    ),
    "oral_ordered": lambda a: any(_action(a, d) == "bisphosphonate" for d in a.call.draft.ordered),
    "text_only_drug": lambda a: a.call.draft.text_only or any(u.text_only for u in a.exposure.uses),
    "persistent": lambda a: a.alp.persistent,
    "low_twice": lambda a: far_apart(a.alp.lows, a.policy),
    "no_alp_since_first_dose": _no_alp_since_first_dose,
    "single": lambda a: len(a.alp.lows) == 1,
    "fluctuating": lambda a: not a.alp.persistent and 0 < a.alp.low_episodes < a.alp.episodes,
    "tube_named": _tube_named,
    "built_in_limit": _built_in_limit,
    "below_clearly_low": lambda a: _below(a, "clearly_low"),
    "below_very_low": lambda a: _below(a, "very_low"),
    "feature": lambda a: a.context.features.any,
    "dental_feature": lambda a: bool(a.context.features.teeth),
    "femoral_feature": lambda a: bool(a.context.features.femur),
    "one_metatarsal": lambda a: len(a.context.features.metatarsal) == 1,
    "plp_raised": lambda a: a.workup.plp_raised,
    "pea_raised": lambda a: a.workup.pea_raised,
    "plp_normal": lambda a: a.workup.plp_normal,
    "plp_confounded": lambda a: a.workup.plp_confounded,
    "alpl_done": lambda a: a.workup.alpl is not None,
    "alpl_vus": lambda a: _classified(a, "uncertain significance"),
    "heterozygous": lambda a: (
        a.workup.alpl is not None and a.workup.alpl.zygosity == "heterozygous"
    ),
    "asfotase": lambda a: bool(a.context.asfotase),
    "advanced_kidney_disease": lambda a: bool(a.context.kidney),
    "haemodialysis": lambda a: a.context.haemodialysis,
    "pth_recent": lambda a: a.resulted("pth"),
    "calcium_recent": lambda a: a.resulted("calcium-total"),
    "liver_tests_on_file": lambda a: bool(a.context.liver_tests),
    "stale_latest": lambda a: _since_latest(a, a.policy.look_back.patient_view_months),
    "no_recent_alp": lambda a: _since_latest(a, a.policy.look_back.fresh_repeat_months),
    "oestrogen": lambda a: _lowered_by(a, "oestrogen"),
    "serm": lambda a: _lowered_by(a, "serm"),
    "fibrate": lambda a: _lowered_by(a, "fibrate"),
    "drug_cause": lambda a: any(c.drug for c in a.context.causes),
    "other_cause": lambda a: any(not c.drug for c in a.context.causes),
    "secondary_cause": lambda a: bool(a.context.causes),
    "repeat_ordered": lambda a: a.repeat_pending or a.drafted(REPEAT_ALP),
    "child": lambda a: a.is_child,
    "infant": lambda a: a.age is not None and a.age.years < 1,
    "male": lambda a: a.record.patient.sex == "male",
    "pregnant": lambda a: a.pregnancy is not None,
    "hpp_recorded": lambda a: a.known_hypophosphatasia,
    "oncology": lambda a: a.oncology,
    "unit_missing": lambda a: (v := old_value(a)) is not None and v.problem == "it has no unit",
    "old_low": _old_low,
    "fracture_healing_possible": _recent_fracture,
}
