"""The four medication resources read as doses and periods of known drugs."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from cds_service.drugs import DrugList, Recognised
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import contained
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.references import Referred
from cds_service.fhir.statuses import normal
from cds_service.quantity import writable
from cds_service.record import DrugUse, RecordedDate
from cds_service.terminology import ATC, NDC, RXNORM, SNOMED_CT

DRUG_SYSTEMS = frozenset({RXNORM, ATC, SNOMED_CT, NDC})
# What says that nothing was taken. Every other status, `unknown` too, is evidence of exposure:
# overlooking one would let a card claim that the patient was never treated.
_NOT_TAKEN = frozenset(
    [
        "entered-in-error",
        "cancelled",
        "draft",
        "intended",
        "not-taken",
        "not-done",
        "declined",
        "preparation",
    ]
)
_ENDED_EARLY = frozenset({"stopped", "on-hold"})
_NOT_ORDERED = frozenset({"proposal", "plan", "option"})
_LONGEST_SUPPLY = 3660


class MedicationReader:
    """Reads the medication resources of one patient."""

    def __init__(self, drugs: DrugList, medications: Referred[r.Medication]) -> None:
        self._drugs = drugs
        self._medications = medications
        self.uses: list[DrugUse] = []
        self.unresolved = 0
        """Medications that were only referred to, without code or name."""

    def read(self, use: r.MedicationUse) -> None:
        """Add the dose or period of one resource, when it is of a known drug that was taken."""
        if normal(use.status) in _NOT_TAKEN:
            return
        drug = self.recognise(use)
        if drug is None:
            return
        if isinstance(use, r.MedicationDispense) and self._drugs[drug.drug].given_as_doses:
            # The days of supply of an injection are no days of taking it.
            self.uses.append(_dose(use, drug, _handed_over(use)))
            return
        fact = _READERS[type(use)](use, drug)
        if fact is not None:
            self.uses.append(fact)

    def recognise(self, use: r.MedicationUse) -> Recognised | None:
        """The known drug: by any coding, else by a name in the text."""
        concept = use.medicationCodeableConcept
        found = self._drugs.by_codes(concept.coding or ()) if concept else None
        reference = use.medicationReference
        if found is not None or reference is None:
            return found or self._by_name(concept)
        medication = self._resolve(reference, use)
        if medication is None and not reference.display:
            self.unresolved += 1
        referred = medication.code if medication else None
        found = self._drugs.by_codes(referred.coding or ()) if referred else None
        return (
            found
            or self._by_name(concept)
            or self._by_name(referred)
            or self._drugs.by_name(reference.display)
        )

    def _by_name(self, concept: r.CodeableConcept | None) -> Recognised | None:
        if concept is None:
            return None
        codings = concept.coding or ()
        # Beside a code of a known system, which is not one of ours, a text may mention another drug.
        coded = not DRUG_SYSTEMS.isdisjoint([c.system for c in codings])
        for text in (concept.text, *[c.display for c in codings]):
            found = self._drugs.by_name(text, at_start=coded) if text else None
            if found is not None:
                return found
        return None

    def _resolve(self, reference: r.Reference, use: r.MedicationUse) -> r.Medication | None:
        target = reference.reference or ""
        if target.startswith("#"):
            inside = (c for c in contained(use.contained) if c.id == target[1:])
            return next((c for c in inside if isinstance(c, r.Medication)), None)
        return self._medications.get(target)


def _period(
    use: r.MedicationUse,
    drug: Recognised,
    start: RecordedDate | None,
    end: RecordedDate | None,
) -> DrugUse:
    return DrugUse(
        drug=drug.drug,
        source=type(use).__name__,
        start=start,
        end=end,
        ongoing=end is None and normal(use.status) == "active",
        text_only=drug.text_only,
        oncology_dose=drug.oncology_dose,
        injected=drug.injected,
    )


def _dose(use: r.MedicationUse, drug: Recognised, day: RecordedDate | None) -> DrugUse:
    return DrugUse(
        drug=drug.drug,
        source=type(use).__name__,
        start=day,
        end=day,
        is_dose=True,
        text_only=drug.text_only,
        oncology_dose=drug.oncology_dose,
        injected=drug.injected,
    )


def _statement(use: r.MedicationStatement, drug: Recognised) -> DrugUse:
    period = use.effectivePeriod
    start = recorded_date(use.effectiveDateTime or (period.start if period else None))
    end = recorded_date(period.end) if period else None
    if start is None and end is None and normal(use.status) != "active":
        # Taken at some time up to the day on which it was stated.
        end = recorded_date(use.dateAsserted)
    return _period(use, drug, start, end)


def _request(use: r.MedicationRequest, drug: Recognised) -> DrugUse | None:
    if use.doNotPerform or normal(use.intent) in _NOT_ORDERED:
        return None
    bounds = next(
        (
            d.timing.repeat.boundsPeriod
            for d in use.dosageInstruction or ()
            if d.timing and d.timing.repeat and d.timing.repeat.boundsPeriod
        ),
        None,
    )
    validity = use.dispenseRequest.validityPeriod if use.dispenseRequest else None
    start = recorded_date((bounds.start if bounds else None) or use.authoredOn)
    end = recorded_date(bounds.end) if bounds else None
    status = normal(use.status)
    if status in _ENDED_EARLY:
        end = None  # what was planned is not what was taken
    elif end is None and status != "active" and validity is not None:
        end = recorded_date(validity.end)
    return _period(use, drug, start, end)


def _administration(use: r.MedicationAdministration, drug: Recognised) -> DrugUse:
    period = use.effectivePeriod
    return _dose(
        use, drug, recorded_date(use.effectiveDateTime or (period.start if period else None))
    )


def _dispense(use: r.MedicationDispense, drug: Recognised) -> DrugUse:
    day = _handed_over(use)
    supply = use.daysSupply.value if use.daysSupply else None
    if day is None or supply is None or not writable(supply) or not 1 < supply <= _LONGEST_SUPPLY:
        return _dose(use, drug, day)
    lasts = timedelta(days=int(supply))
    return DrugUse(
        drug=drug.drug,
        source=type(use).__name__,
        start=day,
        end=RecordedDate(day.first + lasts, day.last + lasts),
        text_only=drug.text_only,
        oncology_dose=drug.oncology_dose,
        injected=drug.injected,
    )


def _handed_over(use: r.MedicationDispense) -> RecordedDate | None:
    return recorded_date(use.whenHandedOver or use.whenPrepared)


_READERS: Mapping[type[r.MedicationUse], Callable[..., DrugUse | None]] = {
    r.MedicationStatement: _statement,
    r.MedicationRequest: _request,
    r.MedicationAdministration: _administration,
    r.MedicationDispense: _dispense,
}
