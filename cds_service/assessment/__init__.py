"""Facts weighed: the ALP series, exposure, work-up and context of one patient on one day. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import msgspec

from cds_service.assessment.alp import AlpSeries, alp_series, episodes
from cds_service.assessment.calendar import months_after
from cds_service.assessment.context import Context, hypophosphatasia_known
from cds_service.assessment.evidence import Evidence, evidence
from cds_service.assessment.exposure import Exposure, Window, exposure, spans
from cds_service.assessment.judging import AlpValue
from cds_service.assessment.once import once
from cds_service.assessment.pregnancy import Pregnancy, pregnancies
from cds_service.assessment.remembered import Shown, Snooze
from cds_service.assessment.workup import WorkUp, pending, resulted_since
from cds_service.drugs import Drug
from cds_service.policy import Policy
from cds_service.record import AgeAt, Draft, PatientRecord, age_at

Timing = Literal["pre-treatment", "baseline normal", "off treatment", "baseline unknown"]

REPEAT_ALP = frozenset(
    {
        "alp-total",
        "panel-with-alp",
        "order:repeat_alp",
        "order:alp_baseline",
        "order:repeat_alp_after_correction",
        "order:recollect_sample",
    }
)
PLP = frozenset({"plp", "order:plp", "order:plp_off_b6"})
_MALIGNANT = frozenset({"bone-metastases", "multiple-myeloma"})
ALPL = frozenset({"alpl-gene-test", "order:alpl_test"})


class Call(msgspec.Struct, frozen=True):
    """The moment in which the question is asked."""

    hook: str
    as_of: date
    lay_user: bool = False
    """A patient or a relative is looking."""
    draft: Draft = Draft()
    """Antiresorptives in the orders being written or signed; empty at patient-view."""
    snoozes: tuple[Snooze, ...] = ()
    """Cards for this patient that were set aside at this client."""
    shown: tuple[Shown, ...] = ()
    """Cards for this patient that this user was shown, where the policy asks for them."""


@dataclass(frozen=True)
class Assessment:
    """Everything that the situations decide on. Each part is worked out when it is first asked for."""

    record: PatientRecord
    call: Call
    policy: Policy
    drugs: Mapping[str, Drug]

    @once
    def age(self) -> AgeAt | None:
        """Age today."""
        return age_at(self.record.patient.born, self.as_of)

    @once
    def pregnancies(self) -> tuple[Pregnancy, ...]:
        """Every pregnancy on record."""
        return pregnancies(self.record, self.policy, self.as_of)

    @once
    def exposure(self) -> Exposure:
        """Antiresorptives over time."""
        return exposure(self.record.drugs, self.drugs, self.policy, self.as_of)

    @once
    def alp(self) -> AlpSeries:
        """The ALP series, judged."""
        days = self.policy.residual.asfotase_days
        asfotase = spans(self.record.drugs, self.drugs, "asfotase", days)
        return alp_series(self.record, self.pregnancies, asfotase, self.policy, self.as_of)

    @once
    def workup(self) -> WorkUp:
        """What has been looked into already."""
        return WorkUp(self.record, self.drugs, self.policy, self.as_of)

    @once
    def context(self) -> Context:
        """The circumstances."""
        latest = self.alp.latest
        day = latest.day.last if latest else None
        return Context(self.record, self.drugs, self.policy, self.as_of, day)

    @once
    def timing(self) -> Timing | None:
        """How the latest low value stands to treatment; None when the latest value is not low."""
        return _timing(self.alp, self.exposure, self.policy)

    @once
    def evidence(self) -> tuple[Evidence, ...]:
        """What a card may rest on, item by item."""
        found = self.context.features, self.exposure, self.workup
        return tuple(evidence(self.alp, *found, self.drugs, self.policy))

    @property
    def as_of(self) -> date:
        """The day on which the question is asked."""
        return self.call.as_of

    @property
    def is_order(self) -> bool:
        """Whether an order is being written or signed."""
        return self.call.hook != "patient-view"

    @once
    def recent_low(self) -> AlpValue | None:
        """The latest counted value when it is low and young enough for this hook."""
        low = self.alp.latest_low
        look_back = self.policy.look_back
        months = look_back.order_months if self.is_order else look_back.patient_view_months
        if low is None or low.day.last < months_after(self.as_of, -months):
            return None
        return low

    @once
    def why_no_recent_low(self) -> str:
        """Why there is no low value to speak of, as a clause."""
        latest = self.alp.latest
        if latest is None:
            if not self.alp.values and not self.alp.undated:
                return "no ALP is on file"
            return "none of the ALP results on file counts"
        if not latest.low:
            return f"the latest ALP that counts, {latest.shown}, is not low"
        return f"the latest low ALP, {latest.shown}, is older than this hook looks back"

    @property
    def usable_before_order(self) -> AlpValue | None:
        """The latest counted value when it is recent enough to order an antiresorptive on."""
        since = months_after(self.as_of, -self.policy.look_back.usable_at_order_months)
        latest = self.alp.latest
        return latest if latest is not None and latest.day.last >= since else None

    @property
    def unexplained(self) -> bool:
        """The latest low value is no effect of treatment: there before it, or outside every window."""
        return self.timing in ("pre-treatment", "off treatment")

    @once
    def exposed_now(self) -> Window | None:
        """The antiresorptive that may still act today."""
        return self.exposure.now(self.as_of)

    @once
    def known_hypophosphatasia(self) -> bool:
        """Hypophosphatasia, a (likely) pathogenic ALPL variant or asfotase alfa is on record."""
        return hypophosphatasia_known(self.context, self.workup)

    @property
    def is_child(self) -> bool:
        """Younger than the rows for adults apply to."""
        return self.age is not None and self.age.years < self.policy.children.below_years

    @property
    def pregnancy(self) -> Pregnancy | None:
        """The pregnancy of today."""
        return next((p for p in self.pregnancies if p.holds(self.as_of)), None)

    @once
    def oncology(self) -> bool:
        """Malignancy in bone, or an antiresorptive given or ordered for it."""
        draft = self.call.draft
        if self.context.malignancy or draft.oncology_dose or draft.indications & _MALIGNANT:
            return True
        return any(u.oncology_dose for u in self.exposure.uses)

    @property
    def hypercalcaemia_of_malignancy(self) -> bool:
        """An order against hypercalcaemia in a patient with malignancy: not to be delayed."""
        high = "hypercalcaemia" in self.call.draft.indications
        return self.oncology and (high or bool(self.context.active("hypercalcaemia")))

    def pending(self, concepts: frozenset[str], *, after: date | None = None) -> bool:
        """Whether one of these tests is ordered and still to be done."""
        return pending(
            self.record.orders, concepts, after=after, as_of=self.as_of, policy=self.policy
        )

    def drafted(self, concepts: frozenset[str]) -> bool:
        """Whether one of these tests is among the orders being written or signed."""
        return any(o.is_draft and not concepts.isdisjoint(o.concepts) for o in self.record.orders)

    @property
    def repeat_pending(self) -> bool:
        """An ALP, alone or in a panel, is ordered and was not taken yet."""
        latest = self.alp.values[-1] if self.alp.values else None
        return self.pending(REPEAT_ALP, after=latest.day.first if latest else None)

    @property
    def plp_pending(self) -> bool:
        """A PLP is ordered and was not taken yet."""
        return self.pending(PLP, after=self.workup.plp.day.first if self.workup.plp else None)

    @property
    def workup_pending(self) -> bool:
        """The work-up goes on: PLP or ALPL is ordered and not back yet."""
        return self.plp_pending or self.alpl_pending

    @property
    def alpl_pending(self) -> bool:
        """An ALPL analysis is ordered and has no result yet."""
        alpl = self.workup.alpl
        return self.pending(ALPL, after=alpl.reported.first if alpl and alpl.reported else None)

    def resulted(self, concept: str) -> bool:
        """Whether a test has a result so recent that it is not offered again."""
        days = self.policy.look_back.resulted_days
        return resulted_since(self.record.results, concept, self.as_of, days=days)


def pre_treatment(series: AlpSeries, exposed: Exposure) -> list[AlpValue]:
    """Counted values from before the first dose; none when its day is not known."""
    return series.before(exposed.first_dose) if exposed.first_dose else []


def baseline(series: AlpSeries, exposed: Exposure, policy: Policy) -> AlpValue | None:
    """The last normal value from the months before the first dose."""
    if exposed.first_dose is None:
        return None
    since = months_after(exposed.first_dose, -policy.look_back.baseline_months)
    normal = [v for v in pre_treatment(series, exposed) if not v.low and v.day.first >= since]
    return normal[-1] if normal else None


def low_off_treatment(series: AlpSeries, exposed: Exposure, policy: Policy) -> AlpValue | None:
    """The last low value from after the first dose and outside every window, when such values are low.

    They are low by the rule for values from before treatment: the last of them, or half. Asked only
    of a latest low value that lies within a window.
    """
    low, first = series.latest_low, exposed.first_dose
    if low is None or exposed.window(low.day) is None:
        return None
    between = [v for v in series.counted if not exposed.covered.holds(v.day)]
    if first is not None:
        between = [v for v in between if v.day.last > first]
    total, lows = episodes(between, policy)
    if not lows or not (between[-1].low or lows >= policy.persistence.low_share * total):
        return None
    return [v for v in between if v.low][-1]


def _timing(series: AlpSeries, exposed: Exposure, policy: Policy) -> Timing | None:
    low = series.latest_low
    if low is None:
        return None
    earlier = pre_treatment(series, exposed)
    total, lows = episodes(earlier, policy)
    if earlier and (earlier[-1].low or (lows and lows >= policy.persistence.low_share * total)):
        return "pre-treatment"
    if exposed.window(low.day) is None or low_off_treatment(series, exposed, policy):
        return "off treatment"
    if baseline(series, exposed, policy) is not None:
        return "baseline normal"
    return "baseline unknown"
