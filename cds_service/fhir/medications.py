"""The four medication resources read as doses and periods of known drugs."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import msgspec

from cds_service.drugs import DrugList, Recognised
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import UNREADABLE, contained
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.once import Once
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


_no_drug = (None, None)
_codeable_reference = msgspec.json.Decoder(r.CodeableReference)


def drug_of(use: r.MedicationUse) -> tuple[r.CodeableConcept | None, r.Reference | None]:
    """How a resource names its drug: by concept or by reference, in every version of FHIR."""
    if use.medication is r.NOTHING or use.medicationCodeableConcept or use.medicationReference:
        return use.medicationCodeableConcept, use.medicationReference
    try:
        named = _codeable_reference.decode(use.medication)
    except UNREADABLE:
        return _no_drug  # neither R4 nor R5: the drug cannot be recognised
    return named.concept, named.reference


class MedicationReader:
    """Reads the medication resources of one patient."""

    def __init__(self, drugs: DrugList, medications: Referred[r.Medication]) -> None:
        self._drugs = drugs
        self._medications = medications
        self._by_concept = Once(partial(_named, drugs))
        self.uses: list[DrugUse] = []
        self.unresolved = 0
        """Medications that were only referred to, without code or name."""

    def read(self, use: r.MedicationUse) -> None:
        """Add the dose or period of one resource, when it is of a known drug that was taken."""
        concept, reference = drug_of(use)
        if reference is None and self._by_concept[concept] is None:
            return  # most drugs are none of ours: the quickest question comes first
        if normal(use.status) in _NOT_TAKEN or _said_not_taken(use):
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
        concept, reference = drug_of(use)
        if reference is None:
            return self._by_concept[concept]
        found = self._drugs.by_codes(concept.coding or ()) if concept else None
        if found is not None:
            return found
        medication = self._resolve(reference, use)
        if medication is None and not reference.display:
            self.unresolved += 1
        referred = medication.code if medication else None
        found = self._drugs.by_codes(referred.coding or ()) if referred else None
        return (
            found
            or _by_name(self._drugs, concept)
            or _by_name(self._drugs, referred)
            or self._drugs.by_name(reference.display)
        )

    def _resolve(self, reference: r.Reference, use: r.MedicationUse) -> r.Medication | None:
        target = reference.reference or ""
        if target.startswith("#"):
            inside = (c for c in contained(use.contained) if c.id == target[1:])
            return next((c for c in inside if isinstance(c, r.Medication)), None)
        return self._medications.get(target)


def _named(drugs: DrugList, concept: r.CodeableConcept | None) -> Recognised | None:
    codings = (concept.coding if concept else None) or ()
    return drugs.by_codes(codings) or _by_name(drugs, concept)


def _by_name(drugs: DrugList, concept: r.CodeableConcept | None) -> Recognised | None:
    if concept is None:
        return None
    codings = concept.coding or ()
    # Beside a code of a known system, which is not one of ours, a text may mention another drug.
    coded = not DRUG_SYSTEMS.isdisjoint([c.system for c in codings])
    for text in dict.fromkeys((concept.text, *[c.display for c in codings])):
        found = drugs.by_name(text, at_start=coded) if text else None
        if found is not None:
            return found
    return None


def _said_not_taken(use: r.MedicationUse) -> bool:
    """Whether an element beside the status says that nothing was taken, as STU3 and R5 have them."""
    match use:
        case r.MedicationStatement():
            return normal(use.taken) == "n" or _adherence(use) == "not-taking"
        case r.MedicationAdministration():
            return bool(use.notGiven)
        case r.MedicationDispense():
            return bool(use.notDone)
        case _:
            return False


def _adherence(use: r.MedicationStatement) -> str | None:
    """R5: `taking`, `not-taking`, `on-hold`, `stopped` or `unknown`, each with finer codes below it."""
    if use.adherence is None:
        return None
    concept = use.adherence.code
    codes = [normal(c.code) or "" for c in (concept.coding if concept else None) or ()]
    known = ("not-taking", "taking", "on-hold", "stopped", "unknown")
    return next((k for k in known for code in codes if code.startswith(k)), None)


def _is_taken_now(use: r.MedicationStatement, *, open_ended: bool) -> bool:
    """Whether a statement without an end says that the drug is being taken.

    A statement of R5 is only `recorded`: then adherence says it, or a period that was left open.
    """
    if normal(use.status) != "recorded":
        return normal(use.status) == "active"
    adherence = _adherence(use)
    return adherence == "taking" or (adherence is None and open_ended)


def _period(
    use: r.MedicationUse,
    drug: Recognised,
    start: RecordedDate | None,
    end: RecordedDate | None,
    *,
    ongoing: bool,
) -> DrugUse:
    return DrugUse(
        drug=drug.drug,
        source=type(use).__name__,
        start=start,
        end=end,
        ongoing=end is None and ongoing,
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
    taken_now = _is_taken_now(use, open_ended=period is not None and start is not None)
    if start is None and end is None and not taken_now:
        # Taken at some time up to the day on which it was stated.
        end = recorded_date(use.dateAsserted)
    return _period(use, drug, start, end, ongoing=taken_now)


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
    return _period(use, drug, start, end, ongoing=status == "active")


def _administration(use: r.MedicationAdministration, drug: Recognised) -> DrugUse:
    period = use.effectivePeriod or use.occurencePeriod
    day = use.effectiveDateTime or use.occurenceDateTime or (period.start if period else None)
    return _dose(use, drug, recorded_date(day))


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
