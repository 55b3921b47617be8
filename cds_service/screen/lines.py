"""One line of an export: whose it is, and whether a rule could use it.

Relevance is asked of the readers themselves, so that what they would read is never dropped here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.bundles import UNREADABLE, decode
from cds_service.fhir.chart import ChartReader
from cds_service.fhir.medications import MedicationReader, drug_of
from cds_service.fhir.reader import ReadingAids
from cds_service.fhir.references import FHIR_ID, Referred, without_version
from cds_service.fhir.resources import NOTHING
from cds_service.screen.bundle import resources_of

Kind = Literal["patient", "resource", "late", "medication"]

_REMEMBERED = 10_000
_PATIENT = re.compile(r"(?:[^?#]*/)?Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?")
_SPOILED = re.compile(rb"edta|citrate|oxalate|fluoride|\\u00", re.IGNORECASE)


class Line(msgspec.Struct, frozen=True, gc=False):
    """A resource on one line that a rule could use."""

    kind: Kind
    patient: str
    """Id of the patient; empty for a Medication, which is nobody's."""
    content: bytes
    refers: str = ""
    """Id of the Medication that a drug entry refers to, or of the Medication itself."""
    known: bool = True
    """The entry itself, or the Medication, names a drug that the rules know."""


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A line that cannot be used, kept with its reason."""

    reason: str
    content: bytes


class _Reference(msgspec.Struct, frozen=True, gc=False):
    reference: str | None = None


class _Head(msgspec.Struct, frozen=True, gc=False):
    resourceType: str | None = None
    id: str | None = None
    subject: _Reference | None = None
    patient: _Reference | None = None
    class_: msgspec.Raw = msgspec.field(default=NOTHING, name="class")
    medicationCodeableConcept: msgspec.Raw = NOTHING
    medicationReference: msgspec.Raw = NOTHING
    medication: msgspec.Raw = NOTHING
    contained: msgspec.Raw = NOTHING


_Found = Sequence[Line | Reject]
_NONE: _Found = ()
_head = msgspec.json.Decoder(_Head)
_medication = msgspec.json.Decoder(r.Medication)


class LineReader:
    """Reads as much of a line as grouping needs."""

    def __init__(self, aids: tuple[ReadingAids, ...], *, every_encounter: bool) -> None:
        """`every_encounter`: a replay opens the chart at each; otherwise only stays matter."""
        self._aids = aids
        self._every_encounter = every_encounter
        self._drugs = [MedicationReader(a.drugs, Referred()) for a in aids]
        self._target, self._patient_id = "", ""
        self._stays: dict[bytes, bool] = {}
        self._concepts: dict[bytes, bool] = {}
        self._special: Mapping[str, Callable[[_Head, bytes], _Found]] = {
            "Patient": self._patient,
            "Medication": self._medication,
            "MedicationStatement": self._drug_entry,
            "MedicationRequest": self._drug_entry,
            "MedicationAdministration": self._drug_entry,
            "MedicationDispense": self._drug_entry,
            "Encounter": self._encounter,
            "Specimen": self._specimen,
            "Bundle": self._bundle,
            "OperationOutcome": lambda head, line: _NONE,
        }

    def read(self, line: bytes, *, late: bool) -> _Found:
        """The line as grouping needs it; nothing when no rule could use it."""
        if line.endswith(b"\r"):
            line = line[:-1]
        try:
            if not line.isascii():
                line.decode()  # msgspec skips strings that nobody reads, bad UTF-8 and all
            head = _head.decode(line)
        except UNREADABLE as error:
            return (Reject(_reason(error), line),)
        kind = head.resourceType
        if kind == "Observation":
            return self._own(head, line, "late" if late else "resource")
        if kind is None:
            return (Reject("it has no resourceType", line),)
        special = self._special.get(kind)
        if special is not None:
            return special(head, line)
        return self._own(head, line, "resource") if kind in r.READ_TYPES else _NONE

    def _own(
        self, head: _Head, line: bytes, kind: Kind, refers: str = "", *, known: bool = True
    ) -> _Found:
        """A line that belongs to the patient whom it names."""
        about = head.subject or head.patient
        target = about.reference or "" if about is not None else ""
        if target != self._target or not target:
            named = _PATIENT.fullmatch(target)
            if named is None:
                return (Reject("it names no patient", line),)
            # Lines of one patient mostly follow each other.
            self._target, self._patient_id = target, named[1]
        return (Line(kind, self._patient_id, on_one_line(line), refers, known),)

    def _patient(self, head: _Head, line: bytes) -> _Found:
        if not head.id or not FHIR_ID.fullmatch(head.id):
            return (Reject("a Patient without a usable id", line),)
        return (Line("patient", head.id, on_one_line(line)),)

    def _medication(self, head: _Head, line: bytes) -> _Found:
        if not head.id or not FHIR_ID.fullmatch(head.id):
            return _NONE  # nothing can refer to it
        try:
            code = _medication.decode(line).code
        except UNREADABLE:
            known = True  # the reader of the patient's record will name it
        else:
            known = self._recognised(r.MedicationRequest(medicationCodeableConcept=code))
        return (Line("medication", "", on_one_line(line), head.id, known),)

    def _drug_entry(self, head: _Head, line: bytes) -> _Found:
        elsewhere = (head.medicationReference, head.medication, head.contained)
        if any(part != NOTHING for part in elsewhere):
            return self._drug_elsewhere(head, line)
        concept = bytes(head.medicationCodeableConcept)
        known = self._concepts.get(concept)
        if known is None:
            use = _resource(line)
            # What cannot be decoded is named by the reader of the patient's record.
            known = not isinstance(use, r.MedicationUse) or self._recognised(use)
            _remember(self._concepts, concept, known)
        return self._own(head, line, "resource") if known else _NONE

    def _drug_elsewhere(self, head: _Head, line: bytes) -> _Found:
        """A drug that is, or may be, named in another resource."""
        use = _resource(line)
        if not isinstance(use, r.MedicationUse):
            return self._own(head, line, "resource")
        known = self._recognised(use)
        _, reference = drug_of(use)
        if reference is None:
            return self._own(head, line, "resource") if known else _NONE
        target = reference.reference or ""
        refers = without_version(target).rsplit("/", 1)[-1]
        usable = FHIR_ID.fullmatch(refers) and not target.startswith("#")
        named = refers if usable else ""
        return self._own(head, line, "resource", named, known=known or not named)

    def _recognised(self, use: r.MedicationUse) -> bool:
        return any(reader.recognise(use) is not None for reader in self._drugs)

    def _encounter(self, head: _Head, line: bytes) -> _Found:
        kind = bytes(head.class_)
        stay = self._every_encounter or self._stays.get(kind)
        if stay is None:
            encounter = _resource(line)
            stay = not isinstance(encounter, r.Encounter) or self._is_stay(encounter)
            _remember(self._stays, kind, stay)
        return self._own(head, line, "resource") if stay else _NONE

    def _is_stay(self, encounter: r.Encounter) -> bool:
        chart = ChartReader(self._aids[0].terminology, self._aids[0].drugs, "")
        # Whatever its status: a newer copy may take back what an older one said.
        chart.encounter(msgspec.structs.replace(encounter, status=None))
        return bool(chart.stays)

    def _specimen(self, head: _Head, line: bytes) -> _Found:
        return self._own(head, line, "resource") if _SPOILED.search(line) else _NONE

    def _bundle(self, head: _Head, line: bytes) -> _Found:
        return [found for one in resources_of(line) for found in self.read(one, late=False)]


def on_one_line(line: bytes) -> bytes:
    """JSON strings hold no line ends, so a space may stand for one."""
    return line.replace(b"\n", b" ").strip() if b"\n" in line else line


def _resource(line: bytes) -> r.AnyResource | None:
    """The resource as the rules read it; None when it cannot be decoded."""
    decoded = decode(msgspec.Raw(line), "line")
    return decoded.entries[0].resource if decoded.entries else None


def _remember(known: dict[bytes, bool], key: bytes, answer: bool) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = answer


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return str(error)  # names types and the path, never a value
    return "not valid JSON"
