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
from cds_service.fhir.medications import DRUG_SYSTEMS, MedicationReader, drug_of
from cds_service.fhir.reader import ReadingAids
from cds_service.fhir.references import Referred, without_version
from cds_service.fhir.statuses import normal
from cds_service.record import Draft, PendingOrder
from cds_service.terminology import LOINC, SNOMED_CT

_WHERE = "context.draftOrders"
_ENDED = frozenset({"stopped", "cancelled", "revoked"})
_NEITHER = frozenset({"entered-in-error", "completed"})
_INDICATIONS = frozenset({"bone-metastases", "multiple-myeloma", "hypercalcaemia"})
_TEST_SYSTEMS = frozenset({LOINC, SNOMED_CT})
_DRUG_SYSTEMS = DRUG_SYSTEMS | {"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"}
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
    fhir_server: str | None = None,
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
    subject = Subject(patient_id, known, fhir_server)
    _check_subjects([o for _, o in orders], subject)
    chosen = _Selections(selections)
    chosen.check(decoded)
    reader = _DraftReader(aids, decoded.entries, known, subject)
    draft = reader.draft(o for e, o in orders if chosen.holds(e))
    if not draft.ordered:
        _check_everything_was_read(decoded, reader)
    return Drafts(draft, reader.tests(o for _, o in orders))


def _check_everything_was_read(decoded: Decoded, reader: "_DraftReader") -> None:
    """Nothing was found to be ordered: that is true only when every draft could be read."""
    if decoded.unread or decoded.hollow or decoded.outcome:
        first = decoded.unread[0] if decoded.unread else None
        cause = f"{first.where}: {first.reason}" if first else "an entry without a resource"
        raise RequestError(
            f"A draft order cannot be read, so nobody has checked it: {cause}.", where=_WHERE
        )
    if reader.unrecognisable:
        raise DataUnavailable(
            "The drug of a draft order cannot be recognised: it is only referred to, or has neither a"
            " code of a known system (RxNorm, ATC, SNOMED CT, NDC, HCPCS) nor a text. Send one of these,"
            " a contained Medication, or add the local code to the site policy.",
            where=_WHERE,
        )


def _check_subjects(orders: Iterable[_Order], subject: Subject) -> None:
    """Drafts that do not name a patient yet belong to the patient of the call."""
    if any(subject.problem(order) == FOREIGN for order in orders):
        raise RequestError(
            "A draft order is for another patient than context.patientId.", where=_WHERE
        )


class _Selections:
    """Which drafts decide: the selected ones, or all where the hook knows no selections."""

    def __init__(self, selections: Sequence[str] | None) -> None:
        self._all = selections is None
        self._given = frozenset(selections or ())
        # `Type/id`, also where a selection is an absolute reference.
        self._names = self._given | {"/".join(s.rsplit("/", 2)[-2:]) for s in self._given}

    def holds(self, entry: r.Entry) -> bool:
        """Whether a draft decides."""
        resource = entry.resource
        name = f"{type(resource).__name__}/{resource.id}" if resource else ""
        return self._all or name in self._names or entry.fullUrl in self._given

    def check(self, decoded: Decoded) -> None:
        """A selection of something that was not sent would be silence about nothing."""
        if not self._given or not decoded.entries or decoded.useless or decoded.unread:
            return
        if not any(map(self.holds, decoded.entries)):
            raise RequestError(
                "context.selections names none of the drafts; it is to hold references such as"
                " MedicationRequest/id of entries of context.draftOrders.",
                where="context.selections",
            )


class _DraftReader:
    """Recognises drugs and tests in orders."""

    def __init__(
        self,
        aids: ReadingAids,
        drafts: Sequence[r.Entry],
        known: Sequence[r.Entry],
        subject: Subject,
    ) -> None:
        self._aids = aids
        self._chart = ChartReader(aids.terminology, aids.drugs, aids.order_system)
        self._conditions: dict[str, r.Condition] = {}
        self._uncoded = 0
        medications: Referred[r.Medication] = Referred()
        for entry in (*drafts, *known):  # a draft means the Medication that came with it
            resource = entry.resource
            if isinstance(resource, r.Medication):
                medications.add(resource, entry.fullUrl)
            elif isinstance(resource, r.Condition) and subject.problem(resource) is None:
                self._conditions.setdefault(f"Condition/{resource.id}", resource)
        self._medications = MedicationReader(aids.drugs, medications)

    @property
    def unrecognisable(self) -> int:
        """Drugs that were only referred to, or that no code of a known system and no text names."""
        return self._medications.unresolved + self._uncoded

    def draft(self, orders: Iterable[_Order]) -> Draft:
        """The antiresorptives in these orders."""
        ordered: dict[str, None] = {}
        ended: dict[str, None] = {}
        indications: set[str] = set()
        text_only = oncology_dose = False
        for order in orders:
            status = normal(order.status)
            found = self._drug(order) if status not in _NEITHER else None
            if found is None or not self._aids.drugs[found.drug].is_antiresorptive:
                continue
            (ended if status in _ENDED else ordered)[found.drug] = None
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
        if order.doNotPerform:
            return None
        if isinstance(order, r.MedicationRequest):
            found = self._medications.recognise(order)
            if found is None and _names_nothing(order):
                self._uncoded += 1
            return found
        concept = order.ordered
        if concept is None:
            return None
        found = self._aids.drugs.by_codes(concept.coding or ())
        if found is not None or any(c.system in _TEST_SYSTEMS for c in concept.coding or ()):
            return found  # a coded test that mentions a drug is no order for the drug
        # "Zoledronic acid infusion" is one, "Dental check before zoledronic acid" is none.
        texts = [concept.text, *(c.display for c in concept.coding or ())]
        by_name = self._aids.drugs.by_name
        return next((d for t in texts if (d := by_name(t, at_start=True))), None)

    def _oncology_units(self, order: _Order, found: Recognised) -> bool:
        """HCPCS codes are the same for both doses; the units ordered tell them apart."""
        units = self._aids.drugs[found.drug].oncology_units
        if units is None or not isinstance(order, r.ServiceRequest):
            return False
        quantity = order.quantityQuantity
        return quantity is not None and quantity.value == Decimal(units)

    def _reasons(self, order: _Order) -> set[str]:
        """Why the drug is ordered, as far as it matters here: codes, and own diagnoses referred to."""
        reasons = order.reason or ()
        concepts = [*(order.reasonCode or ()), *(x.concept for x in reasons if x.concept)]
        references = [
            *(order.reasonReference or ()),
            *(x.reference for x in reasons if x.reference),
        ]
        found = {v for c in concepts for v in self._aids.terminology.of(c.coding)}
        for reference in references:
            name = "/".join(without_version(reference.reference or "").rsplit("/", 2)[-2:])
            condition = self._conditions.get(name)
            if condition is not None:
                chart = ChartReader(self._aids.terminology, self._aids.drugs, "")
                chart.condition(condition)
                found |= {d.concept for d in chart.diagnoses if d.active}
        return found & _INDICATIONS


def _names_nothing(order: r.MedicationRequest) -> bool:
    """A drug is given, but by nothing that anybody outside could read. No drug yet is another matter."""
    concept, reference = drug_of(order)
    if concept is None and reference is None:
        return bytes(order.medication) != b"null"
    codings = (concept.coding if concept else None) or ()
    if concept is None or concept.text or not codings:
        return False
    return not any(c.display or c.system in _DRUG_SYSTEMS for c in codings)
