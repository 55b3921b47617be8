"""Conditions, procedures, encounters, orders and the patient read as facts."""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from cds_service.drugs import DrugList
from cds_service.fhir import resources as r
from cds_service.fhir.dates import recorded_date
from cds_service.fhir.once import Once
from cds_service.fhir.statuses import normal
from cds_service.record import (
    Diagnosis,
    DrugUse,
    Patient,
    PendingOrder,
    Procedure,
    RecordedDate,
    Sex,
    Stay,
)
from cds_service.terminology import Terminology

CONDITIONS = frozenset(
    [
        "hypophosphatasia",
        "atypical-femoral-fracture",
        "metatarsal-stress-fracture",
        "early-tooth-loss",
        "rickets",
        "malnutrition",
        "zinc-deficiency",
        "magnesium-deficiency",
        "coeliac-disease",
        "hypothyroidism",
        "cushing-syndrome",
        "vitamin-b12-deficiency",
        "severe-anaemia",
        "wilson-disease",
        "ckd-g4-g5",
        "dialysis",
        "haemodialysis",
        "pregnancy",
        "cholestasis-or-hepatitis",
        "bone-metastases",
        "multiple-myeloma",
        "hypercalcaemia",
        "palliative-care",
        "long-term-bisphosphonate-status",
    ]
)
PROCEDURES = frozenset({"haemodialysis", "palliative-care", "major-surgery-or-transfusion"})
ORDERS = frozenset(
    [
        "alp-total",
        "panel-with-alp",
        "plp",
        "pea-urine",
        "alpl-gene-test",
        "alp-bone-specific",
        "pth",
        "ggt",
        "calcium-total",
        "phosphate",
        "magnesium",
        "referral-genetics",
        "referral-nephrology",
        "palliative-care",
    ]
)
# Value set bound to Encounter.class in R4 (v3 ActEncounterCode). Non-acute inpatient stays
# (NONAC, such as long-term care) are not acute illness.
_ACUTE_CLASSES = frozenset({"IMP", "ACUTE", "EMER", "OBSENC"})
_NOT_ACTIVE = frozenset({"inactive", "remission", "resolved"})
# A differential diagnosis is a list of what it might be.
_NOT_TRUE = frozenset({"refuted", "entered-in-error", "differential"})
_NOT_DONE = frozenset({"not-done", "entered-in-error", "preparation"})
_NO_STAY = frozenset({"cancelled", "entered-in-error", "planned"})
_OPEN = frozenset({"arrived", "triaged", "in-progress", "onleave"})
_PENDING = frozenset({"draft", "active", "on-hold"})
_RECURRENT = re.compile(r"(?<!non-)(?<!not )\brecurrent\b", re.IGNORECASE)
_SEXES: dict[str | None, Sex] = {"female": "female", "male": "male"}


class ChartReader:
    """Reads everything of one patient that is neither an Observation nor a medication."""

    def __init__(self, terminology: Terminology, drugs: DrugList, order_system: str) -> None:
        self._terminology = terminology
        self._drugs = drugs
        self._order_system = order_system
        self._found = Once(partial(_concepts, terminology))
        self.diagnoses: list[Diagnosis] = []
        self.procedures: list[Procedure] = []
        self.stays: list[Stay] = []
        self.orders: list[PendingOrder] = []
        self.drug_uses: list[DrugUse] = []

    def condition(self, condition: r.Condition) -> None:
        """Add the diagnoses that one Condition records, unless it was refuted."""
        found = self._found[condition.code]
        if not found:
            return  # most diagnoses say nothing of ALP
        found = [(c, code) for c, code in found if c in CONDITIONS]
        if not found or _codes(condition.verificationStatus) & _NOT_TRUE:
            return
        clinical = _codes(condition.clinicalStatus)
        ended = condition.abatementDateTime or condition.abatementPeriod
        active = not (clinical & _NOT_ACTIVE) and not ended
        onset = recorded_date(
            condition.onsetDateTime
            or (condition.onsetPeriod.start if condition.onsetPeriod else None)
            or condition.recordedDate
            or condition.assertedDate
        )
        for concept, code in found:
            if concept == "long-term-bisphosphonate-status":
                self._status_code(active, onset)
                continue
            self.diagnoses.append(
                Diagnosis(
                    concept=concept,
                    name=self._terminology.value_sets[concept].title,
                    active=active,
                    onset=onset,
                    recurrent="recurrence" in clinical or _says_recurrent(condition.code),
                    code=code,
                )
            )

    def procedure(self, procedure: r.Procedure) -> None:
        """Add what was done; an injected drug billed as a procedure is a dose."""
        if normal(procedure.status) in _NOT_DONE or procedure.notDone:
            return
        period = procedure.performedPeriod or procedure.occurrencePeriod
        day = procedure.performedDateTime or procedure.occurrenceDateTime
        start = recorded_date(day or (period.start if period else None))
        end = recorded_date(period.end) if period else start
        for concept, _ in self._found[procedure.code]:
            if concept in PROCEDURES:
                self.procedures.append(Procedure(concept, start, end))
        codings = (procedure.code.coding if procedure.code else None) or ()
        drug = self._drugs.by_codes(codings)
        if drug is not None:
            self.drug_uses.append(
                DrugUse(
                    drug.drug,
                    "Procedure",
                    start,
                    start,
                    is_dose=True,
                    oncology_dose=drug.oncology_dose,
                )
            )

    def encounter(self, encounter: r.Encounter) -> None:
        """Add an emergency, observation or inpatient stay."""
        acute = any(kind in _ACUTE_CLASSES for kind in _classes(encounter))
        if not acute or normal(encounter.status) in _NO_STAY:
            return
        period = encounter.period or encounter.actualPeriod
        start = recorded_date(period.start) if period else None
        end = recorded_date(period.end) if period else None
        if end is None and normal(encounter.status) not in _OPEN:
            end = start
        reference = f"Encounter/{encounter.id}" if encounter.id else None
        self.stays.append(Stay(reference, start, end))

    def service_request(self, request: r.ServiceRequest, *, is_draft: bool = False) -> None:
        """Add an order that is still open."""
        if request.doNotPerform:
            return
        status = normal(request.status)
        if status not in _PENDING and not (is_draft and status is None):
            return
        concepts = [c for c, _ in self._found[request.ordered] if c in ORDERS]
        # Our own order code comes back on orders that were placed from a card.
        own = (request.ordered.coding if request.ordered else None) or ()
        concepts += [f"order:{c.code}" for c in own if c.system == self._order_system and c.code]
        if concepts:
            period = request.occurrencePeriod
            planned = request.occurrenceDateTime or (period.start if period else None)
            self.orders.append(
                PendingOrder(
                    tuple(concepts),
                    recorded_date(request.authoredOn),
                    recorded_date(planned),
                    is_draft,
                )
            )

    def _status_code(self, active: bool, onset: RecordedDate | None) -> None:
        self.drug_uses.append(
            DrugUse(
                "bisphosphonate-unspecified",
                "Condition",
                end=None if active else onset,
                ongoing=active,
            )
        )


def patient(resource: r.Patient) -> Patient:
    """Sex, birth date and whether the patient lives."""
    return Patient(
        id=resource.id or "",
        sex=_SEXES.get(resource.gender),
        born=recorded_date(resource.birthDate),
        deceased=bool(resource.deceasedBoolean),
        died=recorded_date(resource.deceasedDateTime),
    )


def _classes(encounter: r.Encounter) -> Iterator[str | None]:
    """Codes of the class: one coding, or a list of concepts in R5."""
    found = encounter.class_
    if isinstance(found, r.Coding):
        yield found.code
        return
    for concept in found or ():
        yield from (c.code for c in concept.coding or ())


def _codes(concept: r.CodeableConcept | str | None) -> set[str]:
    if concept is None:
        return set()
    if isinstance(concept, str):
        return {normal(concept) or ""}
    texts = [concept.text, *(c.code for c in concept.coding or ())]
    return {status for text in texts if (status := normal(text))}


def _says_recurrent(code: r.CodeableConcept | None) -> bool:
    if code is None:
        return False
    texts = [code.text, *(c.display for c in code.coding or ())]
    return any(_RECURRENT.search(t) for t in texts if t)


def _concepts(
    terminology: Terminology, code: r.CodeableConcept | None
) -> Sequence[tuple[str, str]]:
    """Each concept of a code, with the first coding that stands for it."""
    found: dict[str, str] = {}
    for coding in (code.coding if code else None) or ():
        for concept in terminology.concepts(coding.system, coding.code):
            found.setdefault(concept, coding.code or "")
    return tuple(found.items())
