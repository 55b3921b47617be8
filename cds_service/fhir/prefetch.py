"""What is asked of the EHR with a call, and what came of it.

A key has four states: satisfied; null (looked, none there); an OperationOutcome (could not look);
omitted. Required are the patient, total ALP, and at least one source of medications. Everything
else degrades, and the card says what was not known.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from cds_service.errors import DataUnavailable
from cds_service.fhir import resources as r
from cds_service.fhir.bundles import Decoded, NotFhir, decode
from cds_service.fhir.identity import Subject
from cds_service.record import Unread
from cds_service.terminology import Terminology

State = Literal["satisfied", "none", "failed", "omitted"]

PATIENT = "patient"
ALP = "alp"
MEDICATIONS = (
    "medicationStatements",
    "medicationRequests",
    "medicationAdministrations",
    "medicationDispenses",
)
_LABORATORY = [
    "plp",
    "pea-urine",
    "alpl-gene-test",
    "alpl-familial-test",
    "variant-assessment",
    "variant-significance",
    "alp-bone-specific",
    "calcium-total",
    "potassium",
    "phosphate",
    "magnesium",
    "zinc",
    "vitamin-b12",
    "tsh",
    "pth",
    "ggt",
    "bilirubin",
    "alt",
    "ast",
]
_NAMES = {
    PATIENT: "the patient",
    ALP: "ALP results",
    "laboratory": "other laboratory and ALPL results",
    "medicationStatements": "medication statements",
    "medicationRequests": "prescriptions",
    "medicationAdministrations": "administered doses and infusions",
    "medicationDispenses": "dispensed medicines",
    "conditions": "diagnoses",
    "procedures": "procedures",
    "encounters": "hospital stays",
    "serviceRequests": "orders already placed",
    "pregnancy": "pregnancy status and due date",
}

_TYPES: Mapping[str, type[r.Resource]] = {
    PATIENT: r.Patient,
    ALP: r.Observation,
    "laboratory": r.Observation,
    "medicationStatements": r.MedicationStatement,
    "medicationRequests": r.MedicationRequest,
    "medicationAdministrations": r.MedicationAdministration,
    "medicationDispenses": r.MedicationDispense,
    "conditions": r.Condition,
    "procedures": r.Procedure,
    "encounters": r.Encounter,
    "serviceRequests": r.ServiceRequest,
    "pregnancy": r.Observation,
}


def templates(terminology: Terminology) -> dict[str, str]:
    """The prefetch templates: only parameters of the subset that every EHR is asked to support.

    `_include` is none of them, so referenced Medications and Specimens are not asked for here.
    """
    mine = "patient={{context.patientId}}"
    return {
        PATIENT: "Patient/{{context.patientId}}",
        ALP: f"Observation?{mine}&code={_codes(terminology, 'alp-total')}&_sort=-date&_count=200",
        "laboratory": (
            f"Observation?{mine}&code={_codes(terminology, *_LABORATORY)}&_sort=-date&_count=200"
        ),
        "medicationStatements": f"MedicationStatement?{mine}&_count=200",
        "medicationRequests": f"MedicationRequest?{mine}&_sort=-authoredon&_count=200",
        "medicationAdministrations": (
            f"MedicationAdministration?{mine}&_sort=-effective-time&_count=200"
        ),
        "medicationDispenses": f"MedicationDispense?{mine}&_sort=-whenhandedover&_count=200",
        "conditions": f"Condition?{mine}&_count=200",
        "procedures": f"Procedure?{mine}&_sort=-date&_count=200",
        "encounters": f"Encounter?{mine}&_sort=-date&_count=200",
        "serviceRequests": f"ServiceRequest?{mine}&status=draft,active,on-hold&_count=200",
        "pregnancy": (
            f"Observation?{mine}"
            f"&code={_codes(terminology, 'pregnancy-status', 'delivery-date-estimated')}"
            "&_sort=-date&_count=20"
        ),
    }


def _codes(terminology: Terminology, *value_sets: str) -> str:
    return ",".join(f"{c.system}|{c.code}" for c in terminology.codings(*value_sets))


class Prefetched(msgspec.Struct, frozen=True):
    """The data of one call, and what was missing from it."""

    patient: r.Patient
    entries: tuple[r.Entry, ...]
    unread: tuple[Unread, ...]
    unknown: tuple[str, ...]
    alp_entries: int = 0
    """Results that came under the ALP key."""


class _Value(msgspec.Struct, frozen=True):
    state: State
    decoded: Decoded = Decoded()
    cause: str = ""


def collect(
    prefetch: Mapping[str, r.FhirValue], patient_id: str, fhir_server: str | None = None
) -> Prefetched:
    """Sort the prefetch of a call into data and gaps.

    Raises DataUnavailable (412) naming the key when required data did not come.
    """
    values = {key: _value(key, prefetch) for key in _NAMES}
    missing = list(_missing(values, patient_id, fhir_server))
    if missing:
        keys, causes = zip(*missing, strict=True)
        where = f"prefetch.{keys[0]}" if keys[0] else "prefetch"
        raise DataUnavailable(" ".join(causes), where=where)
    patient = next(
        e.resource for e in values[PATIENT].decoded.entries if isinstance(e.resource, r.Patient)
    )
    entries: list[r.Entry] = []
    unread: list[Unread] = []
    unknown: list[str] = []
    for key, value in values.items():
        entries.extend(value.decoded.entries)
        unread.extend(value.decoded.unread)
        gap = _gap(key, value)
        if gap:
            unknown.append(gap)
    return Prefetched(
        patient=msgspec.structs.replace(patient, id=patient_id),
        entries=tuple(entries),
        unread=tuple(unread),
        unknown=tuple(unknown),
        alp_entries=len(values[ALP].decoded.entries),
    )


def _value(key: str, prefetch: Mapping[str, r.FhirValue]) -> _Value:
    if key not in prefetch:
        return _Value("omitted", cause="was not sent")
    value = prefetch[key]
    if value is None or (isinstance(value, msgspec.Raw) and bytes(value) == b"null"):
        return _Value("none")
    try:
        decoded = decode(value, key)
    except NotFhir as error:
        return _Value("failed", cause=f"is not FHIR JSON ({error})")
    if decoded.outcome and not decoded.entries:
        return _Value("failed", decoded, "is an OperationOutcome: the EHR could not look")
    if not decoded.entries and (decoded.next_page or decoded.total):
        return _Value("failed", decoded, "says that there are results, but holds none")
    asked_for = _TYPES[key]
    for entry in decoded.entries:
        if type(entry.resource) is asked_for:
            return _Value("satisfied", decoded)
    if decoded.entries or decoded.unread or decoded.useless:
        return _Value("failed", decoded, "holds entries, but none that could be read as asked for")
    return _Value("satisfied", decoded)


def _missing(
    values: Mapping[str, _Value], patient_id: str, fhir_server: str | None
) -> Iterator[tuple[str, str]]:
    """Each required key that did not come, with what is wrong and what would be right."""
    cause = _no_patient(values[PATIENT], patient_id)
    if cause:
        yield PATIENT, cause
    alp = values[ALP]
    addressed = [e for e in values[PATIENT].decoded.entries if e.fullUrl]
    subject = Subject(patient_id, addressed, fhir_server)
    if alp.state in ("omitted", "failed"):
        yield (
            ALP,
            f"Prefetch key '{ALP}' {alp.cause}. It is required: send the result of its template"
            " (null or an empty Bundle where there is none).",
        )
    elif not _own(ALP, alp, subject):
        yield ALP, f"Prefetch key '{ALP}' holds only entries that are not about context.patientId."
    if not any(_medications_known(values[key], key, subject) for key in MEDICATIONS):
        yield (
            "",
            f"None of the prefetch keys {', '.join(MEDICATIONS)} was sent as data of this patient."
            " At least one is required: treatment cannot be told from disease without it.",
        )


def _no_patient(value: _Value, patient_id: str) -> str | None:
    found = [e.resource for e in value.decoded.entries if isinstance(e.resource, r.Patient)]
    if value.state != "satisfied" or len(found) != 1:
        cause = value.cause or "holds no readable Patient"
        return f"Prefetch key '{PATIENT}' {cause}. It is required: send the one Patient."
    if found[0].id != patient_id:
        return f"Prefetch key '{PATIENT}' does not hold the Patient of context.patientId."
    return None


def _medications_known(value: _Value, key: str, subject: Subject) -> bool:
    return value.state in ("satisfied", "none") and _own(key, value, subject)


def _own(key: str, value: _Value, subject: Subject) -> bool:
    """Whether a key holds anything of this patient, or says that there is nothing.

    Results of somebody else, or of nobody, are a fault of the call: not a patient without results.
    """
    empty = True
    for entry in value.decoded.entries:
        if type(entry.resource) is _TYPES[key]:
            about: r.AboutPatient = entry.resource  # type: ignore[assignment]
            if subject.problem(about) is None:
                return True
            empty = False
    return empty


def _gap(key: str, value: _Value) -> str | None:
    name = _NAMES[key]
    if value.state in ("omitted", "failed"):
        return name
    if value.decoded.next_page:
        return f"{name} beyond the first page"
    if value.decoded.outcome:
        return f"{name} that the record system could not retrieve"
    return None
