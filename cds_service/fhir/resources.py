"""The elements of FHIR resources that the rules read, and nothing else.

R4 and R4B are read in full. Where R5 or STU3 put the same fact elsewhere, that element is here too:
the version of a server is not asked for, and one may send what another wrote.

msgspec decodes straight into these: every other element is skipped unread, so unknown elements,
extensions and profiles cost nothing and break nothing. Every element is optional, because in real
charts every element is sometimes missing. Parts that only some resources need (value and range of a
result, contained resources, meta) stay raw until a rule asks for them.
"""

from decimal import Decimal

import msgspec


class Element(msgspec.Struct, frozen=True, gc=False):
    """Base of all elements: frozen, and without references back, so not worth tracking."""


class BareCoding(Element, frozen=True, gc=False):
    """A coding where display text is of no use: results are recognised by code alone."""

    system: str | None = None
    code: str | None = None


class BareConcept(Element, frozen=True, gc=False):
    coding: tuple[BareCoding, ...] | None = None


class Coding(Element, frozen=True, gc=False):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Element, frozen=True, gc=False):
    coding: tuple[Coding, ...] | None = None
    text: str | None = None


class Reference(Element, frozen=True, gc=False):
    reference: str | None = None
    display: str | None = None


class CodeableReference(Element, frozen=True, gc=False):
    """How R5 names what is either a concept or a resource of its own."""

    concept: CodeableConcept | None = None
    reference: Reference | None = None


class Orderable(CodeableConcept, frozen=True, gc=False):
    """What is ordered: the concept itself, or inside a CodeableReference (R5)."""

    concept: CodeableConcept | None = None


class Period(Element, frozen=True, gc=False):
    start: str | None = None
    end: str | None = None


class Quantity(Element, frozen=True, gc=False):
    value: Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class Range(Element, frozen=True, gc=False):
    low: Quantity | None = None
    high: Quantity | None = None


class ReferenceRange(Element, frozen=True, gc=False):
    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None
    age: Range | None = None


class Meta(Element, frozen=True, gc=False):
    lastUpdated: str | None = None


NOTHING = msgspec.Raw(b"null")
"""An element that did not come."""


class Resource(msgspec.Struct, frozen=True, gc=False, tag_field="resourceType"):
    id: str | None = None
    meta: msgspec.Raw = NOTHING


class Patient(Resource, frozen=True, gc=False, tag="Patient"):
    birthDate: str | None = None
    gender: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None


class Component(Element, frozen=True, gc=False):
    code: BareConcept | None = None
    valueQuantity: msgspec.Raw = NOTHING
    valueString: str | None = None
    valueCodeableConcept: BareConcept | None = None
    dataAbsentReason: BareConcept | None = None
    referenceRange: msgspec.Raw = NOTHING


class Observation(Resource, frozen=True, gc=False, tag="Observation"):
    status: str | None = None
    code: BareConcept | None = None
    subject: Reference | None = None
    focus: tuple[Reference, ...] | None = None
    encounter: Reference | None = None
    context: Reference | None = None
    """The encounter, in STU3."""
    effectiveDateTime: str | None = None
    effectiveInstant: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None
    valueQuantity: msgspec.Raw = NOTHING
    valueString: str | None = None
    valueInteger: int | None = None
    valueCodeableConcept: BareConcept | None = None
    valueDateTime: str | None = None
    dataAbsentReason: BareConcept | None = None
    referenceRange: msgspec.Raw = NOTHING
    specimen: Reference | None = None
    component: tuple[Component, ...] | None = None
    contained: tuple[msgspec.Raw, ...] | None = None


class Container(Element, frozen=True, gc=False):
    type: CodeableConcept | None = None
    description: str | None = None
    additiveCodeableConcept: CodeableConcept | None = None


class Specimen(Resource, frozen=True, gc=False, tag="Specimen"):
    subject: Reference | None = None
    container: tuple[Container, ...] | None = None


class Medication(Resource, frozen=True, gc=False, tag="Medication"):
    code: CodeableConcept | None = None


class MedicationUse(Resource, frozen=True, gc=False):
    """What the four resources about a patient's drug have in common."""

    status: str | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Reference | None = None
    medication: msgspec.Raw = NOTHING
    """How R5 names the drug: a CodeableReference."""
    subject: Reference | None = None
    contained: tuple[msgspec.Raw, ...] | None = None


class Adherence(Element, frozen=True, gc=False):
    code: CodeableConcept | None = None


class MedicationStatement(MedicationUse, frozen=True, gc=False, tag="MedicationStatement"):
    taken: str | None = None
    """STU3: y, n, unk or na."""
    adherence: Adherence | None = None
    """R5, whose status says no more than that the statement was recorded."""
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    dateAsserted: str | None = None


class Duration(Element, frozen=True, gc=False):
    value: Decimal | None = None
    unit: str | None = None
    code: str | None = None


class DispenseRequest(Element, frozen=True, gc=False):
    validityPeriod: Period | None = None


class Repeat(Element, frozen=True, gc=False):
    boundsPeriod: Period | None = None


class Timing(Element, frozen=True, gc=False):
    repeat: Repeat | None = None


class Dosage(Element, frozen=True, gc=False):
    timing: Timing | None = None


class MedicationRequest(MedicationUse, frozen=True, gc=False, tag="MedicationRequest"):
    intent: str | None = None
    doNotPerform: bool | None = None
    authoredOn: str | None = None
    dosageInstruction: tuple[Dosage, ...] | None = None
    dispenseRequest: DispenseRequest | None = None
    reasonCode: tuple[CodeableConcept, ...] | None = None
    reasonReference: tuple[Reference, ...] | None = None
    reason: tuple[CodeableReference, ...] | None = None
    """Both of them, in R5."""


class MedicationAdministration(
    MedicationUse, frozen=True, gc=False, tag="MedicationAdministration"
):
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    # R5 renamed the two, and spells them with one r.
    occurenceDateTime: str | None = None
    occurencePeriod: Period | None = None
    notGiven: bool | None = None
    """STU3."""


class MedicationDispense(MedicationUse, frozen=True, gc=False, tag="MedicationDispense"):
    whenHandedOver: str | None = None
    whenPrepared: str | None = None
    daysSupply: Quantity | None = None
    notDone: bool | None = None
    """STU3."""


class Condition(Resource, frozen=True, gc=False, tag="Condition"):
    # A bare code in STU3.
    clinicalStatus: CodeableConcept | str | None = None
    verificationStatus: CodeableConcept | str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    abatementDateTime: str | None = None
    abatementPeriod: Period | None = None
    recordedDate: str | None = None
    assertedDate: str | None = None
    """The same in STU3."""


class Procedure(Resource, frozen=True, gc=False, tag="Procedure"):
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    performedDateTime: str | None = None
    performedPeriod: Period | None = None
    # What was performed "occurred" in R5.
    occurrenceDateTime: str | None = None
    occurrencePeriod: Period | None = None
    notDone: bool | None = None
    """STU3."""


class Encounter(Resource, frozen=True, gc=False, tag="Encounter"):
    status: str | None = None
    # R5 made `class` a list of concepts.
    class_: Coding | tuple[CodeableConcept, ...] | None = msgspec.field(default=None, name="class")
    subject: Reference | None = None
    period: Period | None = None
    actualPeriod: Period | None = None
    """The period, in R5."""


class ServiceRequest(Resource, frozen=True, gc=False, tag="ServiceRequest"):
    status: str | None = None
    doNotPerform: bool | None = None
    intent: str | None = None
    code: Orderable | None = None
    subject: Reference | None = None
    authoredOn: str | None = None
    occurrenceDateTime: str | None = None
    occurrencePeriod: Period | None = None
    quantityQuantity: Quantity | None = None
    reasonCode: tuple[CodeableConcept, ...] | None = None
    reasonReference: tuple[Reference, ...] | None = None
    reason: tuple[CodeableReference, ...] | None = None
    """Both of them, in R5."""
    contained: tuple[msgspec.Raw, ...] | None = None

    @property
    def ordered(self) -> CodeableConcept | None:
        """What is ordered, in every version."""
        return (self.code.concept or self.code) if self.code else None


class Issue(Element, frozen=True, gc=False):
    severity: str | None = None
    code: str | None = None


class OperationOutcome(Resource, frozen=True, gc=False, tag="OperationOutcome"):
    issue: tuple[Issue, ...] | None = None


AnyResource = (
    Patient
    | Observation
    | Specimen
    | Medication
    | MedicationStatement
    | MedicationRequest
    | MedicationAdministration
    | MedicationDispense
    | Condition
    | Procedure
    | Encounter
    | ServiceRequest
    | OperationOutcome
)
AboutPatient = (
    Observation
    | Specimen
    | MedicationStatement
    | MedicationRequest
    | MedicationAdministration
    | MedicationDispense
    | Condition
    | Procedure
    | Encounter
    | ServiceRequest
)
"""The resources that name whom they are about."""
READ_TYPES = frozenset(t.__name__ for t in AnyResource.__args__)


class Link(Element, frozen=True, gc=False):
    relation: str | None = None
    url: str | None = None


class Entry(Element, frozen=True, gc=False):
    fullUrl: str | None = None
    resource: AnyResource | None = None


class Bundle(Resource, frozen=True, gc=False, tag="Bundle"):
    total: int | None = None
    entry: tuple[Entry, ...] | None = None
    link: tuple[Link, ...] | None = None


FhirValue = AnyResource | Bundle | msgspec.Raw | None
"""A prefetch value: decoded with the call, or raw where that failed."""


class RawEntry(Element, frozen=True, gc=False):
    """An entry of a Bundle in which something could not be read."""

    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw(b"null")


class RawBundle(Element, frozen=True, gc=False):
    total: int | None = None
    entry: tuple[msgspec.Raw, ...] | None = None
    link: tuple[Link, ...] | None = None


class Named(Element, frozen=True, gc=False):
    """Just enough to say which entry could not be read."""

    resourceType: str | None = None
    id: str | None = None
