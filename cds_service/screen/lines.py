"""One line of an export: whose it is, and whether a rule could use it.

Relevance is asked of the readers themselves, so that what they would read is never dropped here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from cds_service.fhir import resources as r
from cds_service.fhir.bundles import UNREADABLE, decode
from cds_service.fhir.chart import ChartReader
from cds_service.fhir.medications import MedicationReader
from cds_service.fhir.reader import ReadingAids
from cds_service.fhir.references import FHIR_ID, Referred, without_version
from cds_service.screen.bundle import resources_of

Kind = Literal["patient", "resource", "late", "medication"]

_SPOILED = re.compile(rb"edta|citrate|oxalate|fluoride|\\u00", re.IGNORECASE)


class Line(msgspec.Struct, frozen=True):
    """A resource on one line that a rule could use."""

    kind: Kind
    patient: str
    """Id of the patient; empty for a Medication, which is nobody's."""
    content: bytes
    refers: str = ""
    """Id of the Medication that a drug entry refers to, or of the Medication itself."""
    known: bool = True
    """The entry itself, or the Medication, names a drug that the rules know."""


class Reject(msgspec.Struct, frozen=True):
    """A line that cannot be used, kept with its reason."""

    reason: str
    content: bytes


class _Reference(msgspec.Struct, frozen=True):
    reference: str | None = None


class _Head(msgspec.Struct, frozen=True):
    resourceType: str | None = None
    id: str | None = None
    subject: _Reference | None = None
    patient: _Reference | None = None
    medicationReference: _Reference | None = None


_head = msgspec.json.Decoder(_Head)
_medication = msgspec.json.Decoder(r.Medication)


class LineReader:
    """Reads as much of a line as grouping needs."""

    def __init__(self, aids: tuple[ReadingAids, ...], *, every_encounter: bool) -> None:
        """`every_encounter`: a replay opens the chart at each; otherwise only stays matter."""
        self._aids = aids
        self._every_encounter = every_encounter
        self._drugs = [MedicationReader(a.drugs, Referred()) for a in aids]
        self._special: Mapping[str, Callable[[_Head, bytes], Iterator[Line | Reject]]] = {
            "Patient": self._patient,
            "Medication": self._medication,
            "MedicationStatement": self._drug_entry,
            "MedicationRequest": self._drug_entry,
            "MedicationAdministration": self._drug_entry,
            "MedicationDispense": self._drug_entry,
            "Encounter": self._encounter,
            "Specimen": self._specimen,
            "Bundle": self._bundle,
        }

    def read(self, line: bytes, *, late: bool) -> Iterator[Line | Reject]:
        """The line as grouping needs it; nothing when no rule could use it."""
        try:
            line.decode()  # msgspec skips strings that nobody reads, bad UTF-8 and all
            head = _head.decode(line)
        except UNREADABLE as error:
            yield Reject(_reason(error), line)
            return
        if head.resourceType is None:
            yield Reject("it has no resourceType", line)
            return
        if head.resourceType not in r.READ_TYPES and head.resourceType != "Bundle":
            return
        special = self._special.get(head.resourceType)
        if special is not None:
            yield from special(head, line)
        elif head.resourceType != "OperationOutcome":
            results_only = late and head.resourceType == "Observation"
            yield self._own(head, line, "late" if results_only else "resource")

    def _own(
        self, head: _Head, line: bytes, kind: Kind, *, refers: str = "", known: bool = True
    ) -> Line | Reject:
        """A line that belongs to the patient whom it names."""
        about = head.subject or head.patient
        target = without_version(about.reference or "") if about else ""
        *_, resource_type, patient = ("", *target.rsplit("/", 2))
        if resource_type != "Patient" or not FHIR_ID.fullmatch(patient):
            return Reject("it names no patient", line)
        return Line(kind, patient, _on_one_line(line), refers, known)

    def _patient(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        if not head.id or not FHIR_ID.fullmatch(head.id):
            yield Reject("a Patient without a usable id", line)
        else:
            yield Line("patient", head.id, _on_one_line(line))

    def _medication(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        if not head.id or not FHIR_ID.fullmatch(head.id):
            return  # nothing can refer to it
        try:
            code = _medication.decode(line).code
        except UNREADABLE:
            known = True  # the reader of the patient's record will name it
        else:
            known = self._recognised(r.MedicationRequest(medicationCodeableConcept=code))
        yield Line("medication", "", _on_one_line(line), head.id, known)

    def _drug_entry(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        decoded = decode(msgspec.Raw(line), "line")
        use = decoded.entries[0].resource if decoded.entries else None
        if not isinstance(use, r.MedicationUse):
            yield self._own(head, line, "resource")
            return
        known = self._recognised(use)
        target = use.medicationReference.reference or "" if use.medicationReference else ""
        refers = without_version(target).rsplit("/", 1)[-1]
        elsewhere = use.medicationReference is not None or bytes(use.medication) != b"null"
        if known or elsewhere:
            named = refers if FHIR_ID.fullmatch(refers) and not target.startswith("#") else ""
            yield self._own(head, line, "resource", refers=named, known=known or not named)

    def _recognised(self, use: r.MedicationUse) -> bool:
        return any(reader.recognise(use) is not None for reader in self._drugs)

    def _encounter(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        if not self._every_encounter:
            decoded = decode(msgspec.Raw(line), "line")
            encounter = decoded.entries[0].resource if decoded.entries else None
            if isinstance(encounter, r.Encounter) and not self._is_stay(encounter):
                return
        yield self._own(head, line, "resource")

    def _is_stay(self, encounter: r.Encounter) -> bool:
        chart = ChartReader(self._aids[0].terminology, self._aids[0].drugs, "")
        # Whatever its status: a newer copy may take back what an older one said.
        chart.encounter(msgspec.structs.replace(encounter, status=None))
        return bool(chart.stays)

    def _specimen(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        if _SPOILED.search(line):
            yield self._own(head, line, "resource")

    def _bundle(self, head: _Head, line: bytes) -> Iterator[Line | Reject]:
        for resource in resources_of(line):
            yield from self.read(resource, late=False)


def _on_one_line(line: bytes) -> bytes:
    """JSON strings hold no line ends, so a space may stand for one."""
    return line.replace(b"\r", b" ").replace(b"\n", b" ").strip()


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return str(error)  # names types and the path, never a value
    return "not valid JSON"
