"""What has been looked into already: substrates, ALPL, and the tests that are pending."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import msgspec

from cds_service.assessment.calendar import months_after
from cds_service.assessment.once import once
from cds_service.drugs import Drug
from cds_service.policy import Policy
from cds_service.quantity import Quantity
from cds_service.record import (
    Classification,
    DrugUse,
    GeneResult,
    LabResult,
    PatientRecord,
    PendingOrder,
    RecordedDate,
    Results,
)

Level = Literal["high", "normal", "unknown"]
_GENE_RANK: Sequence[Classification] = (
    "pathogenic",
    "likely pathogenic",
    "uncertain significance",
    "negative",
)


class Substrate(msgspec.Struct, frozen=True):
    """The latest result of a substrate of ALP, against its limit."""

    result: LabResult
    level: Level
    limit: Quantity | None
    """None when no limit is known."""
    built_in_limit: bool = False
    supplement: DrugUse | None = None
    """Vitamin B6 that was taken shortly before the sample."""

    @property
    def day(self) -> RecordedDate:
        """Day of sampling; a usable result always has one."""
        assert self.result.taken is not None  # noqa: S101  (results without a date are not used)
        return self.result.taken


@dataclass(frozen=True)
class WorkUp:
    """The state of the work-up for hypophosphatasia, read when a rule asks for it."""

    record: PatientRecord
    drugs: Mapping[str, Drug]
    policy: Policy
    as_of: date

    @once
    def plp(self) -> Substrate | None:
        """The latest PLP."""
        found = latest(self.record.results, "plp", self.as_of)
        return _plp(found, self.record.drugs, self.drugs, self.policy) if found else None

    @once
    def pea(self) -> Substrate | None:
        """The latest urine phosphoethanolamine."""
        found = latest(self.record.results, "pea-urine", self.as_of)
        return Substrate(found, against(found, found.high), found.high) if found else None

    @once
    def alpl(self) -> GeneResult | None:
        """The weightiest ALPL result: pathogenic before likely pathogenic before uncertain."""
        genes = self.record.genes
        return min(genes, key=lambda g: _GENE_RANK.index(g.classification), default=None)

    @property
    def plp_raised(self) -> bool:
        """PLP above its limit in a sample without vitamin B6."""
        plp = self.plp
        return plp is not None and plp.level == "high" and plp.supplement is None

    @property
    def plp_normal(self) -> bool:
        """PLP within its limit in a sample without vitamin B6."""
        plp = self.plp
        return plp is not None and plp.level == "normal" and plp.supplement is None

    @property
    def plp_confounded(self) -> bool:
        """PLP above its limit, but drawn on vitamin B6."""
        plp = self.plp
        return plp is not None and plp.level == "high" and plp.supplement is not None

    @property
    def pea_raised(self) -> bool:
        """Urine phosphoethanolamine above the laboratory's limit."""
        return self.pea is not None and self.pea.level == "high"

    @property
    def carrier(self) -> bool:
        """A pathogenic or likely pathogenic ALPL variant was reported."""
        return self.alpl is not None and self.alpl.classification in _GENE_RANK[:2]

    @property
    def complete_negative(self) -> bool:
        """PLP normal and ALPL negative: nothing is left to ask for."""
        negative = self.alpl is not None and self.alpl.classification == "negative"
        return negative and self.plp_normal


def latest(results: Results, concept: str, as_of: date) -> LabResult | None:
    """The latest usable result of one kind, not dated after `as_of`."""
    for result in results.newest_first(concept):
        if result.problem is None and result.taken and result.taken.first <= as_of:
            return result
    return None


def against(result: LabResult, limit: Quantity | None) -> Level:
    """Whether a result lies above an upper limit, compared only in one and the same unit."""
    quantity = result.quantity
    if quantity is None or limit is None:
        return "unknown"
    value, bound = quantity.canonical, limit.canonical
    if value is None or bound is None:
        if quantity.unit != limit.unit:
            return "unknown"
        value, bound = quantity.value, limit.value
    match quantity.comparator:
        case "<" | "<=":
            return "normal" if value <= bound else "unknown"
        case ">":
            return "high" if value >= bound else "unknown"
        case ">=":
            return "high" if value > bound else "unknown"
        case _:
            return "high" if value > bound else "normal"


def below(result: LabResult) -> bool:
    """Whether a result lies below the laboratory's own lower limit for it."""
    quantity, limit = result.quantity, result.low
    if quantity is None or limit is None or quantity.unit != limit.unit:
        return False
    if quantity.comparator in (">", ">="):
        return False
    return quantity.value < limit.value or (
        quantity.comparator == "<" and quantity.value <= limit.value
    )


def resulted_since(results: Results, concept: str, as_of: date, *, days: int) -> bool:
    """Whether a test has a usable result from the last `days` days."""
    found = latest(results, concept, as_of)
    if found is None or found.taken is None:
        return False
    return found.taken.last >= as_of - timedelta(days=days)


def pending(
    orders: Iterable[PendingOrder],
    concepts: frozenset[str],
    *,
    after: date | None,
    as_of: date,
    policy: Policy,
) -> bool:
    """Whether any of these tests is ordered and still to be done.

    An order written before the sample `after` is the one that led to it; an order that stays open
    beyond the policy's limit, or that has no date, is taken as forgotten.
    """
    forgotten = as_of - timedelta(days=policy.look_back.pending_order_days)
    latest = as_of + timedelta(days=policy.look_back.pending_order_days)
    for order in orders:
        if concepts.isdisjoint(order.concepts) or order.is_draft:
            continue
        written = order.planned or order.authored
        # Without a date, or dated years ahead, it would hold for ever.
        if written is None or not forgotten <= written.last <= latest:
            continue
        if after is None or written.last >= after:
            return True
    return False


def reversible_result(
    results: Results, concept: str, *, low: bool, policy: Policy, as_of: date
) -> LabResult | None:
    """A recent result outside its own range in the direction that explains low ALP."""
    found = latest(results, concept, as_of)
    if found is None or found.taken is None:
        return None
    if found.taken.last < months_after(as_of, -policy.look_back.reversible_cause_months):
        return None
    abnormal = below(found) if low else against(found, found.high) == "high"
    return found if abnormal else None


def _plp(
    result: LabResult, uses: Iterable[DrugUse], drugs: Mapping[str, Drug], policy: Policy
) -> Substrate:
    level = against(result, result.high)
    limit, built_in = result.high, False
    # A limit in a unit that cannot be read is none; a printed pair without units is compared above.
    readable = result.high is not None and (
        result.high.canonical is not None or result.high.unit is None
    )
    if level == "unknown" and not readable:
        limit, built_in = _built_in_plp(result, policy), True
        level = against(result, limit)
    return Substrate(result, level, limit, built_in, _supplement(result, uses, drugs, policy))


def _built_in_plp(result: LabResult, policy: Policy) -> Quantity:
    """The fallback limit in the unit of the result, so that the two can be read side by side."""
    quantity = result.quantity
    limit = policy.workup.plp_high_nmol_per_l
    if quantity is None or quantity.factor is None:
        return Quantity(limit, "nmol/L")
    return Quantity(limit / quantity.factor, quantity.unit, None, quantity.factor)


def _supplement(
    result: LabResult, uses: Iterable[DrugUse], drugs: Mapping[str, Drug], policy: Policy
) -> DrugUse | None:
    """Vitamin B6 active within the policy's days before the sample; an unknown start counts."""
    if result.taken is None:
        return None
    from_day = result.taken.first - timedelta(days=policy.workup.b6_days)
    for use in uses:
        if drugs[use.drug].action != "vitamin-b6":
            continue
        begun = use.start is None or use.start.first <= result.taken.last
        ended = use.end or (None if use.ongoing else use.start)
        if begun and (ended is None or ended.last >= from_day):
            return use
    return None
