"""The moments at which the rules would have been asked about one patient."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.medications import MedicationReader
from cds_service.fhir.reader import ReadingAids
from cds_service.fhir.references import Referred
from cds_service.fhir.result_kinds import ALP
from cds_service.fhir.statuses import normal
from cds_service.hooks.request import ORDER_SIGN, PATIENT_VIEW
from cds_service.screen.chart import Chart
from cds_service.screen.hindsight import Moment
from cds_service.screen.plan import Plan

_NOT_SIGNED = frozenset({"draft", "entered-in-error", "unknown"})
_NOT_ORDERS = frozenset({"proposal", "plan", "option"})
_NO_VISIT = frozenset({"planned", "cancelled", "entered-in-error"})
_NO_RESULT = frozenset({"entered-in-error", "cancelled", "registered"})


class Question(msgspec.Struct, frozen=True):
    """One hook that would have been fired."""

    moment: Moment
    hook: str
    orders: tuple[r.Entry, ...] = ()
    """What was being signed, as it was written then."""
    hidden: frozenset[int] = frozenset()
    """The same entries, by identity, which were not yet on record."""


def questions(chart: Chart, plan: Plan, aids: ReadingAids) -> list[Question]:
    """Every question of the plan about this patient, in the order of time."""
    if plan.replay is None:
        return [Question(Moment(plan.last_day), PATIENT_VIEW)]
    views = _encounters(chart) if plan.at == "encounter" else _results(chart, aids)
    found = [Question(m, PATIENT_VIEW) for m in views]
    found += _orders(chart, aids)
    first, last = plan.replay
    asked = [q for q in found if first <= q.moment.day <= last]
    return sorted(asked, key=_in_time)


def _in_time(question: Question) -> tuple[date, bool, float]:
    instant = question.moment.instant
    # The orders of a day come at its end: only then everything of its sessions is known.
    at = instant.timestamp() if instant else 0.0
    return question.moment.day, question.hook == ORDER_SIGN, at


def _encounters(chart: Chart) -> Iterator[Moment]:
    """The start of each encounter that took place."""
    seen: set[str | None] = set()
    for entry in chart.entries:
        encounter = entry.resource
        if not isinstance(encounter, r.Encounter) or normal(encounter.status) in _NO_VISIT:
            continue
        period = encounter.period or encounter.actualPeriod
        moment = Moment.of(period.start if period else None)
        if moment is None or (encounter.id is not None and encounter.id in seen):
            continue
        seen.add(encounter.id)
        yield moment


def _results(chart: Chart, aids: ReadingAids) -> Iterator[Moment]:
    """When each ALP came; results of one moment open the chart once."""
    found: dict[Moment, None] = {}
    for entry in chart.entries:
        result = entry.resource
        if not isinstance(result, r.Observation) or normal(result.status) in _NO_RESULT:
            continue
        codes = [result.code, *(c.code for c in result.component or ())]
        if not any(ALP in aids.terminology.of(c.coding) for c in codes if c):
            continue
        period = result.effectivePeriod
        texts = (result.issued, result.effectiveDateTime, result.effectiveInstant)
        moment = Moment.of(next(filter(None, (*texts, period.start if period else None)), None))
        if moment is not None:
            found[moment] = None
    yield from found


def _orders(chart: Chart, aids: ReadingAids) -> Iterator[Question]:
    """The orders of one day are one signing; only those with an antiresorptive are asked about."""
    dated = [(day, e) for e in chart.entries if (day := _signed(e.resource)) is not None]
    medications: Referred[r.Medication] = Referred()
    for entry in chart.entries:
        if isinstance(entry.resource, r.Medication):
            medications.add(entry.resource, entry.fullUrl)
    drugs = _Antiresorptives(aids, medications)
    for day, same_day in groupby(sorted(dated, key=itemgetter(0)), key=itemgetter(0)):
        entries = [e for _, e in same_day]
        if any(drugs.ordered(e.resource) for e in entries):
            yield Question(
                Moment(day),
                ORDER_SIGN,
                tuple(_as_signed(e) for e in entries),
                frozenset(id(e.resource) for e in entries),
            )


def _signed(resource: object) -> date | None:
    """The day on which an order was signed; None when it is none, or was not signed."""
    if not isinstance(resource, r.MedicationRequest | r.ServiceRequest):
        return None
    if normal(resource.status) in _NOT_SIGNED or normal(resource.intent) in _NOT_ORDERS:
        return None
    moment = Moment.of(resource.authoredOn)
    return moment.day if moment else None


def _as_signed(entry: r.Entry) -> r.Entry:
    """The order as it stood when it was signed: whatever became of it later."""
    order = entry.resource
    assert isinstance(order, r.MedicationRequest | r.ServiceRequest)  # noqa: S101  (`_signed` saw it)
    return msgspec.structs.replace(entry, resource=msgspec.structs.replace(order, status="active"))


class _Antiresorptives:
    """Whether an order is for an antiresorptive."""

    def __init__(self, aids: ReadingAids, medications: Referred[r.Medication]) -> None:
        self._aids = aids
        self._medications = MedicationReader(aids.drugs, medications)

    def ordered(self, resource: object) -> bool:
        if isinstance(resource, r.MedicationRequest):
            found = self._medications.recognise(resource)
        elif isinstance(resource, r.ServiceRequest) and resource.ordered:
            found = self._aids.drugs.by_codes(resource.ordered.coding or ())
        else:
            return False
        return found is not None and self._aids.drugs[found.drug].is_antiresorptive


def known_orders(orders: Sequence[r.Entry]) -> r.Bundle:
    """The orders as the draftOrders of a call."""
    return r.Bundle(entry=tuple(orders))
