"""The orders being written or signed: antiresorptives in them, and tests that need no second order.

Drafts are unfinished by nature: no drug yet, no intent, elements of the wrong shape. Resource types
that are no orders of ours are background.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from cds_service.drugs import Recognised
from cds_service.errors import DataUnavailable, RequestError
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import Decoded, NotFhir, decode
from cds_service.fhir.chart import ChartReader
from cds_service.fhir.identity import FOREIGN, Subject
from cds_service.fhir.medications import MedicationReader
from cds_service.fhir.reader import ReadingAids
from cds_service.record import Draft, PendingOrder

_WHERE = "context.draftOrders"
_ENDED = frozenset({"stopped", "cancelled", "revoked"})
_NEITHER = frozenset({"entered-in-error", "completed"})
_INDICATIONS = frozenset({"bone-metastases", "multiple-myeloma", "hypercalcaemia"})
_Order = r.MedicationRequest | r.ServiceRequest


class Drafts(msgspec.Struct, frozen=True):
    """What the drafts hold."""

    draft: Draft
    tests: tuple[PendingOrder, ...]


def read_drafts(
    value: r.FhirValue,
    selections: Sequence[str] | None,
    patient_id: str,
    known: Sequence[r.Entry],
    aids: ReadingAids,
) -> Drafts:
    """Read the drafts of a call. `known` are the entries of the prefetch, for references.

    Only the selected drafts decide, where the hook has selections. Raises RequestError when a draft
    cannot be read at all, and DataUnavailable when its drug is only referred to and did not come:
    in both cases nobody has checked the order, and silence would say that somebody had.
    """
    try:
        decoded = decode(value, _WHERE)
    except NotFhir as error:
        raise RequestError(
            f"context.draftOrders is to be a Bundle: {error}.", where=_WHERE
        ) from error
    orders = [(e, e.resource) for e in decoded.entries if isinstance(e.resource, _Order)]
    _check_subjects([o for _, o in orders], Subject(patient_id, known))
    _check_selections(decoded, selections)
    decisive = [o for e, o in orders if _selected(e, selections)]
    reader = _DraftReader(aids, [*decoded.entries, *known])
    draft = reader.draft(decisive)
    nothing_found = not draft.ordered and not draft.ended
    if nothing_found and any(_about_drug(u.where) for u in decoded.unread):
        raise RequestError(
            "A draft order cannot be read, so nobody has checked it: "
            f"{decoded.unread[0].where}: {decoded.unread[0].reason}.",
            where=_WHERE,
        )
    if nothing_found and reader.unresolved:
        raise DataUnavailable(
            "The drug of a draft order is only referred to; send it as code, contained Medication,"
            " or with the display of the reference.",
            where=_WHERE,
        )
    return Drafts(draft, reader.tests(o for _, o in orders))


def _check_subjects(orders: Iterable[_Order], subject: Subject) -> None:
    """Drafts that do not name a patient yet belong to the patient of the call."""
    if any(subject.problem(order) == FOREIGN for order in orders):
        raise RequestError(
            "A draft order is for another patient than context.patientId.", where=_WHERE
        )


def _check_selections(decoded: Decoded, selections: Sequence[str] | None) -> None:
    """A selection of something that was not sent would be silence about nothing."""
    if not selections or not decoded.entries or decoded.useless or decoded.unread:
        return
    if not any(_selected(entry, selections) for entry in decoded.entries):
        raise RequestError(
            "context.selections names none of the drafts; it is to hold references such as"
            " MedicationRequest/id of entries of context.draftOrders.",
            where="context.selections",
        )


def _selected(entry: r.Entry, selections: Sequence[str] | None) -> bool:
    if selections is None:
        return True
    name = f"{type(entry.resource).__name__}/{entry.resource.id if entry.resource else ''}"
    return any(s in (name, entry.fullUrl) or s.endswith("/" + name) for s in selections)


def _about_drug(where: str) -> bool:
    return "MedicationRequest" in where or "ServiceRequest" in where


class _DraftReader:
    """Recognises drugs and tests in orders."""

    def __init__(self, aids: ReadingAids, entries: Sequence[r.Entry]) -> None:
        self._aids = aids
        self._chart = ChartReader(aids.terminology, aids.drugs, aids.order_system)
        self._entries = entries
        medications = [e.resource for e in entries if isinstance(e.resource, r.Medication)]
        index = {m.id: m for m in medications if m.id}
        index |= {
            e.fullUrl: e.resource
            for e in entries
            if e.fullUrl and isinstance(e.resource, r.Medication)
        }
        self._medications = MedicationReader(aids.drugs, index)

    @property
    def unresolved(self) -> int:
        """Drugs that were only referred to."""
        return self._medications.unresolved

    def draft(self, orders: Iterable[_Order]) -> Draft:
        """The antiresorptives in these orders."""
        ordered: dict[str, None] = {}
        ended: dict[str, None] = {}
        indications: set[str] = set()
        text_only = oncology_dose = False
        for order in orders:
            found = self._drug(order)
            if found is None or not self._aids.drugs[found.drug].is_antiresorptive:
                continue
            if order.status in _NEITHER:
                continue
            (ended if order.status in _ENDED else ordered)[found.drug] = None
            text_only = text_only or found.text_only
            oncology_dose = (
                oncology_dose or found.oncology_dose or self._oncology_units(order, found)
            )
            indications |= self._reasons(order)
        return Draft(tuple(ordered), tuple(ended), text_only, oncology_dose, frozenset(indications))

    def tests(self, orders: Iterable[_Order]) -> tuple[PendingOrder, ...]:
        """The tests and referrals that are drafted already."""
        for order in orders:
            if isinstance(order, r.ServiceRequest):
                self._chart.service_request(order, is_draft=True)
        return tuple(self._chart.orders)

    def _drug(self, order: _Order) -> Recognised | None:
        if isinstance(order, r.MedicationRequest):
            return None if order.doNotPerform else self._medications.recognise(order)
        concept = order.code
        if concept is None or order.doNotPerform:
            return None
        found = self._aids.drugs.by_codes(concept.coding or ())
        texts = [concept.text, *(c.display for c in concept.coding or ())]
        return found or next((d for t in texts if (d := self._aids.drugs.by_name(t))), None)

    def _oncology_units(self, order: _Order, found: Recognised) -> bool:
        """HCPCS codes are the same for both doses; the units ordered tell them apart."""
        units = self._aids.drugs[found.drug].oncology_units
        if units is None or not isinstance(order, r.ServiceRequest):
            return False
        quantity = order.quantityQuantity
        return quantity is not None and quantity.value == Decimal(units)

    def _reasons(self, order: _Order) -> set[str]:
        """Why the drug is ordered, as far as it matters here."""
        concepts = list(order.reasonCode or ())
        targets = {ref.reference for ref in order.reasonReference or () if ref.reference}
        for entry in self._entries:
            resource = entry.resource
            if isinstance(resource, r.Condition) and resource.code is not None:
                names = {f"Condition/{resource.id}", entry.fullUrl}
                if names & targets:
                    concepts.append(resource.code)
        found = {v for c in concepts for v in self._aids.terminology.of(c.coding)}
        return found & _INDICATIONS
