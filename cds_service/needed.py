"""Which of the data that an EHR left out is needed for this patient: no query more than the rows ask.

A key may stay unasked only when no answer to it could bring a card. Row by row:

1. A patient who has died, and a patient or relative at the screen, are out of scope: that row comes
   first and is silent. Nothing is needed.
2. At an order without an antiresorptive every row is silent, but for denosumab-gap, which also looks
   at an order that *ends* an antiresorptive. Without either nothing is needed.
3. At an order with one everything is: no-baseline-alp fires on what is *not* there.
4. When a chart is opened, every row but two needs a low ALP, one that counts or one that was set
   aside. The two are hpp-antiresorptive-exposure and masked-low-alp. Both fire on a NORMAL ALP, but
   only with hypophosphatasia on record; masked-low-alp has a second way, two earlier lows, which are
   low ALP again. (denosumab-gap only stands beside another card.)
   - Hypophosphatasia comes from diagnoses, from ALPL results (`laboratory`), and from asfotase alfa:
     the four medication keys, or a procedure by which a drug was billed. So these are always asked
     for, with patient and ALP, all at once.
   - Whether a value is low depends on a pregnancy, too: the limit of the third trimester is above
     that of other women, and a pregnancy on record may turn out to be over. So a value counts as
     possibly low when it is low without any pregnancy, or below the highest trimester limit in a
     woman who may be pregnant.
   - Stays only set values aside, open orders only silence, and a pregnancy is dealt with above. So
     `encounters`, `serviceRequests` and `pregnancy` are needed only with a possibly low ALP, or
     with hypophosphatasia on record.
   As soon as a card is possible, everything is asked for: the card shows what was looked at.

Cards are the same as with everything fetched. Silences are, too, but may be logged under a plainer
name, since out-of-scope, for palliative care, is not looked for where nothing would be said anyway.
"""

from collections.abc import Mapping
from decimal import Decimal

from cds_service.assessment import Assessment, Call
from cds_service.assessment.judging import Judge
from cds_service.policy import Policy
from cds_service.record import Patient, age_at

LATER = frozenset({"encounters", "serviceRequests", "pregnancy"})
"""Keys that only a possibly low ALP, or hypophosphatasia on record, calls for."""


def nothing(call: Call, patient: Patient | None, policy: Policy) -> bool:
    """Whether no row can give a card, whatever there is on record. `patient` as far as known."""
    if call.lay_user and not policy.audience.patients_and_relatives:
        return True
    if patient is not None and (
        patient.deceased or (patient.died is not None and patient.died.first <= call.as_of)
    ):
        return True
    draft = call.draft
    return call.hook != "patient-view" and not draft.ordered and not draft.ended


def at_first(call: Call, templates: Mapping[str, str]) -> dict[str, str]:
    """The templates to ask for in the first round."""
    if call.hook != "patient-view":
        return dict(templates)
    return {key: template for key, template in templates.items() if key not in LATER}


def possibly_low(a: Assessment) -> bool:
    """Whether any ALP is low, or might turn out to be."""
    judge = Judge(a.record, (), (), a.policy, a.as_of)
    if any(judge.value(v.result, v.day).low for v in a.alp.values):
        return True
    highest = _highest_trimester_limit(a)
    if highest is None:
        return False
    quantities = [v.result.quantity for v in a.alp.values if v.result.quantity is not None]
    return any(
        q.comparator in ("<", "<=") or (q.canonical is not None and q.canonical < highest)
        for q in quantities
    )


def _highest_trimester_limit(a: Assessment) -> Decimal | None:
    """None when the patient cannot be pregnant, by the rule that pregnancies are read by."""
    rules = a.policy.pregnancy
    age = age_at(a.record.patient.born, a.as_of)
    possible = age is None or rules.possible_from_years <= age.years < rules.possible_below_years
    if a.record.patient.sex == "male" or not possible:
        return None
    limits = a.policy.alp.pregnancy
    return max(limits.first, limits.second, limits.third)
