"""R4 resources read into a PatientRecord.

Each entry is read by itself. What cannot be read, what belongs to somebody else and what came twice
is counted and named; nothing is guessed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from cds_service.drugs import DrugList
from cds_service.fhir import chart, identity
from cds_service.fhir import resources as r
from cds_service.fhir.medications import MedicationReader
from cds_service.fhir.observations import ObservationReader, every_alp
from cds_service.fhir.references import Referred
from cds_service.quantity import Units
from cds_service.record import PatientRecord, Unread
from cds_service.terminology import Terminology

_Fact = TypeVar("_Fact")
_ABOUT_PATIENT = frozenset(r.AboutPatient.__args__)


class ReadingAids(msgspec.Struct, frozen=True):
    """What reading needs to know: codes, units, drugs, and the system of our own order codes."""

    terminology: Terminology
    units: Mapping[str, Units]
    drugs: DrugList
    order_system: str


def read_record(
    patient: r.Patient,
    entries: Sequence[r.Entry],
    aids: ReadingAids,
    *,
    unread: Iterable[Unread] = (),
    unknown: Iterable[str] = (),
    fhir_server: str | None = None,
) -> PatientRecord:
    """The facts about `patient` in the entries found.

    `unread` and `unknown` are what decoding and prefetch already had to leave out; `fhir_server` is
    the base of absolute references, where the call named it.
    """
    person = chart.patient(patient)
    named = list(unread)  # results are read late, and add theirs then
    medications: Referred[r.Medication] = Referred()
    specimens: Referred[r.Specimen] = Referred()
    subject = identity.Subject(person.id, entries, fhir_server)
    own = _own(subject, entries, medications, named)
    observations = ObservationReader(aids.terminology, aids.units, person, specimens, named)
    drugs = MedicationReader(aids.drugs, medications)
    rest = chart.ChartReader(aids.terminology, aids.drugs, aids.order_system)
    observed: list[r.Observation] = []
    readers: dict[type, Callable[..., None]] = {
        r.Observation: observed.append,
        r.MedicationStatement: drugs.read,
        r.MedicationRequest: drugs.read,
        r.MedicationAdministration: drugs.read,
        r.MedicationDispense: drugs.read,
        r.Condition: rest.condition,
        r.Procedure: rest.procedure,
        r.Encounter: rest.encounter,
        r.ServiceRequest: rest.service_request,
    }
    for entry in identity.newest_copies(own):
        resource = entry.resource
        if type(resource) is r.Specimen:
            specimens.add(resource, entry.fullUrl)
        else:
            readers[type(resource)](resource)
    results = observations.read(observed)
    missing = list(unknown)
    if drugs.unresolved:
        noun = "entry" if drugs.unresolved == 1 else "entries"
        missing.append(f"the drug of {drugs.unresolved} medication {noun} (only referred to)")
    return PatientRecord(
        patient=person,
        alp=every_alp(results),
        results=results,
        genes=_once(observations.genes),
        drugs=_once([*drugs.uses, *rest.drug_uses]),
        diagnoses=_once(rest.diagnoses),
        procedures=_once(rest.procedures),
        stays=_once(rest.stays),
        orders=_once(rest.orders),
        pregnancies=_once(observations.pregnancies),
        due_dates=_once(observations.due_dates),
        unread=named,
        unknown=tuple(missing),
        alp_seen=observations.alp_seen,
        unusable_alp_like=observations.not_total_alp,
    )


def _own(
    subject: identity.Subject,
    entries: Iterable[r.Entry],
    medications: Referred[r.Medication],
    named: list[Unread],
) -> list[r.Entry]:
    """The entries about this patient; the others are named. Medications are about nobody."""
    own: list[r.Entry] = []
    for entry in entries:
        resource = entry.resource
        if type(resource) in _ABOUT_PATIENT:
            about: r.AboutPatient = resource  # type: ignore[assignment]
            problem = subject.problem(about)
            if problem is None:
                own.append(entry)
            else:
                named.append(identity.unread(about, problem))
        elif type(resource) is r.Medication:
            medications.add(resource, entry.fullUrl)
        elif type(resource) is r.Patient and resource.id != subject.patient_id:
            named.append(identity.unread(resource, identity.FOREIGN))
    return own


def _once(facts: Sequence[_Fact]) -> tuple[_Fact, ...]:
    """The same fact sent twice, under two ids or none, is one fact."""
    return tuple(dict.fromkeys(facts)) if len(facts) > 1 else tuple(facts)
